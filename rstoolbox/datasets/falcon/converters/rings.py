"""Masks as polygons."""

import math
from collections import defaultdict

import numpy as np
import shapely
from mmengine.logging import print_log
from rasterio import features


class OutlinedMasks:
    """Mix-in of converters that outline masks. What no part of is large enough to outline is never said to be absent.

    Args:
        tolerance (float): How far, in pixels, a simplified outline may lie from the exact one; 0 keeps every corner.
        smallest (int): Parts and holes of fewer pixels are left out; 1 keeps all. How many parts were, the log says at
            the end.
        **kwargs: See :class:`Converter`.
    """

    def __init__(self, *args, tolerance=1., smallest=16, **kwargs):
        super().__init__(*args, **kwargs)
        if not 0 <= tolerance < math.inf:
            raise ValueError(f'tolerance is how many pixels an outline may lie off, 0 or more, got {tolerance}.')
        if not isinstance(smallest, int) or smallest < 1:
            raise ValueError(f'smallest is how many pixels a part has at least, 1 or more, got {smallest!r}.')
        self.tolerance, self.smallest, self.left_out = tolerance, smallest, 0

    def __iter__(self):
        self.left_out = 0
        yield from super().__iter__()
        if self.left_out:
            print_log(f"'{self.source}': {self.left_out} parts of fewer than {self.smallest} pixels were left out; "
                      '--smallest says how small they may be.', 'current')

    def outline(self, mask, numbers=None):
        """The instances of a mask, see :func:`mask_to_instances`; the parts that it leaves out are counted."""
        instances, left_out = mask_to_instances(mask, self.tolerance, self.smallest, numbers)
        self.left_out += left_out
        return instances


def mask_to_instances(mask, tolerance=1., smallest=16, numbers=None):
    """Outline the connected parts of a mask.

    Args:
        mask (np.ndarray): (height, width), true inside.
        tolerance (float): See :class:`OutlinedMasks`.
        smallest (int): See :class:`OutlinedMasks`.
        numbers (np.ndarray, optional): (height, width) int32; all parts of one number are one instance. Without it
            each part is one.

    Returns:
        tuple[list[list[np.ndarray]], int]: For each instance its rings (K, 2), x before y in pixels: the outline of a
        part, then its holes; and how many parts were too small.
    """
    inside = np.ascontiguousarray(mask, np.uint8)
    instances, left_out = defaultdict(list), 0
    # One pass outlines all numbers; a pass for each would take minutes for an image of a thousand vehicles.
    parts = features.shapes(inside if numbers is None else numbers, mask=inside > 0, connectivity=4)
    for place, (shape, number) in enumerate(parts):
        polygon = shapely.geometry.shape(shape)
        if polygon.area < smallest:
            left_out += 1
            continue
        polygon = polygon.simplify(tolerance) if tolerance else polygon
        rings = [polygon.exterior, *(hole for hole in polygon.interiors
                                     if shapely.Polygon(hole).area >= smallest)]
        instances[place if numbers is None else number] += [np.array(ring.coords)[:-1] for ring in rings]
    return [instances[key] for key in sorted(instances)], left_out
