"""Coordinates as text and back: ``<box>``, ``<quad>``, ``<poly>``, ``<sep>`` and ``<N>`` or ``<loc_N>``.

A coordinate is the number of one of 1000 bins along its side of the image. Writing takes the bin a coordinate falls in;
reading gives the centre of the bin. Published data hold ``<1000>`` as well, so reading accepts 0 to 1000.
"""

import re
from dataclasses import dataclass, field

import numpy as np

NUM_BINS = 1000
COORDINATE = '<{}>'
FLORENCE_COORDINATE = '<loc_{}>'
# What only holds a sequence of tokens together, in BART's order, and what stands for a cell of the image.
STRUCTURE = ('<s>', '<pad>', '</s>', '<unk>', '<mask>')
IMAGE = '<image>'

_SPECIAL = re.compile(r'<s>|</s>|<pad>')
_TOKEN = re.compile(
    r'<(?P<open>box|quad|poly)>|</(?P<close>box|quad|poly)>|(?P<sep><sep>)|<(?:loc_)?(?P<number>[0-9]+)>')


def quantize(coordinates, image_size):
    """Turn pixels into bins: ``floor(1000 x / size)``, clamped to 0..999.

    In float64: with float32 the exact edge between two bins falls into the lower one (224 of 448 into 499).

    Args:
        coordinates (array-like): (..., 2K) pixels, x and y in turn along the last axis.
        image_size (tuple): (width, height) in pixels.

    Returns:
        np.ndarray: int64 bins of the same shape.

    Raises:
        ValueError: If the last axis is odd, a value is not finite or the size is not two positive numbers.
    """
    coordinates, sides = _with_sides(coordinates, image_size)
    return np.clip(np.floor(coordinates * NUM_BINS / sides), 0, NUM_BINS - 1).astype(np.int64)


def dequantize(bins, image_size):
    """Turn bins into the pixels at their centres: ``(bin + 0.5) size / 1000``, clamped to the image.

    Args:
        bins (array-like): (..., 2K) bins 0 to 1000, x and y in turn along the last axis.
        image_size (tuple): (width, height) in pixels.

    Returns:
        np.ndarray: float64 pixels of the same shape.

    Raises:
        ValueError: If the last axis is odd, a value is not finite or the size is not two positive numbers.
    """
    bins, sides = _with_sides(bins, image_size)
    return np.clip((bins + 0.5) * sides / NUM_BINS, 0, sides)


def parse_boxes(text):
    """Read boxes as [x1, y1, x2, y2] in bins, as written; see :func:`read_shapes`."""
    return read_shapes(text, 'box')[0]


def parse_quads(text):
    """Read quads as lists of eight bins, four corners, as written; see :func:`read_shapes`."""
    return read_shapes(text, 'quad')[0]


def parse_polygons(text):
    """Read polygons as instances of rings of bins, x and y in turn; see :func:`read_shapes`."""
    return read_shapes(text, 'poly')[0]


def format_boxes(bins, coordinate=COORDINATE):
    """Write (N, 4) bins as ``<box>..</box>`` after ``<box>..</box>``."""
    return ''.join(_enclose('box', [box], coordinate) for box in bins)


def format_quads(bins, coordinate=COORDINATE):
    """Write (N, 8) bins as ``<quad>..</quad>`` after ``<quad>..</quad>``."""
    return ''.join(_enclose('quad', [quad], coordinate) for quad in bins)


def format_polygons(instances, coordinate=COORDINATE):
    """Write instances of rings of bins, (2K,) or (K, 2), as one ``<poly>`` an instance with ``<sep>`` between rings."""
    return ''.join(_enclose('poly', rings, coordinate) for rings in instances)


def strip_special_tokens(text):
    """Drop ``<s>``, ``</s>`` and ``<pad>``, which stand around generated text, and the blanks at its ends."""
    return _SPECIAL.sub('', text).strip()


