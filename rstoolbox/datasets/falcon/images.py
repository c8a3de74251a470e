"""Ordinary pictures and rasters as RGB arrays."""

import numpy as np
from PIL import Image, UnidentifiedImageError

from .rasters import raster_size, read_raster, read_values

SUFFIXES = {'.jpg', '.jpeg', '.png', '.tif', '.tiff', '.bmp'}


def image_size(path):
    """(width, height) of an image, from its header.

    Raises:
        FileNotFoundError, ValueError: Naming the file, if it is missing or no image.
    """
    image = _open(path)
    if image is None:
        return raster_size(path)
    with image:
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
        path (str | Path): Any picture; grey and palette pictures become RGB, alpha is left out. Rasters of more than
            eight bits or of several bands are read by :func:`.rasters.read_raster`.
        crop (Sequence[float]): x1, y1, x2, y2 in pixels, or empty for all of it.

    Returns:
        np.ndarray: (height, width, 3) uint8.

    Raises:
        FileNotFoundError, ValueError: Naming the file, if it is missing, no image, cut off, of more pixels than Pillow
            reads at once (178,956,970), without a single number, or the crop is empty or reaches beyond it.
    """
    image = _open(path)
    if image is None or image.mode.startswith(('I', 'F')):
        return read_raster(path, whole_crop(crop, image_size(path), path), most_pixels=2 * Image.MAX_IMAGE_PIXELS)
    with image:
        crop = whole_crop(crop, image.size, path)
        return np.asarray(_loaded(image, path, crop).convert('RGB'))


def load_mask(path, colours=False):
    """Read what the pixels of a mask are, in any picture or raster.

    Args:
        path (str | Path): The mask.
        colours (bool): Whether a palette is read as its colours; otherwise as its numbers.

    Returns:
        np.ndarray: (height, width) numbers or (height, width, 3) colours.

    Raises:
        FileNotFoundError, ValueError: As :func:`load_image`.
    """
    image = _open(path)
    if image is None:
        return read_values(path)
    with image:
        if len(image.getbands()) > 1 or (colours and image.mode == 'P'):
            return load_image(path)
        return np.asarray(_loaded(image, path))


def _loaded(image, path, crop=()):
    try:
        image = image.crop(crop) if crop else image
        image.load()
    except OSError as error:
        raise ValueError(f"'{path}' is cut off: {error}") from None
    return image


def _open(path):
    """The file opened by Pillow; None where it is a raster that Pillow does not read."""
    try:
        image = Image.open(path)
    except FileNotFoundError:
        raise FileNotFoundError(f"There is no image '{path}'.") from None
    except UnidentifiedImageError:
        return None
    except OSError as error:
        raise ValueError(f"'{path}' is no image that can be read: {error}") from None
    except Image.DecompressionBombError:
        raise ValueError(f"'{path}' has more pixels than are read at once ({2 * Image.MAX_IMAGE_PIXELS:,}); cut it "
                         'into smaller images.') from None
    return image
