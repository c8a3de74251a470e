"""Ordinary pictures and rasters as RGB arrays."""

import numpy as np
from PIL import Image, UnidentifiedImageError

from .rasters import raster_size, read_raster, read_values

SUFFIXES = {'.jpg', '.jpeg', '.png', '.tif', '.tiff', '.bmp'}
MOST_PIXELS = 2 * Image.MAX_IMAGE_PIXELS  # that Pillow reads at once
BITS_PER_SAMPLE = 258  # TIFF's tag


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
    """A crop in the whole pixels that are cut out; ValueError if none or too many are, or it leaves the image."""
    whole, (width, height) = [round(value) for value in crop], size
    if whole and not (0 <= whole[0] < whole[2] <= width and 0 <= whole[1] < whole[3] <= height):
        raise ValueError(f"The crop {[*crop]} is empty in whole pixels or reaches beyond '{path}' of "
                         f'{width} x {height} pixels.')
    left, top, right, bottom = whole or (0, 0, width, height)
    if (right - left) * (bottom - top) > MOST_PIXELS:
        raise ValueError(f"'{path}' has more pixels than are read at once ({MOST_PIXELS:,}); cut it into smaller "
                         'images, or name a crop.')
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
    if image is None or _is_deep(image) or image.mode == 'La':  # which Pillow does not turn into colours
        return read_raster(path, whole_crop(crop, image_size(path), path))
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
    if image is None or (_is_deep(image) and len(image.getbands()) > 1):
        whole_crop((), image_size(path), path)
        values = read_values(path)
        # Colours of eight bits that were written in sixteen are the same colours: 255 is 65,535 there.
        is_wide = values.ndim == 3 and values.dtype == np.uint16 and not (values % 257).any()
        return np.uint8(values // 257) if is_wide else values
    with image:
        if len(image.getbands()) > 1 or (colours and image.mode == 'P'):
            return load_image(path)
        values = np.asarray(_loaded(image, path))
        return values.astype(np.uint8) if values.dtype == bool else values  # of one bit: 0 and 1


def _is_deep(image):
    """Whether an opened image may have more than eight bits a sample; Pillow cuts those of colours off, in silence."""
    if image.format == 'JPEG2000':  # of which GDAL tells more
        return True
    bits = max(image.tag_v2.get(BITS_PER_SAMPLE, (1,))) if image.format == 'TIFF' else 8
    return bits > 8 or image.mode.startswith(('I', 'F')) or any(';16' in str(tile[3]) for tile in image.tile)


def _loaded(image, path, crop=()):
    try:
        image = image.crop(crop) if crop else image
        image.load()
    except OSError as error:
        raise ValueError(f"'{path}' is cut off: {error}") from None
    return image


def _open(path):
    """The file opened by Pillow; None where it is a raster that Pillow does not read, or not at this size."""
    try:
        return Image.open(path)
    except FileNotFoundError:
        raise FileNotFoundError(f"There is no image '{path}'.") from None
    except (UnidentifiedImageError, Image.DecompressionBombError):
        return None
    except OSError as error:
        raise ValueError(f"'{path}' is no image that can be read: {error}") from None
