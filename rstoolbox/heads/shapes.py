"""Answers that are shapes, and slots that hold one."""

import numpy as np

from ..structures import Answer
from .base import ABSENT, TaskHead, says_absent
from .grammar import (
    NUM_BINS,
    dequantize,
    format_boxes,
    format_polygons,
    format_quads,
    image_sides,
    quantize,
    read_shapes,
    strip_special_tokens,
)
from .patterns import box_pattern, polygon_pattern, quad_pattern, shapes_pattern


class BoxHead(TaskHead):
    """Horizontal boxes; none is written as a sentence."""

    scored_as = 'hbb'

    def encode(self, annotation, image_size):
        boxes = _upright(_rows(annotation, 'bboxes', 4, self.tag))
        return format_boxes(quantize(boxes, image_size), self.coordinate) or ABSENT

    def decode(self, text, image_size):
        boxes, failures = read_answer(text, 'box')
        boxes, sides = _upright(dequantize(np.reshape(boxes, (-1, 4)), image_size)), image_sides(image_size)
        # An extent below a bin is not none: nearly the bin, so that its numbers are written again as they were.
        low, high = boxes[:, :2], boxes[:, 2:]
        margin = 0.499 * (low == high) * sides / NUM_BINS
        boxes = np.concatenate([low - margin, np.minimum(high + margin, sides)], axis=1)
        return Answer(text=strip_special_tokens(text), bboxes=boxes, failures=failures)

    def pattern(self, classes=None):
        return shapes_pattern(box_pattern(self.coordinate), ABSENT)


class QuadHead(TaskHead):
    """Oriented boxes as four corners; none is written as a sentence."""

    scored_as = 'obb'

    def encode(self, annotation, image_size):
        quads = _rows(annotation, 'quads', 8, self.tag)
        return format_quads(quantize(quads, image_size), self.coordinate) or ABSENT

    def decode(self, text, image_size):
        quads, failures = read_answer(text, 'quad')
        quads = dequantize(np.reshape(quads, (-1, 8)), image_size)
        return Answer(text=strip_special_tokens(text), quads=quads, failures=failures)

    def pattern(self, classes=None):
        return shapes_pattern(quad_pattern(self.coordinate), ABSENT)


class PolygonHead(TaskHead):
    """Instances of one or more rings; none is written as a sentence."""

    scored_as = 'masks'

    def encode(self, annotation, image_size):
        _refuse_other_shapes(annotation, 'polygons', self.tag)
        polygons = [[_ring(ring, f'{self.tag}: ring {number} of instance {instance}')
                     for number, ring in enumerate(rings)] for instance, rings in enumerate(annotation.polygons)]
        if not all(polygons):
            raise ValueError(f'{self.tag}: instance {polygons.index([])} of the annotation has no ring.')
        bins = [[self.bins(ring, image_size) for ring in rings] for rings in polygons]
        return format_polygons(bins, self.coordinate) or ABSENT

    def bins(self, ring, image_size):
        """Corners (K, 2) of a ring, in pixels of an image, as bins of what the model sees."""
        return quantize(ring, image_size)

    def decode(self, text, image_size):
        instances, failures = read_answer(text, 'poly')
        polygons = []
        for rings in instances:
            whole = [dequantize(ring, image_size).reshape(-1, 2) for ring in rings if len(ring) >= 6]
            failures += len(rings) - len(whole)
            polygons += [whole] if whole else []
        return Answer(text=strip_special_tokens(text), polygons=polygons, failures=failures)

    def pattern(self, classes=None):
        return shapes_pattern(polygon_pattern(self.coordinate), ABSENT)


