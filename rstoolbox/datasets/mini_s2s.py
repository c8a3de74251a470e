"""The embedded data set: small synthetic multispectral and RGB scenes, written as real GeoTIFF and JPEG files."""

import hashlib
import zlib

import numpy as np
import rasterio
from PIL import Image
from rich.progress import track

from rstoolbox.registry import DATASETS

from .embedded import make_embedded
from .mini_s2s_physics import BANDS, REGIONS, RGB, sense_multispectral, sense_rgb
from .mini_s2s_scenes import SCENES, draw_scene
from .scene import SceneDataset

VERSION = 2  # of the generator: a folder written by another one is made anew
MODALITIES = dict(ms=('MS', 'europe'), rgb=('RGB', 'asia'))
CLASSES = tuple(SCENES)


@DATASETS.register_module()
class MiniS2S(SceneDataset):
    """The embedded data set, made on first use.

    Eight classes of 64 x 64 scenes at 10 m. The multispectral side (ten 10 m and 20 m bands, Sentinel-2 L2A style)
    lies in one region, the RGB side in another with its own covers, sun and haze; they share no image. Four pairs of
    classes are near in RGB and apart in the infrared.

    Args:
        data_root (str): Folder of the data set; written there if it is absent or incomplete.
        modality (str): 'ms' or 'rgb'.
        images_per_class (int): Of each modality; that of the data set where it is there already.
        data_seed (int): Seed of the scenes; as above.
        **kwargs: Those of :class:`SceneDataset`.

    Raises:
        ValueError: If ``modality`` is not one of the two, or the folder holds something else or another making.
    """

    METAINFO = dict(classes=CLASSES)

    def __init__(self, data_root='data/mini_s2s', modality='rgb', images_per_class=64, data_seed=0, **kwargs):
        if modality not in MODALITIES:
            raise ValueError(f"MiniS2S has no modality '{modality}'; expected one of {', '.join(MODALITIES)}.")
        make_mini_s2s(data_root, seed=data_seed, images_per_class=images_per_class)
        kwargs.setdefault('sensor', 'sentinel2_l2a' if modality == 'ms' else 'rgb')
        kwargs.setdefault('data_prefix', MODALITIES[modality][0])
        self.modality = modality
        super().__init__(data_root=data_root, **kwargs)


def make_mini_s2s(out, seed=0, images_per_class=64, force=False):
    """Write the data set to ``out`` unless it is there, as :func:`~rstoolbox.datasets.embedded.make_embedded` does.

    Args:
        out (str | Path): Folder to write: ``MS/<class>/*.tif``, ``RGB/<class>/*.jpg`` and ``dataset.json``.
        seed (int): The same seed gives the same bytes.
        images_per_class (int): Of each modality.
        force (bool): Write anew even if it is there.

    Returns:
        dict: The content of ``dataset.json``.

    Raises:
        ValueError: If ``images_per_class`` is below 1, or ``out`` holds files that are no such data set, or, without
            ``force``, one of another seed or size or one that lacks images.
    """
    if images_per_class < 1:
        raise ValueError(f'mini_s2s needs at least one image per class, got images_per_class={images_per_class}.')
    wanted = dict(name='mini_s2s', version=VERSION, seed=seed, images_per_class=images_per_class)
    return make_embedded(out, wanted, _write_all, lambda settings: (place for *_, place in _images(settings)), force,
                         'Name another folder, or train on folders of your own with: python tools/train.py '
                         'configs/sembridge/r18_folders.py --cfg-options data_root={out}')


def draw_image(modality, class_name, index, seed=0):
    """One image of the data set, without files.

    Args:
        modality (str): 'ms' or 'rgb'.
        class_name (str): One of :data:`CLASSES`.
        index (int): Number of the image in its class.
        seed (int): Seed of the data set.

    Returns:
        numpy.ndarray: uint16 (10, 64, 64) reflectance x 10000 for 'ms', uint8 (64, 64, 3) for 'rgb'.
    """
    region = REGIONS[MODALITIES[modality][1]]
    # Each image has its own stream, so that more images per class leave the first ones as they were.
    rng = np.random.default_rng([seed, zlib.crc32(f'{region.name}/{class_name}'.encode()), index])
    if modality == 'ms':
        return sense_multispectral(*draw_scene(class_name, region, rng), rng)
    return sense_rgb(*draw_scene(class_name, region, rng, RGB), rng)


def _write_all(root, wanted):
    jobs = list(_images(wanted))
    digest = hashlib.md5()
    for number, (modality, name, index, place) in enumerate(track(jobs, 'mini_s2s')):
        path = root / place
        path.parent.mkdir(parents=True, exist_ok=True)
        image = draw_image(modality, name, index, wanted['seed'])
        if modality == 'ms':
            _write_geotiff(path, image, number)
        else:
            Image.fromarray(image).save(path, quality=92)
        digest.update(path.relative_to(root).as_posix().encode() + path.read_bytes())
    return dict(classes=list(CLASSES), bands=list(BANDS), num_images=len(jobs), regions=dict(MODALITIES.values()),
                md5=digest.hexdigest())


def _images(settings):
    """Yield modality, class, number in its class and place in the data set's folder of every image."""
    for modality, (folder, _) in MODALITIES.items():
        for name in CLASSES:
            for index in range(settings['images_per_class']):
                suffix = 'tif' if modality == 'ms' else 'jpg'
                yield modality, name, index, f'{folder}/{name}/{name}_{index + 1:04d}.{suffix}'


def _write_geotiff(path, image, number):
    region = REGIONS[MODALITIES['ms'][1]]
    # Patches lie side by side on the region's 10 m grid, 100 to a row, without overlap.
    east, north = region.origin
    side = 10. * image.shape[-1]
    transform = rasterio.Affine(10., 0., east + side * (number % 100), 0., -10., north - side * (number // 100))
    with rasterio.open(path, 'w', driver='GTiff', height=image.shape[1], width=image.shape[2], count=len(BANDS),
                       dtype='uint16', crs=region.crs, transform=transform, nodata=0, compress='deflate',
                       predictor=2) as file:
        file.write(image)
        file.descriptions = BANDS
