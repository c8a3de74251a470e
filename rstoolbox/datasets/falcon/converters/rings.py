"""Masks as polygons."""

from collections import defaultdict

import numpy as np
import shapely
from rasterio import features


def mask_to_instances(mask, tolerance=1., smallest=16, numbers=None):
    """Outline the connected parts of a mask.

    Args:
        mask (np.ndarray): (height, width), true inside.
        tolerance (float): How far, in pixels, a simplified outline may lie from the exact one; 0 keeps every corner.
        smallest (float): Parts and holes of fewer pixels are left out.
        numbers (np.ndarray, optional): (height, width) int32; all parts of one number are one instance. Without it
            each part is one.

    Returns:
        list[list[np.ndarray]]: For each instance its rings (K, 2), x before y in pixels: the outline of a part, then
        its holes.
    """
    inside = np.ascontiguousarray(mask, np.uint8)
    instances = defaultdict(list)
    # One pass outlines all numbers; a pass for each would take minutes for an image of a thousand vehicles.
    parts = features.shapes(inside if numbers is None else numbers, mask=inside > 0, connectivity=4)
    for place, (shape, number) in enumerate(parts):
        polygon = shapely.geometry.shape(shape)
        if polygon.area < smallest:
            continue
        polygon = polygon.simplify(tolerance) if tolerance else polygon
        rings = [polygon.exterior, *(hole for hole in polygon.interiors
                                     if shapely.Polygon(hole).area >= smallest)]
        instances[place if numbers is None else number] += [np.array(ring.coords)[:-1] for ring in rings]
    return [instances[key] for key in sorted(instances)]
