"""Data sets and transforms."""

from .. import quiet_mmpretrain  # noqa: F401, before anything of mmpretrain
from .bands import EUROSAT_FILE_BANDS, SENTINEL2_SURFACE_BANDS, Band, Sensor, band_indices, get_sensor, register_sensor
from .collate import stack_images
from .mini_s2s import MiniS2S
from .s2s import M2S_GL, S2S_CN, S2S_EU
from .scene import SceneDataset
from .splits import Split, make_split, utm_cell
from .statistics import compute_statistics
from .transforms import LoadRaster, PseudoRGB, RadiometricJitter, RandomRot90, SelectBands, ToReflectance
from .unpaired import UnpairedSceneDataset

__all__ = ['EUROSAT_FILE_BANDS', 'SENTINEL2_SURFACE_BANDS', 'Band', 'LoadRaster', 'M2S_GL', 'MiniS2S', 'PseudoRGB',
           'RadiometricJitter', 'RandomRot90', 'S2S_CN', 'S2S_EU', 'SceneDataset', 'SelectBands', 'Sensor', 'Split',
           'ToReflectance', 'UnpairedSceneDataset', 'band_indices', 'compute_statistics', 'get_sensor', 'make_split',
           'register_sensor', 'stack_images', 'utm_cell']
