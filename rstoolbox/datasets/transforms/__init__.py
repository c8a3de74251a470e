"""Transforms: loading of rasters, bands, units, random changes for N bands."""

from .augment import RadiometricJitter, RandomRot90
from .loading import LoadRaster
from .matcher_views import PackMatcherInputs
from .radiometry import PseudoRGB, SelectBands, ToReflectance

__all__ = ['LoadRaster', 'PackMatcherInputs', 'PseudoRGB', 'RadiometricJitter', 'RandomRot90', 'SelectBands',
           'ToReflectance']
