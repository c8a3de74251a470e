"""Masks as polygons."""

import numpy as np
import shapely
from rasterio import features


def mask_to_instances(mask, tolerance=1., smallest=16):
    """Outline the connected parts of a mask.

    Args:
        mask (np.ndarray): (height, width), true inside.
        tolerance (float): How far, in pixels, a simplified outline may lie from the exact one; 0 keeps every corner.
        smallest (float): Parts and holes of fewer pixels are left out.

    Returns:
        list[list[np.ndarray]]: For each part its rings (K, 2), x before y in pixels: the outline, then its holes.
    """
    mask = np.ascontiguousarray(mask, np.uint8)
    instances = []
    for shape, _ in features.shapes(mask, mask=mask > 0, connectivity=4):
        polygon = shapely.geometry.shape(shape)
        if polygon.area < smallest:
            continue
        polygon = polygon.simplify(tolerance) if tolerance else polygon
        rings = [polygon.exterior, *(hole for hole in polygon.interiors
                                     if shapely.Polygon(hole).area >= smallest)]
        instances.append([np.array(ring.coords)[:-1] for ring in rings])
    return instances
