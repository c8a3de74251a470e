"""Generation held to the grammar of a task, so that every answer can be read."""

import torch
from transformers import LogitsProcessor

from .vocabulary import TokenAutomaton, Vocabulary


class AnswerConstraint:
    """Makes the logits processors that hold generation to what the heads can read.

    Build it once for a tokenizer: what a task allows is worked out at its first use and kept.

    Args:
        tokenizer (transformers.PreTrainedTokenizerBase): The tokenizer of the model.

    Example::

        constraint = AnswerConstraint(processor.tokenizer)
        model.generate(**inputs, max_length=1024, no_repeat_ngram_size=0,
                       logits_processor=[constraint.processor([head_for('REG_DET_OBB')], max_length=1024)])
    """

    def __init__(self, tokenizer):
        self._vocabulary = Vocabulary(tokenizer)
        self._automata = {}
        self._ceilings = {}

    def processor(self, heads, max_length, answer_start=2, classes=None):
        """Return the logits processor for one call of ``generate``.

        It must see scores that nothing else forbids: ``no_repeat_ngram_size`` is to be 0, as coordinates repeat.

        Args:
            heads (Sequence[TaskHead]): The task of every sample of the batch.
            max_length (int): Of a whole sequence in tokens, as ``generate(max_length=..)`` has it: decoder start token
                and end token included. Near it only tokens remain from which the answer still ends in time.
            answer_start (int): How many tokens stand before the answer: 2 where the decoder start token is followed by
                a forced ``<s>`` as with Florence-2, 1 without.
            classes (Sequence, optional): The only class names that may be answered: a list for all samples, or for
                each sample a list or None; any text otherwise.

        Returns:
            AnswerProcessor: A ``transformers.LogitsProcessor``, for any number of beams.

        Raises:
            ValueError: If ``max_length`` leaves no room for the shortest answer, or the tokenizer cannot spell it.
        """
        if classes is None or all(isinstance(name, str) for name in classes):
            classes = [classes] * len(heads)
        automata = [self._automaton(*pair) for pair in zip(heads, classes, strict=True)]
        for head, automaton in zip(heads, automata):
            shortest = answer_start + automaton.lengths[0]
            if max_length < shortest:
                raise ValueError(f'The shortest answer of {head.tag} takes {shortest} tokens with those around it, but '
                                 f'max_length is {max_length}.')
        return AnswerProcessor(automata, self._ceilings, max_length, answer_start)

    def _automaton(self, head, classes):
        if vars(head).keys() == {'coordinate'}:
            # An expression over thousands of classes takes long to write and to hash, for every sample of every batch.
            names = None if classes is None or not head.names_classes else tuple(map(str, classes))
            key = type(head), head.coordinate, names
        else:
            key = head.pattern(classes)
        if key not in self._automata:
            self._automata[key] = TokenAutomaton(head.pattern(classes), self._vocabulary)
        return self._automata[key]


