"""From stored numbers to physical units, bands and colours."""

import numpy as np
from mmcv.transforms import BaseTransform

from rstoolbox.registry import TRANSFORMS
from rstoolbox.structures import load_statistics

from ..bands import band_indices, get_sensor

VARIANTS = ('sound', 'as_released')
COLOURS = ('R', 'G', 'B')


@TRANSFORMS.register_module()
class ToReflectance(BaseTransform):
    """Turn stored numbers into float32 reflectance (multispectral) or 0 to 1 (R, G, B).

    ``variant='sound'``: ``scale * number + offset`` of the sensor; sensor 'rgb' by data type, 8 bits / 255 and 16
    bits / 65535, floating point is taken to be in 0 to 1 already. The same for every image, so that absolute
    radiometry is kept.
    ``variant='as_released'``: what SemBridge's published code does to multispectral images: division by the image's
    own maximum over all bands, rounded down to 8 bits, / 255. An image whose maximum is not positive becomes 0.

    Required Keys: img, bands, sensor, img_path (optional, for messages).

    Modified Keys: img, unit (then 'reflectance').

    Args:
        variant (str): 'sound' or 'as_released'.
        scale (float, optional): Instead of the sensor's.
        offset (float, optional): Instead of the sensor's.

    Raises:
        ValueError: For an unknown variant, a thermal band, picture data of neither 8 nor 16 bits nor float, or an image
            that is in reflectance already.
    """

    def __init__(self, variant='sound', scale=None, offset=None):
        if variant not in VARIANTS:
            raise ValueError(f"ToReflectance has no variant '{variant}', expected one of {', '.join(VARIANTS)}.")
        self.variant, self.scale, self.offset = variant, scale, offset

    def transform(self, results):
        image, sensor = results['img'], get_sensor(results['sensor'])
        if results.get('unit', 'stored') != 'stored':
            raise ValueError('ToReflectance stands twice in the pipeline: the image is in reflectance already.')
        results['unit'] = 'reflectance'
        if self.variant == 'as_released' and sensor.scale is not None:
            results['img'] = _by_image_maximum(image)
            return results
        scale = self._scale(sensor, image.dtype, results.get('img_path', 'the image'))
        offset = sensor.offset if self.offset is None else self.offset
        thermal = [name for name in results['bands'] if name in sensor.band_names and sensor.band(name).is_thermal]
        if thermal:
            raise ValueError(f"Band '{thermal[0]}' of sensor '{sensor.name}' is thermal and has no reflectance: leave "
                             'it out of the bands.')
        image = image.astype(np.float32)
        image *= np.float32(scale)
        if offset:
            image += np.float32(offset)
        results['img'] = image
        return results

    def _scale(self, sensor, dtype, path):
        if self.scale is not None:
            return self.scale
        if sensor.scale is not None:
            return sensor.scale
        scales = {'uint8': 1 / 255, 'uint16': 1 / 65535, 'float32': 1., 'float64': 1.}
        if dtype.name not in scales:
            raise ValueError(f'{path} holds {dtype.name}, whose range is not known: expected '
                             f'{", ".join(scales)}, or give ToReflectance a scale.')
        return scales[dtype.name]

    def __repr__(self):
        return f"ToReflectance(variant='{self.variant}', scale={self.scale}, offset={self.offset})"


@TRANSFORMS.register_module()
class SelectBands(BaseTransform):
    """Keep some bands, by name and in the order given.

    Required Keys: img, bands.

    Modified Keys: img, bands, valid_mask (if present).

    Args:
        bands (Sequence[str]): Names of the bands to keep.

    Raises:
        ValueError: If the image has no such band, with the nearest name.
    """

    def __init__(self, bands):
        self.bands = list(bands)

    def transform(self, results):
        places = band_indices(self.bands, results['bands'], str(results.get('img_path', 'the image')))
        results['img'] = np.ascontiguousarray(results['img'][:, :, places])
        if results.get('valid_mask') is not None:
            results['valid_mask'] = results['valid_mask'][:, :, places]
        results['bands'] = list(self.bands)
        return results

    def __repr__(self):
        return f'SelectBands(bands={self.bands})'


@TRANSFORMS.register_module()
class PseudoRGB(BaseTransform):
    """Make a colour image out of a multispectral one: its red, green and blue band, by name, called R, G, B.

    With ``statistics`` it looks like the ordinary pictures of another side: every band is brought to the mean and the
    standard deviation that its colour has there, ``(x - mean_ms) / std_ms * std_rgb + mean_rgb``, and cut to 0 to 1.
    Sun, haze and the stretch of whoever made the pictures then do not set the two apart.

    Required Keys: img, bands, sensor.

    Modified Keys: img, bands, sensor (then 'rgb'), valid_mask (if present).

    Args:
        statistics (dict, optional): ``dict(ms=..., rgb=...)``, the statistics of both sides' training images, as
            :func:`~rstoolbox.structures.load_statistics` reads them. None (default) leaves the values as they are.

    Raises:
        ValueError: If ``statistics`` has other keys, or lacks a band of either side.
        FileNotFoundError: If a file of them does not exist.
    """

    def __init__(self, statistics=None):
        if statistics is not None and set(statistics) != {'ms', 'rgb'}:
            raise ValueError(f'PseudoRGB needs statistics=dict(ms=..., rgb=...), got the keys '
                             f'{", ".join(map(str, statistics)) or "none"}.')
        self.statistics = statistics
        self.wanted = None if statistics is None else np.float32(load_statistics(statistics['rgb'], COLOURS))
        self.looks = {}  # by bands of the sensor: factors and offsets

    def transform(self, results):
        if results.get('unit') == 'stored':
            raise ValueError('PseudoRGB works on reflectance: put ToReflectance before it.')
        bands = tuple(get_sensor(results['sensor']).rgb_bands)
        results = SelectBands(bands).transform(results)
        if self.statistics is not None:
            factor, offset = self._look(bands)
            results['img'] = np.clip(results['img'].astype(np.float32) * factor + offset, 0, 1)
        results.update(bands=list(COLOURS), sensor='rgb')
        return results

    def _look(self, bands):
        if bands not in self.looks:
            mean, std = np.float32(load_statistics(self.statistics['ms'], bands))
            wanted_mean, wanted_std = self.wanted
            factor = wanted_std / std
            self.looks[bands] = factor, wanted_mean - mean * factor
        return self.looks[bands]

    def __repr__(self):
        return f'PseudoRGB(statistics={self.statistics})'


def _by_image_maximum(image):
    maximum = image.max()
    if maximum <= 0:
        return np.zeros(image.shape, np.float32)
    grey = np.clip(image / maximum, 0, 1) * 255
    return grey.astype(np.uint8).astype(np.float32) / np.float32(255)
