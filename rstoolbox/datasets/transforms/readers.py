"""Reading one image file into an array, whatever its format; every failure names the file."""

import io
import tokenize
import warnings
import zlib
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import rasterio
import scipy.io
from PIL import Image
from rasterio.errors import NotGeoreferencedWarning, RasterioError

GEOTIFF_SUFFIXES = ('.tif', '.tiff')
ARRAY_SUFFIXES = ('.mat', '.npy')
PICTURE_SUFFIXES = ('.jpg', '.jpeg', '.png')
SUFFIXES = GEOTIFF_SUFFIXES + ARRAY_SUFFIXES + PICTURE_SUFFIXES
MAT_IMAGE_KEY = 'msi'
PNG_START, PNG_END = b'\x89PNG\r\n\x1a\n', b'IEND\xaeB`\x82'
# What numpy and scipy raise on a damaged file, beside what they say about it themselves.
DAMAGED = (OSError, EOFError, ValueError, TypeError, IndexError, KeyError, tokenize.TokenError, zlib.error,
           scipy.io.matlab.MatReadError)


def read_geotiff(path, choose):
    """Read bands of a GeoTIFF.

    Args:
        path (Path): The file.
        choose (Callable): Given the number of bands and their descriptions, returns the places (0-based) to read.

    Returns:
        tuple[np.ndarray, dict]: The image, H x W x C in the file's data type, and ``crs`` (rasterio CRS or None),
        ``geotransform`` (affine.Affine) and ``nodata`` (one value or None per band read).

    Raises:
        ValueError: If the file is no raster, is cut off or holds complex numbers.
    """
    try:
        with open_raster(path) as source:
            places = choose(source.count, source.descriptions)
            image = source.read([place + 1 for place in places])
            nodata = [source.nodatavals[place] for place in places]
            meta = dict(crs=source.crs, geotransform=source.transform, nodata=nodata)
    except RasterioError as error:
        raise _unreadable(path, 'GeoTIFF', error) from None
    _check_real(image, path)
    return np.ascontiguousarray(image.transpose(1, 2, 0)), meta


@contextmanager
def open_raster(path):
    """Open a file by rasterio, with or without coordinates; what is wrong with it is a ``RasterioError``."""
    # Pictures without coordinates are fine here. Files beside it (masks, world files) count, but are asked for by name:
    # listing a folder of 100,000 files at every opening would not do.
    with warnings.catch_warnings(), rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN='TRUE'):
        warnings.simplefilter('ignore', NotGeoreferencedWarning)
        with rasterio.open(path) as source:
            yield source


@contextmanager
def reading_raster(path):
    """Make a ``RasterioError`` of the block a ValueError that names the file."""
    try:
        yield
    except RasterioError as error:
        raise ValueError(f"'{path}' is no image that can be read: {error.__cause__ or error}") from None


def read_array(path, choose):
    """Read bands of a ``.npy`` or ``.mat`` file; the arguments and errors of :func:`read_geotiff`.

    A ``.mat`` file holds the image under ``msi`` or as its only three-dimensional array. Bands may come first or last.
    """
    image = _image_of_mat(read_mat(path), path) if path.suffix.lower() == '.mat' else _read_npy(path)
    _check_real(image, path)
    if image.ndim == 2:
        image = image[:, :, None]
    if image.ndim != 3 or not image.size or image.dtype.kind not in 'biuf':
        raise ValueError(f'{path} holds an array of shape {image.shape} and type {image.dtype}; expected numbers, '
                         'H x W x bands, at least one of each.')
    try:
        places = choose(image.shape[2], None)
    except ValueError:
        try:
            places = choose(image.shape[0], None)
        except ValueError:
            places = None
        if places is None:
            raise
        image = image.transpose(1, 2, 0)
    return np.ascontiguousarray(image[:, :, places]), dict(crs=None, geotransform=None, nodata=[None] * len(places))