class AnswerProcessor(LogitsProcessor):
    """Forbids every token after which no answer of the task is possible; see :class:`AnswerConstraint`.

    The rows of a call are to continue those of the call before, in any order within a sample, as those of ``generate``
    do; the first call of an answer begins anew.
    """

    def __init__(self, automata, ceilings, max_length, answer_start):
        self._automata = automata
        self._ceilings = ceilings
        self._max_length = max_length
        self._answer_start = answer_start
        self._forget()

    def _forget(self):
        """Of the step before are kept: the shape, the state of each row and, where beams differ in it, their keys."""
        self._shape = self._states = self._keys = None
        self._in_turns = False

    def __call__(self, input_ids, scores):
        """Return the scores (B beams, V) with -inf where a token is forbidden after ``input_ids`` (B beams, L)."""
        length = input_ids.shape[1]
        if length < self._answer_start:
            self._check_forced(scores)
            return scores
        room = self._max_length - length
        beams, rest = divmod(len(input_ids), len(self._automata))
        if rest or not beams:
            raise ValueError(f'The constraint was made for {len(self._automata)} samples, but the batch has '
                             f'{len(input_ids)} rows; give one head for every sample.')
        kept = self._ceilings.setdefault((scores.shape[-1], scores.dtype, scores.device), {})
        automata = [automaton for automaton in self._automata for _ in range(beams)]
        ceilings = []
        for automaton, state in zip(automata, self._next_states(automata, input_ids, beams)):
            values, longest = kept.get((automaton, state)) or self._ceiling(automaton, state, scores, kept)
            if longest >= room:
                # Near the end of the sequence they differ at every step and are not kept.
                tokens, lengths = automaton.choices(state)
                values = ceiling(tokens[lengths < room], scores)
            ceilings.append(values)
        # A minimum takes a third of the time of filling by a mask; rows are often all in one state.
        if len(set(ceilings)) == 1:
            scores = torch.minimum(scores, ceilings[0])
        else:
            scores = torch.cat(ceilings).clamp_(max=scores)
        if length == self._answer_start and not torch.isfinite(scores).any(-1).all():
            raise ValueError('No first token of an answer is left, something else forbids them: a token that is forced '
                             f'here (answer_start is {self._answer_start}), or tokens that are suppressed.')
        return scores

    def _check_forced(self, scores):
        """A free token before the answer would be anything, also the end."""
        if (torch.isfinite(scores).sum(-1) > 1).any():
            raise ValueError(f'The answer is said to start after {self._answer_start} tokens, but the model may choose '
                             'one of them. Pass forced_bos_token_id to generate, or answer_start=1 to the constraint '
                             'if the answer follows the decoder start token at once.')

    def _next_states(self, automata, input_ids, beams):
        """The state after each of the rows ``input_ids`` (B beams, L)."""
        rows, length = input_ids.shape
        if length == self._answer_start:
            self._forget()
        # Not one token longer: a search that asks for parts of its rows in turns. Then all are read whole.
        self._in_turns |= self._shape not in (None, (rows, length - 1))
        keys = None
        if self._in_turns or self._shape is None:
            before = [None] * rows
        elif self._keys is None:
            before = self._states
        else:
            keys = row_keys(input_ids)
            known = {(row // beams, key): state for row, (key, state) in enumerate(zip(self._keys, self._states))}
            before = [known.get((row // beams, key[:-input_ids.element_size()])) for row, key in enumerate(keys)]
        # END also after a token that was forbidden, as of beams that are out of the race.
        states = [self._state(automaton, input_ids[row].tolist()) if state is None
                  else automaton.steps[state].get(token, automaton.END)
                  for row, (automaton, state, token) in enumerate(zip(automata, before, input_ids[:, -1].tolist()))]
        # Beams change places, so which one a row continues matters where those of a sample differ in their states.
        differ = beams > 1 and any(len(set(states[first:first + beams])) > 1 for first in range(0, rows, beams))
        self._shape, self._states = (rows, length), states
        self._keys = (keys or row_keys(input_ids)) if differ else None
        return states

    def _state(self, automaton, row):
        """The state after a whole row."""
        state = 0
        for token in row[self._answer_start:]:
            state = automaton.steps[state].get(token, automaton.END)
        return state

    def _ceiling(self, automaton, state, scores, kept):
        """(1, V), -inf at tokens after which no answer is possible, inf at others; and the longest way to an end."""
        tokens, lengths = automaton.choices(state)
        kept[automaton, state] = ceiling(tokens, scores), int(lengths.max())
        return kept[automaton, state]


def ceiling(tokens, scores):
    """(1, V) like a row of scores (.., V), inf at some tokens and -inf at all others."""
    values = torch.full((1, scores.shape[-1]), -torch.inf, dtype=scores.dtype)
    values[0, torch.as_tensor(tokens)] = torch.inf
    return values.to(scores.device)


def row_keys(input_ids):
    """Bytes of each row, which are compared faster than its tokens."""
    return [row.tobytes() for row in input_ids.cpu().numpy()]
