"""Random changes of images with any number of bands.

Random crops, flips and resizing of mmcv and mmpretrain work on any number of bands; configs name them as they are:
``mmpretrain.RandomResizedCrop``, ``mmpretrain.RandomCrop``, ``RandomFlip``, ``Resize``, ``mmpretrain.ResizeEdge``.
"""

import numpy as np
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness

from rstoolbox.registry import TRANSFORMS


@TRANSFORMS.register_module()
class RandomRot90(BaseTransform):
    """Turn the image by a random multiple of 90 degrees: seen from above no direction is special.

    Required Keys: img.

    Modified Keys: img, img_shape, valid_mask (if present).

    Args:
        prob (float): Probability to turn at all (by 90, 180 or 270 degrees alike). 0.75 makes all four equally likely.
    """

    def __init__(self, prob=0.75):
        _check_range(type(self).__name__, 'prob', prob, 0, 1)
        self.prob = prob

    @cache_randomness
    def _turns(self):
        return int(np.random.randint(1, 4)) if np.random.rand() < self.prob else 0

    def transform(self, results):
        turns = self._turns()
        if turns:
            results['img'] = np.ascontiguousarray(np.rot90(results['img'], turns))
            results['img_shape'] = results['img'].shape[:2]
            if results.get('valid_mask') is not None:
                results['valid_mask'] = np.rot90(results['valid_mask'], turns)
        return results

    def __repr__(self):
        return f'RandomRot90(prob={self.prob})'


@TRANSFORMS.register_module()
class RadiometricJitter(BaseTransform):
    """Change brightness, contrast and single bands a little, as sun, haze and calibration do.

    ``img = ((img - m_c) * contrast + m_c) * brightness * band_gain_c + haze`` with m_c the image's mean of the band,
    each drawn uniformly. Values stay physical: they are cut at 0. After :class:`ToReflectance`.

    Required Keys: img (float).

    Modified Keys: img.

    Args:
        brightness (float): Half-width about 1, common to all bands. 0 to 1.
        contrast (float): Half-width about 1, common to all bands. 0 to 1.
        band_gain (float): Half-width about 1, drawn for every band. 0 to 1.
        haze (float): Largest amount added to all bands alike, in the image's units.
        prob (float): Probability to change the image at all.
    """

    def __init__(self, brightness=0.2, contrast=0.2, band_gain=0.05, haze=0., prob=1.):
        for key, value in dict(brightness=brightness, contrast=contrast, band_gain=band_gain, haze=haze,
                               prob=prob).items():
            _check_range(type(self).__name__, key, value, 0, 1)
            setattr(self, key, value)

    @cache_randomness
    def _draw(self, num_bands):
        if np.random.rand() >= self.prob:
            return None
        brightness, contrast = 1 + np.random.uniform(-1, 1, 2) * (self.brightness, self.contrast)
        gains = brightness * (1 + np.random.uniform(-1, 1, num_bands) * self.band_gain)
        return contrast, gains, np.random.uniform(0, 1) * self.haze

    def transform(self, results):
        image = results['img']
        if not np.issubdtype(image.dtype, np.floating):
            raise ValueError(f'RadiometricJitter changes physical values, but the image holds {image.dtype}: put '
                             'ToReflectance before it.')
        drawn = self._draw(image.shape[2])
        if drawn is not None:
            contrast, gains, haze = drawn
            shift = image.mean(axis=(0, 1)) * (1 - contrast)
            # One multiplication and one addition per pixel.
            image = image * (contrast * gains).astype(image.dtype) + (shift * gains + haze).astype(image.dtype)
            results['img'] = np.maximum(image, 0, out=image)
        return results

    def __repr__(self):
        return (f'RadiometricJitter(brightness={self.brightness}, contrast={self.contrast}, '
                f'band_gain={self.band_gain}, haze={self.haze}, prob={self.prob})')


def _check_range(owner, key, value, low, high):
    if not low <= value <= high:
        raise ValueError(f"{owner}: '{key}' must be between {low} and {high}, got {value}.")