def read_mat(path, **options):
    """Return the variables of a ``.mat`` file.

    Args:
        path (Path): The file.
        options: As for ``scipy.io.loadmat``.

    Raises:
        FileNotFoundError, ValueError: If there is no such file, or it is damaged or of MATLAB 7.3.
    """
    try:
        return scipy.io.loadmat(path, **options)
    except NotImplementedError:
        raise ValueError(f'{path} is a MATLAB 7.3 (HDF5) file, which is not supported: save it with '
                         "save(..., '-v7') or convert it to .npy.") from None
    except DAMAGED as error:
        raise _unreadable(path, '.mat file', error) from None


def read_picture(path, choose):
    """Read channels of a JPEG or PNG of 8 or 16 bits as R, G, B; the arguments and errors of :func:`read_geotiff`.

    Grey pictures are repeated over the three channels, an alpha channel is left out, other colour models (palette,
    CMYK) are converted. ``meta['converted']`` says from what, None where the file held plain R, G, B.
    """
    converted = None
    try:
        content = path.read_bytes()
        if content.startswith(PNG_START):  # whatever it is called: many a .png is a JPEG
            image, converted = _decode_png(content)
        else:
            picture = Image.open(io.BytesIO(content))
            if picture.mode.startswith(('I', 'F')):  # PIL would cut its values to 0 to 255
                raise ValueError(f'it is a {picture.format} of more than 8 bits, whose name must end accordingly')
            if picture.mode != 'RGB':
                converted = picture.mode
                picture = picture.convert('RGB')
            image = np.asarray(picture)
    except (OSError, SyntaxError, ValueError, cv2.error) as error:
        raise _unreadable(path, path.suffix[1:].upper(), error) from None
    places = choose(3, ('R', 'G', 'B'))
    # A copy: PIL's array is read-only, and transforms may write in place.
    image = image.copy() if list(places) == [0, 1, 2] else np.ascontiguousarray(image[:, :, places])
    return image, dict(crs=None, geotransform=None, nodata=[None] * len(places), converted=converted)


def reader_for(path):
    """Return the reader for a file name's suffix; ValueError if there is none."""
    suffix = Path(path).suffix.lower()
    for suffixes, reader in ((GEOTIFF_SUFFIXES, read_geotiff), (ARRAY_SUFFIXES, read_array),
                             (PICTURE_SUFFIXES, read_picture)):
        if suffix in suffixes:
            return reader
    raise ValueError(f"{path}: no reader for '{suffix}'; expected one of {', '.join(SUFFIXES)}.")


def _decode_png(content):
    # OpenCV keeps 16 bits, which PIL cuts to 8 for colour; but it fills a cut-off file with zeros without a word.
    # Other programs may have written something behind its end.
    if PNG_END not in content:
        raise ValueError('the file is cut off')
    image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise ValueError('the file is damaged')
    if image.ndim == 2:
        return np.repeat(image[:, :, None], 3, axis=2), 'grey'
    return image[:, :, 2::-1], 'RGBA' if image.shape[2] == 4 else None


def _read_npy(path):
    try:
        with path.open('rb') as file:
            return np.lib.format.read_array(file, allow_pickle=False)
    except DAMAGED as error:
        raise _unreadable(path, '.npy file', error) from None


def _check_real(image, path):
    if np.iscomplexobj(image):
        raise ValueError(f'{path} holds complex numbers ({image.dtype}); expected real ones. Save their amplitude, or '
                         'real and imaginary part as bands of their own.')


def _image_of_mat(content, path):
    if MAT_IMAGE_KEY in content:
        return content[MAT_IMAGE_KEY]
    arrays = {key: value for key, value in content.items() if getattr(value, 'ndim', 0) == 3}
    if len(arrays) != 1:
        keys = [key for key in content if not key.startswith('__')]
        raise ValueError(f"{path} has no array '{MAT_IMAGE_KEY}' and {len(arrays)} three-dimensional arrays, so that "
                         f"it is not clear which is the image. Its keys: {', '.join(keys)}.")
    return next(iter(arrays.values()))


def _unreadable(path, kind, error):
    path = Path(path)
    if not path.is_file():
        return FileNotFoundError(f'There is no image at {path}.')
    cause = str(error).replace(f'{path}: ', '').rstrip('.') or type(error).__name__
    return ValueError(f'{path} ({path.stat().st_size:,} bytes) cannot be read as a {kind}: {cause}. '
                      'It may be cut off or of another format; fetch it again or take it out of the folder.')