class RegionSlot:
    """Mix-in of heads whose prompt names a region, in pixels of the image."""

    regions = dict(bbox=4, quad=8, polygon=None)  # how many numbers one has

    def write_slot(self, name, value, image_size):
        if name not in self.regions:
            return super().write_slot(name, value, image_size)
        if image_size is None:
            raise ValueError(f"The prompt of {self.tag} needs 'image_size', (width, height) in pixels, to write "
                             f"'{name}'.")
        rings = [quantize(ring, image_size) for ring in self.outline(name, value)]
        if name == 'polygon':
            return format_polygons([rings], self.coordinate)
        if name == 'quad':
            return format_quads(rings, self.coordinate)
        return format_boxes([rings[0][[0, 2]]], self.coordinate)

    def region(self, prompt, image_size):
        """Return the region that a prompt names, in any wording, as rings (K, 2) in pixels.

        Args:
            prompt (str): With its coordinates.
            image_size (tuple): (width, height) of the image in pixels.

        Returns:
            list[np.ndarray] | None: None where it names none or several, or not all of it can be read.
        """
        name = next(name for name in self.slots if name in self.regions)
        shapes, failures = read_shapes(prompt, dict(bbox='box', quad='quad', polygon='poly')[name])
        if len(shapes) != 1 or failures:
            return None
        rings = [dequantize(ring, image_size) for ring in (shapes[0] if name == 'polygon' else shapes)]
        if any(len(ring) < 6 for ring in rings) and name == 'polygon':
            return None
        return self.outline(name, rings if name == 'polygon' else rings[0])

    def outline(self, name, value):
        """Return the region that a slot names as rings (K, 2) in pixels.

        Args:
            name (str): 'bbox', 'quad' or 'polygon'.
            value (array-like): 4 or 8 numbers, or one ring, flat or (K, 2), or several.

        Raises:
            ValueError: If the value is none of these.
        """
        where = f"'{name}' of {self.tag}"
        if name == 'polygon':
            return [_ring(ring, where) for ring in (value if _is_nested(value) else [value])]
        corners = np.ravel(_numbers(value, where))
        if len(corners) != self.regions[name]:
            raise ValueError(f'{where} is {self.regions[name]} numbers, x and y in turn, got {len(corners)}.')
        if name == 'bbox':
            left, top, right, bottom = _upright(corners)[0]
            corners = np.array([left, top, right, top, right, bottom, left, bottom])
        return [corners.reshape(4, 2)]


def read_answer(text, tag):
    """Read shapes as :func:`read_shapes` does; a text without any is a failure unless it says that there are none."""
    shapes, failures = read_shapes(text, tag)
    if not shapes and not failures and not says_absent(text):
        failures = 1
    return shapes, failures


def _upright(boxes):
    """Boxes (N, 4) with the upper left corner first: any two opposite corners name one box."""
    return np.sort(np.reshape(boxes, (-1, 2, 2)), axis=1).reshape(-1, 4)


def _rows(annotation, key, size, tag):
    _refuse_other_shapes(annotation, key, tag)
    rows = _numbers(getattr(annotation, key), f'{tag}: {key}')
    if rows.size and (rows.ndim != 2 or rows.shape[1] != size):
        raise ValueError(f'{tag}: {key} of an annotation have the shape (N, {size}), got {rows.shape}.')
    return rows.reshape(-1, size)


def _refuse_other_shapes(annotation, key, tag):
    """An annotation of another kind would be written as if there were no object."""
    for other in ('bboxes', 'quads', 'polygons'):
        if other != key and not len(getattr(annotation, key)) and len(getattr(annotation, other)):
            raise ValueError(f'{tag} answers with {key}, but the annotation has only {other}.')


def _ring(ring, where):
    ring = _numbers(ring, where)
    if ring.ndim == 1 and ring.size % 2 == 0:
        ring = ring.reshape(-1, 2)
    if ring.ndim != 2 or ring.shape[1] != 2 or len(ring) < 3:
        raise ValueError(f'{where} is three or more points, (K, 2) in pixels, got the shape {ring.shape}.')
    return ring


def _is_nested(polygon):
    """Tell a list of rings from a single ring."""
    first = polygon[0] if isinstance(polygon, (list, tuple, np.ndarray)) and len(polygon) else 0
    return np.ndim(first) == 2 or (np.ndim(first) == 1 and len(first) > 2)


def _numbers(values, where):
    try:
        return np.asarray(values, np.float64)
    except (TypeError, ValueError):
        raise ValueError(f'{where} must be numbers, got {str(values):.80}.') from None
