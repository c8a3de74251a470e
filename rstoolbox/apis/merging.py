"""What neighbouring tiles found twice, or in parts, brought together."""

from functools import reduce

import numpy as np

from rstoolbox.models.falcon.optional import optional

shapely = optional('shapely')

SAME = 0.5  # share of the smaller of two shapes that the other covers, from which on both are one object
EDGE = 1 / 250  # of a tile's side: how near to its edge an object is that the edge may have cut


def shapes_of(answer):
    """The boxes, quads or polygons of an answer as shapely's, valid ones, in its pixels.

    Of the rings of an instance, one within another is a hole and one beside it a further part.
    """
    if len(answer.bboxes):
        return shapely.box(*np.transpose(answer.bboxes))
    if len(answer.quads):
        return shapely.make_valid(shapely.polygons(answer.quads.reshape(-1, 4, 2)))
    return np.array([reduce(shapely.symmetric_difference, shapely.make_valid([shapely.Polygon(ring) for ring in rings]))
                     for rings in answer.polygons], dtype=object)


def cut_by_edges(shapes, tile, size):
    """Which shapes touch an edge of their tile that is not one of the raster's: (N,) bool.

    Args:
        shapes (np.ndarray): In pixels of the raster.
        tile (tuple[int, int, int, int]): x1, y1, x2, y2.
        size (tuple[int, int]): Width and height of the raster.
    """
    left, top, right, bottom = tile
    margin = EDGE * max(right - left, bottom - top)
    bounds = shapely.bounds(shapes).reshape(-1, 4)
    near = np.abs(bounds - tile) <= margin
    return (near & [left > 0, top > 0, right < size[0], bottom < size[1]]).any(1)


def keep_best(shapes, scores, tiles, cut):
    """Of objects that several tiles found, keep the one that no edge has cut, else the surest.

    Args:
        shapes (np.ndarray): (N,) shapely shapes.
        scores (np.ndarray): (N,) confidences.
        tiles (np.ndarray): (N,) the number of the tile that found each; two of one tile are two objects.
        cut (np.ndarray): (N,) bool, :func:`cut_by_edges`.

    Returns:
        list[int]: Which ones stay, in their order.
    """
    order, tree, dropped = np.lexsort((-scores, cut)), shapely.STRtree(shapes), set()
    kept = []
    for best in order:
        if best in dropped:
            continue
        kept.append(int(best))
        near = np.array([other for other in tree.query(shapes[best])
                         if tiles[other] != tiles[best] and other not in dropped], int)
        common = shapely.area(shapely.intersection(shapes[near], shapes[best]))
        smaller = np.minimum(shapely.area(shapes[near]), shapely.area(shapes[best]))
        dropped.update(near[common > SAME * smaller].tolist())
    return sorted(kept)


def dissolve(shapes, scores):
    """Unite areas that overlap or touch.

    Args:
        shapes (np.ndarray): (N,) shapely shapes.
        scores (np.ndarray): (N,) confidences.

    Returns:
        tuple[np.ndarray, np.ndarray]: The connected areas, and of each the highest score among its parts.
    """
    parts = shapely.get_parts(shapely.union_all(shapes))
    parts = parts[shapely.area(parts) > 0]
    tree = shapely.STRtree(shapes)
    return parts, np.array([scores[tree.query(part, predicate='intersects')].max() for part in parts])
