"""Ordinary pictures and rasters as RGB arrays."""

import numpy as np
from PIL import Image, UnidentifiedImageError

LARGEST = 1 << 28  # pixels that are read at once; beyond that a scene is cut into windows


def image_size(path):
    """(width, height) of an image, from its header.

    Raises:
        FileNotFoundError, ValueError: Naming the file, if it is missing or no image.
    """
    with _open(path) as image:
        return image.size


def load_image(path, crop=()):
    """Read an image as RGB.

    Args:
        path (str | Path): Any file that pillow reads; grey and palette pictures become RGB, alpha is left out, more
            than eight bits are scaled to eight by the picture's own 2nd and 98th percentile.
        crop (Sequence[float]): x1, y1, x2, y2 in pixels, or empty for all of it.

    Returns:
        np.ndarray: (height, width, 3) uint8.

    Raises:
        FileNotFoundError, ValueError: Naming the file, if it is missing, no image, cut off, larger than 2**28 pixels,
            or the crop reaches beyond it.
    """
    with _open(path) as image:
        width, height = image.size
        if crop and not (0 <= crop[0] < crop[2] <= width and 0 <= crop[1] < crop[3] <= height):
            raise ValueError(f"The crop {[*crop]} reaches beyond '{path}' of {width} x {height} pixels.")
        if width * height > LARGEST:
            raise ValueError(f"'{path}' has {width} x {height} pixels, more than are read at once ({LARGEST}); cut it "
                             'into smaller images.')
        try:
            image = image.crop([round(value) for value in crop]) if crop else image
            image.load()
        except OSError as error:
            raise ValueError(f"'{path}' is cut off: {error}") from None
        if image.mode.startswith(('I', 'F')):
            values = np.asarray(image, np.float64)
            low, high = np.percentile(values, (2, 98))
            image = Image.fromarray(np.uint8(np.clip((values - low) / max(high - low, 1e-12), 0, 1) * 255))
        return np.asarray(image.convert('RGB'))


def _open(path):
    try:
        image = Image.open(path)
    except FileNotFoundError:
        raise FileNotFoundError(f"There is no image '{path}'.") from None
    except (UnidentifiedImageError, OSError) as error:
        raise ValueError(f"'{path}' is no image that can be read: {error}") from None
    except Image.DecompressionBombError as error:
        raise ValueError(f"'{path}' is too large: {error}") from None
    return image
