"""Rasters that are no pictures, of more than eight bits or more than three bands, as RGB arrays."""

from contextlib import contextmanager

import numpy as np
from rasterio.enums import ColorInterp

from ..transforms.readers import open_raster, reading_raster

COLOURS = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
# What the bands are called in files: by colour, and as Sentinel-2 and Landsat 8 number them.
NAMES = (('RED', 'R', 'B04', 'B4'), ('GREEN', 'G', 'B03', 'B3'), ('BLUE', 'B', 'B02', 'B2'))


def raster_size(path):
    """(width, height) of a raster; ValueError naming the file if it is none."""
    with _opened(path) as source:
        return source.width, source.height


def read_raster(path, crop=()):
    """Read the red, green and blue band of a raster, or its only one, as eight bits.

    Red, green and blue are the bands that the file says are; else those so described ('red', 'B04', 'B4'); else the
    three that there are. A palette is read as its colours, an alpha band as what is not measured. Values that are not
    eight bits are stretched between the 2nd and the 98th percentile of all three bands together, so that hues stay.
    Pixels without a measurement (nodata, NaN, infinite) are black.

    Args:
        path (str | Path): A file that GDAL reads.
        crop (Sequence[int]): x1, y1, x2, y2 in pixels, or empty for all of it; nothing else is read.

    Returns:
        np.ndarray: (height, width, 3) uint8.

    Raises:
        ValueError: Naming the file, if it cannot be read, its bands cannot be told apart, none of its pixels is
            measured.
    """
    with _opened(path) as source:
        left, top, right, bottom = crop or (0, 0, source.width, source.height)
        values = _measured(source, path, window=((top, bottom), (left, right)))
    return _as_image(values if values.dtype == np.uint8 else _stretched(values, *_percentiles(values, path)))


def read_tile(path, crop, stretch):
    """Read a crop as :func:`read_raster`, but stretched as all others of the raster.

    Args:
        path (str | Path): A file that GDAL reads.
        crop (Sequence[int]): x1, y1, x2, y2 in pixels.
        stretch (tuple[float, float] | None): What :func:`stretch_of` says of the raster.

    Returns:
        np.ndarray | None: (height, width, 3) uint8; None where nothing is measured.

    Raises:
        ValueError: As :func:`read_raster`.
    """
    left, top, right, bottom = crop
    with _opened(path) as source:
        values = _measured(source, path, window=((top, bottom), (left, right)))
    if np.ma.getmaskarray(values).all():
        return None
    return _as_image(values if stretch is None else _stretched(values, *stretch))


def stretch_of(path, most_pixels=2**22):
    """Black and white for all crops of a raster: the 2nd and the 98th percentile, or None for eight bits.

    Args:
        path (str | Path): A file that GDAL reads; of a larger one every n-th pixel is read.
        most_pixels (int): From this size on.

    Raises:
        ValueError: As :func:`read_raster`.
    """
    with _opened(path) as source:
        step = max(1, (source.width * source.height / most_pixels) ** 0.5)
        values = _measured(source, path, shape=tuple(max(1, round(side / step)) for side in source.shape))
    return None if values.dtype == np.uint8 else _percentiles(values, path)


def read_values(path):
    """The only band of a raster, (height, width), or its three colours, (height, width, 3), as they are.

    Raises:
        ValueError: Naming the file, if it cannot be read or its bands cannot be told apart.
    """
    with _opened(path) as source:
        values = source.read(_colour_bands(source, path))
    return values[0] if len(values) == 1 else values.transpose(1, 2, 0)


def _colour_bands(source, path):
    """The numbers of the red, green and blue band, counted from 1, or of the only one."""
    if source.count == 1 or (source.count == 2 and source.colorinterp[1] == ColorInterp.alpha):
        return [1]
    said = list(source.colorinterp)
    if all(colour in said for colour in COLOURS):
        return [said.index(colour) + 1 for colour in COLOURS]
    texts = [(text or '').strip().upper() for text in source.descriptions]
    found = [next((texts.index(name) + 1 for name in names if name in texts), None) for names in NAMES]
    if all(found):
        return found
    if source.count == 3:
        return [1, 2, 3]
    bands = ', '.join(text or f'number {number}' for number, text in enumerate(source.descriptions, 1))
    raise ValueError(f"'{path}' does not say which of its {source.count} bands are red, green and blue ({bands}). "
                     'Write those three: gdal_translate -b RED -b GREEN -b BLUE')


def _measured(source, path, window=None, shape=None):
    """The colours or the only band, (bands, height, width), masked where nothing is measured."""
    bands = _colour_bands(source, path)
    if 'complex' in source.dtypes[bands[0] - 1]:
        raise ValueError(f"'{path}' holds complex numbers, which are no picture. Write their magnitude or intensity: "
                         'gdal_calc.py, or gdal_translate of a derived band.')
    values = source.read(bands, window=window, out_shape=shape and (len(bands), *shape), masked=True)
    if source.colorinterp[0] == ColorInterp.palette and values.dtype == np.uint8:
        palette = np.zeros((256, 3), np.uint8)
        for number, colour in source.colormap(1).items():
            palette[number] = colour[:3]
        mask = np.ma.getmaskarray(values)
        values = np.ma.array(palette[values.data[0]].transpose(2, 0, 1), mask=np.repeat(mask, 3, axis=0))
    if ColorInterp.alpha in source.colorinterp:
        seen = source.dataset_mask(window=window, out_shape=shape) > 0
        values = np.ma.array(values, mask=np.ma.getmaskarray(values) | ~seen)
    return np.ma.masked_invalid(values) if values.dtype.kind == 'f' else values


def _as_image(values):
    image = values.filled(0).transpose(1, 2, 0)
    return np.ascontiguousarray(np.broadcast_to(image, (*image.shape[:2], 3)))


def _percentiles(values, path):
    known = values.compressed()
    if not known.size:
        raise ValueError(f"'{path}' holds not a single number there, only nodata, NaN or infinity.")
    return tuple(np.percentile(known, (2, 98)))


def _stretched(values, low, high):
    # What is of one value is grey: black is what was not measured.
    scaled = np.clip((values.filled(low) - low) / (high - low) if high > low else values.filled(low) - low + 0.5, 0, 1)
    return np.ma.array(np.uint8(scaled * 255), mask=values.mask)


@contextmanager
def _opened(path):
    with reading_raster(path), open_raster(path) as source:
        yield source
