"""Transforms: loading of rasters, bands, units, random changes for N bands."""

from .augment import RadiometricJitter, RandomRot90
from .loading import LoadRaster
from .radiometry import PseudoRGB, SelectBands, ToReflectance

__all__ = ['LoadRaster', 'PseudoRGB', 'RadiometricJitter', 'RandomRot90', 'SelectBands', 'ToReflectance']
