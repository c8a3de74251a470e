"""The benchmark of SemBridge (AAAI 2026): three pairs of multispectral and RGB data sets that share classes only.

Layout: ``<data_root>/MS/<class>/*`` and ``<data_root>/RGB/<class>/*``.
"""

from rstoolbox.registry import DATASETS

from .bands import EUROSAT_FILE_BANDS, SENTINEL2_SURFACE_BANDS, get_sensor
from .scene import SceneDataset

MODALITIES = ('ms', 'rgb')


class S2SDataset(SceneDataset):
    """One side of a pair; sub-classes say what their multispectral side is like.

    Args:
        data_root (str): Folder that holds ``MS`` and ``RGB``.
        modality (str): 'ms' or 'rgb'.
        **kwargs: Of :class:`SceneDataset`; each of them overrides what the sub-class fixes.
    """

    SENSOR = 'sentinel2_l1c'
    FILE_BANDS = None
    BANDS = None
    LABEL_KIND = 'single'  # of the multispectral side; pictures always show one class
    IMAGE_SIZE = 64

    def __init__(self, data_root, modality='rgb', **kwargs):
        if modality not in MODALITIES:
            raise ValueError(f"{type(self).__name__}: modality='{modality}' is unknown, expected one of "
                             f'{", ".join(MODALITIES)}.')
        defaults = dict(data_prefix='RGB', sensor='rgb')
        if modality == 'ms':
            defaults = dict(data_prefix='MS', sensor=self.SENSOR, bands=self.BANDS, file_bands=self.FILE_BANDS,
                            label_kind=self.LABEL_KIND)
        self.modality = modality
        super().__init__(data_root, **{**defaults, **kwargs})


@DATASETS.register_module()
class S2S_EU(S2SDataset):
    """Europe: EuroSAT's Sentinel-2 patches (10 of 13 bands, 64 px) and RGB pictures, ten classes.

    The files hold B8A last and no band names. The published code reads other bands than it means to: its list counts
    from 0, the reader from 1.
    """

    METAINFO = dict(classes=('AnnualCrop', 'Forest', 'HerbaceousVegetation', 'Highway', 'Industrial', 'Pasture',
                             'PermanentCrop', 'Residential', 'River', 'SeaLake'))
    FILE_BANDS = EUROSAT_FILE_BANDS
    BANDS = SENTINEL2_SURFACE_BANDS


@DATASETS.register_module()
class S2S_CN(S2SDataset):
    """China: Tiangong-2 wide-band imager (14 bands, 128 px) and RGB pictures, ten classes."""

    METAINFO = dict(classes=('beach', 'circularfarmland', 'cloud', 'desert', 'forest', 'mountain',
                             'rectangularfarmland', 'residential', 'river', 'snowberg'))
    SENSOR = 'tiangong2_wis'
    FILE_BANDS = get_sensor('tiangong2_wis').band_names
    BANDS = FILE_BANDS
    IMAGE_SIZE = 128


@DATASETS.register_module()
class M2S_GL(S2SDataset):
    """Global: Sentinel-2 ``.mat`` files (10 bands, several classes per image) and RGB pictures of one class, 128 px.

    The order of the bands in the files is not documented; the usual one is taken. Give ``file_bands`` if yours differs.
    """

    METAINFO = dict(classes=('forest', 'agriculture', 'shrub', 'pasture', 'water_body', 'sea', 'industry', 'grassland',
                             'water_course', 'crop', 'sport', 'transport', 'beach', 'airport', 'port'))
    SENSOR = 'sentinel2_l2a'
    FILE_BANDS = SENTINEL2_SURFACE_BANDS
    BANDS = SENTINEL2_SURFACE_BANDS
    LABEL_KIND = 'multi'
    IMAGE_SIZE = 128
