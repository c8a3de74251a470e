"""Loading of rasters: bands by name, pixels without a measurement filled in."""

import logging
from pathlib import Path

import numpy as np
from mmcv.transforms import BaseTransform
from mmengine.logging import MMLogger

from rstoolbox.registry import TRANSFORMS

from ..bands import band_indices, get_sensor
from .readers import reader_for


@TRANSFORMS.register_module()
class LoadRaster(BaseTransform):
    """Read an image: GeoTIFF, ``.mat``, ``.npy``, JPEG or PNG, its bands chosen by name.

    Which band stands where in the file is taken from ``file_bands``, else from the band descriptions in the file ('B2'
    and 'b02' are B02, 'red' is the sensor's red band), else from the sensor's order. Descriptions of which only some
    are bands of the sensor's are an error.

    Pixels that were not measured (NaN, infinite, equal to the file's nodata value, or holding the sensor's nodata value
    in every band) are filled with the mean of their band over its valid pixels; a band without one is an error.
    A grey picture is repeated over R, G, B, an alpha channel is left out; the log says each of these once.

    Required Keys:

    - img_path
    - sensor (str, optional)
    - file_bands (Sequence[str], optional): Names of the file's bands, in the file's order.
    - bands (Sequence[str], optional): What to read, in this order. Defaults to all bands of the file.

    Modified Keys:

    - bands (list[str])

    Added Keys:

    - img (np.ndarray): H x W x C in the file's data type.
    - img_shape, ori_shape (tuple[int, int])
    - sensor, crs (rasterio CRS or None), geotransform (affine.Affine or None)
    - valid_mask (np.ndarray or None): H x W x C bool, None where every pixel is valid.
    - unit (str): 'stored', the numbers are as in the file.

    Args:
        sensor (str): For a data set that does not say these three itself, as those of other packages.
        file_bands (Sequence[str], optional): Likewise.
        bands (Sequence[str], optional): Likewise.

    Raises:
        FileNotFoundError, ValueError: Naming the file, if it cannot be read, has another number of bands than named,
            lacks a band or has a band without a valid pixel.
    """

    def __init__(self, sensor='rgb', file_bands=None, bands=None):
        get_sensor(sensor)
        self.sensor, self.file_bands, self.bands = sensor, file_bands, bands

    def transform(self, results):
        path = Path(results['img_path'])
        sensor = get_sensor(results.get('sensor', self.sensor))
        found = []

        def choose(count, descriptions):
            names = names_in_file(path, sensor, count, descriptions, results.get('file_bands') or self.file_bands)
            found[:] = results.get('bands') or self.bands or names
            return band_indices(found, names, str(path))

        image, meta = reader_for(path)(path, choose)
        if meta.get('converted'):
            _log_once(f"'{meta['converted']}' pictures are read as R, G, B, the first being {path}.",
                      meta['converted'])
        mask = valid_mask(image, meta['nodata'], sensor.nodata)
        if mask is not None:
            image = fill_invalid(image, mask, found, path)
        results.update(img=image, img_shape=image.shape[:2], ori_shape=image.shape[:2], bands=list(found),
                       sensor=sensor.name, crs=meta['crs'], geotransform=meta['geotransform'], valid_mask=mask,
                       unit='stored')
        return results

    def __repr__(self):
        return f'LoadRaster(sensor={self.sensor!r}, file_bands={self.file_bands}, bands={self.bands})'


def read_band_names(path, sensor):
    """Return the band names of one image in its order, as :class:`LoadRaster` would take them."""
    found = []

    def choose(count, descriptions):
        found[:] = names_in_file(path, sensor, count, descriptions, None)
        return [0]

    reader_for(path)(path, choose)
    return tuple(found)


