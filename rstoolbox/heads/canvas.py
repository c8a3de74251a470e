"""Two images of one place on one canvas: before at the upper left, after at the lower right, the rest black."""

import numpy as np

from .grammar import NUM_BINS, image_sides


def compose_canvas(before, after):
    """Lay two images of one size out on a canvas of twice their height and width.

    Args:
        before (np.ndarray): (H, W, C) or (H, W).
        after (np.ndarray): The same shape and data type.

    Returns:
        np.ndarray: (2H, 2W, C) or (2H, 2W).

    Raises:
        ValueError: If the two differ in size or data type.
    """
    if before.shape != after.shape or before.dtype != after.dtype:
        raise ValueError('A pair of images before and after must have one size and data type, but before is '
                         f'{_describe(before)} and after is {_describe(after)}.')
    height, width = before.shape[:2]
    canvas = np.zeros((2 * height, 2 * width, *before.shape[2:]), before.dtype)
    canvas[:height, :width] = before
    canvas[height:, width:] = after
    return canvas


def split_canvas(canvas):
    """Take the two images off their canvas, the inverse of :func:`compose_canvas`.

    Args:
        canvas (np.ndarray): (2H, 2W, ...).

    Returns:
        tuple[np.ndarray, np.ndarray]: Before and after, (H, W, ...) views of the canvas.

    Raises:
        ValueError: If a side of the canvas is odd.
    """
    height, width = canvas.shape[:2]
    if height % 2 or width % 2:
        raise ValueError(f'A canvas of two images has even sides, got {_describe(canvas)}.')
    return canvas[:height // 2, :width // 2], canvas[height // 2:, width // 2:]


def place_on_canvas(polygons, image_size, frame='before'):
    """Move polygons of a single frame to where that frame lies on the canvas.

    Args:
        polygons (list[list[np.ndarray]]): Instances of rings (K, 2) in pixels of the frame.
        image_size (tuple): (width, height) of a frame.
        frame (str): 'before' or 'after'.

    Returns:
        list[list[np.ndarray]]: The same in pixels of the canvas.
    """
    offset = image_sides(image_size) * {'before': 0, 'after': 1}[frame]
    return [[np.asarray(ring) + offset for ring in rings] for rings in polygons]


def fold_to_frame(polygons, image_size):
    """Move polygons of the canvas, whichever frame they were drawn in, to a single frame.

    Args:
        polygons (list[list[np.ndarray]]): Instances of rings (K, 2) in pixels of the canvas.
        image_size (tuple): (width, height) of a frame.

    Returns:
        tuple[list, int]: The instances in pixels of the frame, clamped to it; and how many were left out because they
        lie in a black block or in more than one block.
    """
    sides = image_sides(image_size)
    # A point on the edge between two blocks may be written as the first bin beyond it.
    slack = 2 * sides / NUM_BINS
    folded = []
    for rings in polygons:
        points = np.concatenate(rings)
        for offset in (0 * sides, sides):
            if (points >= offset - slack).all() and (points <= offset + sides + slack).all():
                folded.append([np.clip(ring - offset, 0, sides) for ring in rings])
                break
    return folded, len(polygons) - len(folded)


def _describe(image):
    return f'{image.shape[1]} x {image.shape[0]} (shape {image.shape}, {image.dtype})'
