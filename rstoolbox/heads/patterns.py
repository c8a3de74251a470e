"""What the answers of the tasks look like, as expressions of :mod:`rstoolbox.heads.automaton`.

They are narrower than what is read: an answer that fits is read without a failure.
"""

import string

from .automaton import either, literal, many, one_of, optional, some, then

_DIGIT = one_of(string.digits)
_MORE = frozenset(range(0x80, 0xc0))
# A whole character in UTF-8 (RFC 3629, section 4), else the bytes of a text might spell none; '<' begins a tag.
_CHARACTER = either(
    frozenset(range(0x20, 0x7f)) - {ord('<')},
    then(frozenset(range(0xc2, 0xe0)), _MORE),
    then(frozenset([0xe0]), frozenset(range(0xa0, 0xc0)), _MORE),
    then(frozenset([*range(0xe1, 0xed), 0xee, 0xef]), _MORE, _MORE),
    then(frozenset([0xed]), frozenset(range(0x80, 0xa0)), _MORE),
    then(frozenset([0xf0]), frozenset(range(0x90, 0xc0)), _MORE, _MORE),
    then(frozenset(range(0xf1, 0xf4)), _MORE, _MORE, _MORE),
    then(frozenset([0xf4]), frozenset(range(0x80, 0x90)), _MORE, _MORE))
_BINS = either(_DIGIT, then(one_of('123456789'), _DIGIT, optional(_DIGIT)))
# With 500: what touches the right or lower edge of the image before is written so.
_LOWER_BINS = either(_DIGIT, then(one_of('123456789'), _DIGIT), then(one_of('1234'), _DIGIT, _DIGIT), literal('500'))
_UPPER_BINS = then(one_of('56789'), _DIGIT, _DIGIT)


def text_pattern():
    """Any line of text without '<' that has a letter or a digit."""
    return then(many(_CHARACTER), one_of(string.ascii_letters + string.digits), many(_CHARACTER))


def number_pattern():
    """A whole number of up to nine digits, without leading zeros, and a full stop."""
    digits = [one_of('123456789'), *[optional(_DIGIT)] * 8]
    return then(either(literal('0'), then(*digits)), literal('.'))


def labels_pattern(classes, several):
    """One class name, or several joined by ', ', and a full stop."""
    name = either(*(literal(label) for label in classes))
    return then(name, *[many(then(literal(', '), name))] * several, literal('.'))


def box_pattern(coordinate):
    """One ``<box>``."""
    return _enclosed('box', _coordinates(4, coordinate))


def quad_pattern(coordinate):
    """One ``<quad>``."""
    return _enclosed('quad', _coordinates(8, coordinate))


def polygon_pattern(coordinate, bins=_BINS):
    """One ``<poly>`` of one or more rings of three or more points."""
    ring = then(_coordinates(6, coordinate, bins), many(_coordinates(2, coordinate, bins)))
    return _enclosed('poly', then(ring, many(then(literal('<sep>'), ring))))


def canvas_polygon_pattern(coordinate):
    """One ``<poly>`` within the upper left or the lower right block of the canvas of two images."""
    return either(polygon_pattern(coordinate, _LOWER_BINS), polygon_pattern(coordinate, _UPPER_BINS))


def shapes_pattern(shape, absent):
    """One shape or more, or the sentence that there is none."""
    return either(some(shape), literal(absent))


def _coordinates(number, coordinate, bins=_BINS):
    opening, closing = coordinate.split('{}')
    return then(*[then(literal(opening), bins, literal(closing))] * number)


def _enclosed(tag, content):
    return then(literal(f'<{tag}>'), content, literal(f'</{tag}>'))
