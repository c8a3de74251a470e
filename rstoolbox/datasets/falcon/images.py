"""Ordinary pictures and rasters as RGB arrays."""

import numpy as np
from PIL import Image, UnidentifiedImageError

SUFFIXES = {'.jpg', '.jpeg', '.png', '.tif', '.tiff', '.bmp'}


def image_size(path):
    """(width, height) of an image, from its header.

    Raises:
        FileNotFoundError, ValueError: Naming the file, if it is missing or no image.
    """
    with _open(path) as image:
        return image.size


def whole_crop(crop, size, path):
    """A crop in the whole pixels that are cut out; ValueError if none are, or it reaches beyond an image."""
    whole, (width, height) = [round(value) for value in crop], size
    if whole and not (0 <= whole[0] < whole[2] <= width and 0 <= whole[1] < whole[3] <= height):
        raise ValueError(f"The crop {[*crop]} is empty in whole pixels or reaches beyond '{path}' of "
                         f'{width} x {height} pixels.')
    return whole


def load_image(path, crop=()):
    """Read an image as RGB.

    Args:
        path (str | Path): Any file that pillow reads; grey and palette pictures become RGB, alpha is left out, more
            than eight bits are scaled to eight by the picture's own 2nd and 98th percentile, where NaN is black.
        crop (Sequence[float]): x1, y1, x2, y2 in pixels, or empty for all of it.

    Returns:
        np.ndarray: (height, width, 3) uint8.

    Raises:
        FileNotFoundError, ValueError: Naming the file, if it is missing, no image, cut off, of more pixels than Pillow
            reads at once (178,956,970), without a single number, or the crop is empty or reaches beyond it.
    """
    with _open(path) as image:
        crop = whole_crop(crop, image.size, path)
        try:
            image = image.crop(crop) if crop else image
            image.load()
        except OSError as error:
            raise ValueError(f"'{path}' is cut off: {error}") from None
        if image.mode.startswith(('I', 'F')):
            values = np.asarray(image, np.float64)
            known = values[np.isfinite(values)]
            if not known.size:
                raise ValueError(f"'{path}' holds not a single number there, only NaN or infinity.")
            low, high = np.percentile(known, (2, 98))
            scaled = np.clip((values - low) / max(high - low, 1e-12), 0, 1)
            image = Image.fromarray(np.uint8(np.nan_to_num(scaled) * 255))
        return np.asarray(image.convert('RGB'))


def _open(path):
    try:
        image = Image.open(path)
    except FileNotFoundError:
        raise FileNotFoundError(f"There is no image '{path}'.") from None
    except UnidentifiedImageError:
        raise ValueError(f"'{path}' is no image that can be read: it is no kind that Pillow knows. Of a raster write "
                         'one or three bands of eight bits: gdal_translate -b 1 -b 2 -b 3 -ot Byte -scale') from None
    except OSError as error:
        raise ValueError(f"'{path}' is no image that can be read: {error}") from None
    except Image.DecompressionBombError:
        raise ValueError(f"'{path}' has more pixels than are read at once ({2 * Image.MAX_IMAGE_PIXELS:,}); cut it "
                         'into smaller images.') from None
    return image
