"""Regular expressions over bytes, and the automaton whose states are what may still follow.

After a byte, what may follow an expression is again an expression, its derivative (Brzozowski, Derivatives of Regular
Expressions, 1964). Expressions are plain tuples, equal ones are one state, and so the states are finite in number.
An expression is a frozenset (one of these bytes) or a tuple of its kind and its parts.
"""

DONE = ('then',)
NOTHING = ('either', frozenset())


class Automaton:
    """The states of an expression, made when they are first reached; state 0 is the whole expression.

    Args:
        expression: As built by the functions of this module.
    """

    def __init__(self, expression):
        self._numbers = {expression: 0}
        self._expressions = [expression]
        self._steps = [{}]

    def step(self, state, byte):
        """Return the state after a byte, None where nothing could follow."""
        steps = self._steps[state]
        if byte not in steps:
            after = _derive(self._expressions[state], byte)
            steps[byte] = None if after == NOTHING else self._number(after)
        return steps[byte]

    def accepts(self, state):
        """Tell whether the text may end here."""
        return _may_end(self._expressions[state])

    def _number(self, expression):
        if expression not in self._numbers:
            self._numbers[expression] = len(self._expressions)
            self._expressions.append(expression)
            self._steps.append({})
        return self._numbers[expression]


def literal(text):
    """Exactly this text, in UTF-8."""
    return then(*(frozenset([byte]) for byte in text.encode()))


def one_of(characters):
    """One of these ASCII characters."""
    return frozenset(characters.encode())


def then(*parts):
    """One part after the other."""
    flat = []
    for part in parts:
        if part == NOTHING:
            return NOTHING
        flat += part[1:] if _is(part, 'then') else [part]
    return flat[0] if len(flat) == 1 else ('then', *flat)


def either(*options):
    """One of the options."""
    flat = set()
    for option in options:
        flat |= option[1] if _is(option, 'either') else {option}
    return flat.pop() if len(flat) == 1 else ('either', frozenset(flat))


def many(part):
    """The part any number of times, also never."""
    return ('many', part)


def some(part):
    """The part once or more often."""
    return then(part, many(part))


def optional(part):
    """The part or nothing."""
    return either(DONE, part)


def _is(expression, kind):
    return isinstance(expression, tuple) and expression[0] == kind


def _may_end(expression):
    if isinstance(expression, frozenset):
        return False
    kind, *parts = expression
    if kind == 'then':
        return all(_may_end(part) for part in parts)
    return kind == 'many' or any(_may_end(option) for option in parts[0])


def _derive(expression, byte):
    if isinstance(expression, frozenset):
        return DONE if byte in expression else NOTHING
    kind, *parts = expression
    if kind == 'many':
        return then(_derive(parts[0], byte), expression)
    if kind == 'either':
        return either(*(_derive(option, byte) for option in parts[0]))
    options = []
    for number, part in enumerate(parts):
        options.append(then(_derive(part, byte), *parts[number + 1:]))
        if not _may_end(part):
            break
    return either(*options)