def names_in_file(path, sensor, count, descriptions, file_bands):
    """Return the band names of a file of ``count`` bands, in its order; ValueError if the number does not fit."""
    if file_bands:
        if len(file_bands) != count:
            raise ValueError(f'{path} has {count} bands, but file_bands names {len(file_bands)}: '
                             f'{", ".join(file_bands)}.')
        return tuple(file_bands)
    described = _described_bands(path, sensor, descriptions)
    if described:
        return described
    # Colour pictures stored as TIFF often carry an alpha band behind R, G, B.
    if sensor.name == 'rgb' and count == 4:
        return (*sensor.band_names, 'alpha')
    if len(sensor.bands) != count:
        raise ValueError(f"{path} has {count} bands, but sensor '{sensor.name}' has {len(sensor.bands)}: "
                         f'{", ".join(sensor.band_names)}. Name the bands of the file, in its order, with file_bands.')
    return sensor.band_names


def _described_bands(path, sensor, descriptions):
    """The sensor's bands that a file says it holds; None where it says nothing that tells one from another."""
    texts = [text or '' for text in descriptions or ()]
    if not any(texts):
        return None
    names = [sensor.band_called(text) for text in texts]
    said = f'{path} describes its bands as {", ".join(map(repr, texts))}'
    if not any(names):
        _log_once(f"{said}, none of which is a band of '{sensor.name}': they are taken in the sensor's order, as are "
                  'those of further images, without a word. file_bands names them.', 'described', logging.WARNING)
        return None
    unknown = [text for text, name in zip(texts, names) if name is None]
    twice = sorted({name for name in names if name and names.count(name) > 1})
    if unknown or twice:
        wrong = f"{unknown[0]!r} is no band of '{sensor.name}'" if unknown else f'{twice[0]} stands twice'
        raise ValueError(f'{said}: {wrong}. Name the bands of the file, in its order, with file_bands.')
    return tuple(names)


def valid_mask(image, nodata, sensor_nodata):
    """Return an H x W x C bool mask of measured pixels, or None if all are.

    Args:
        image (np.ndarray): H x W x C.
        nodata (Sequence[float | None]): The file's nodata value per band.
        sensor_nodata (float, optional): Marks a pixel that holds it in all bands.
    """
    invalid = None
    if np.issubdtype(image.dtype, np.inexact) and not np.isfinite(image).all():
        invalid = ~np.isfinite(image)
    for place, value in enumerate(nodata):
        if value is not None and not np.isnan(value):
            hit = image[:, :, place] == value
            if hit.any():
                invalid = np.zeros(image.shape, bool) if invalid is None else invalid
                invalid[:, :, place] |= hit
    # One band tells already that no pixel is empty in all of them, which is the usual case.
    if sensor_nodata is not None and (image[:, :, 0] == sensor_nodata).any():
        empty = (image == sensor_nodata).all(axis=2)
        if empty.any():
            invalid = np.zeros(image.shape, bool) if invalid is None else invalid
            invalid[empty] = True
    return None if invalid is None else ~invalid


def fill_invalid(image, mask, bands, path):
    """Return the image with each band's mean in place of its invalid pixels; ValueError if a band has no valid one."""
    if not mask.any():
        raise ValueError(f'{path} has no valid pixel: all of its {image.shape[0]} x {image.shape[1]} pixels are '
                         'NaN, nodata or zero in the bands read. Take it out of the folder or the split.')
    empty = [band for band, measured in zip(bands, mask.any(axis=(0, 1))) if not measured]
    if empty:
        # Any filling would be a measurement that nobody took, and 0 one that is far from all others.
        raise ValueError(f"{path} has no valid pixel in band {', '.join(empty)}: all are NaN or nodata. Take the image "
                         'out of the folder or the split, or read other bands.')
    shares = 1 - mask.mean(axis=(0, 1))
    worst = int(shares.argmax())
    _log_once(f'{path} has pixels that were not measured (NaN, nodata or zero in all bands): {shares[worst]:.1%} of '
              f'band {bands[worst]}. They are filled with the mean of their band; so are those of further images, '
              'without a word.', 'filled', logging.WARNING)
    image = image.copy()
    for place in range(image.shape[2]):
        valid = mask[:, :, place]
        if not valid.all():
            mean = image[:, :, place][valid].mean(dtype=np.float64)
            image[:, :, place][~valid] = np.round(mean) if np.issubdtype(image.dtype, np.integer) else mean
    return image


_logged = set()


def _log_once(message, key, level=logging.INFO):
    if key not in _logged:
        _logged.add(key)
        MMLogger.get_current_instance().log(level, message)