def image_sides(image_size):
    """Return an image size as a (2,) float64 array of width and height.

    Raises:
        ValueError: If it is not two positive numbers.
    """
    try:
        sides = np.asarray(image_size, np.float64)
    except (TypeError, ValueError):
        sides = np.zeros(0)
    if sides.shape != (2,) or not ((sides > 0) & np.isfinite(sides)).all():
        raise ValueError(f'An image size is (width, height), two positive numbers of pixels, got {image_size!r}.')
    return sides


def read_shapes(text, tag):
    """Read every shape of one kind and count what cannot be read as one.

    Blanks may stand between numbers, words around shapes. A shape must hold its exact count of numbers, but a
    polygon's odd trailing number is dropped. Without tags a run of 4 (8) numbers, or a multiple, is that many boxes
    (quads). A tag that the end of the text or the next tag leaves open is read as if closed.

    Args:
        text (str): Anything.
        tag (str): 'box', 'quad' or 'poly'.

    Returns:
        tuple[list, int]: The shapes in bins, and how many groups of numbers or tags are no such shape: of another
        tag, with the wrong count of numbers, with words inside, or with a number above 1000.
    """
    shapes, failures = [], 0
    for group in _groups(strip_special_tokens(text)):
        found = _shapes_of(group, tag)
        shapes += found
        failures += not found
    return shapes, failures


@dataclass
class _Group:
    """Neighbouring numbers: between a tag and its end, or a run without tags."""

    tag: str = ''
    rings: list = field(default_factory=lambda: [[]])
    sound: bool = True

    def __bool__(self):
        return bool(self.tag or self.rings != [[]] or not self.sound)


def _groups(text):
    group, end = _Group(), 0
    for match in _TOKEN.finditer(text):
        kind, words = match.lastgroup, text[end:match.start()].strip()
        end = match.end()
        if words and group.tag:
            group.sound = False
        if kind in ('open', 'close') or (not group.tag and (words or kind == 'sep')):
            if kind == 'close' and group.tag:
                group.sound &= match['close'] == group.tag
            if group:
                yield group
            group = _Group(tag=match['open'] or '')
        if kind == 'sep' and group.tag:
            group.rings.append([])
        elif kind == 'number':
            value = match['number'].lstrip('0') or '0'
            if len(value) > 4 or int(value) > NUM_BINS:  # more digits than an int may have are no reason to stop
                group.sound = False
            else:
                group.rings[-1].append(int(value))
    # Of a tag cut off by the end of the text nothing is missed; of a number only in a polygon, as any odd one.
    cut = r'</?\w*' if group.tag == 'poly' else r'<(/\w*)?'
    group.sound &= not group.tag or not text[end:].strip() or bool(re.fullmatch(cut, text[end:].strip()))
    if group:
        yield group


def _shapes_of(group, tag):
    if not group.sound or group.tag not in (tag, ''):
        return []
    if tag == 'poly':
        rings = [ring[:len(ring) // 2 * 2] for ring in group.rings if ring]
        return [rings] if rings and group.tag else []
    size = {'box': 4, 'quad': 8}[tag]
    numbers = group.rings[0]
    if len(group.rings) > 1 or len(numbers) % size or (group.tag and len(numbers) != size):
        return []
    return [numbers[start:start + size] for start in range(0, len(numbers), size)]


def _enclose(tag, rings, coordinate):
    numbers = [''.join(coordinate.format(int(value)) for value in np.ravel(ring)) for ring in rings]
    return f'<{tag}>{"<sep>".join(numbers)}</{tag}>'


def _with_sides(values, image_size):
    try:
        values = np.asarray(values, np.float64)
    except (TypeError, ValueError):
        raise ValueError(f'Coordinates are numbers, x and y in turn, got {str(values):.80}.') from None
    if values.ndim == 0 or values.shape[-1] % 2:
        raise ValueError(f'Coordinates are x and y in turn, an even number of them; got the shape {values.shape}.')
    if not np.isfinite(values).all():
        raise ValueError(f'A coordinate is not a finite number: {values[~np.isfinite(values)][0]}.')
    return values, np.resize(image_sides(image_size), values.shape[-1])
