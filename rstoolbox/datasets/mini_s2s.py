"""The embedded data set: small synthetic multispectral and RGB scenes, written as real GeoTIFF and JPEG files."""

import hashlib
import json
import os
import re
import tempfile
import zlib
from pathlib import Path

import numpy as np
import rasterio
from mmengine.logging import print_log
from PIL import Image
from rich.progress import track

from rstoolbox.registry import DATASETS
from rstoolbox.structures import locked

from .mini_s2s_physics import BANDS, REGIONS, RGB, sense_multispectral, sense_rgb
from .mini_s2s_scenes import SCENES, draw_scene
from .scene import SceneDataset

VERSION = 2  # of the generator: a folder written by another one is made anew
MODALITIES = dict(ms=('MS', 'europe'), rgb=('RGB', 'asia'))
CLASSES = tuple(SCENES)
OUR_FILES = re.compile(rf'dataset\.json|(?:MS|RGB)/({"|".join(CLASSES)})/\1_\d{{4,}}\.(?:tif|jpg)')


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
    """Write the data set to ``out``, unless it is there already, whole and of the same making.

    The folder appears at once, by a rename, so that a run cut short leaves nothing half-written behind. Several
    processes may call this at the same time: one writes, the others wait.

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
    out = Path(out).expanduser().absolute()
    wanted = dict(version=VERSION, seed=seed, images_per_class=images_per_class)
    info = _read_info(out)
    if not force and _fits(info, wanted):
        _check_whole(out, wanted)
        return info
    out.parent.mkdir(parents=True, exist_ok=True)
    with locked(out.parent / f'.{out.name}.lock'):
        info = _read_info(out)  # another process may have written it while this one waited
        if not force and _fits(info, wanted):
            return info
        _refuse_foreign(out, wanted, force)
        print_log(f'Making the embedded data set mini_s2s in {out} (seed {seed}, {images_per_class} images per class '
                  'and modality), once.', 'current')
        with tempfile.TemporaryDirectory(prefix=f'.{out.name}.', dir=out.parent) as staging:
            info = _write_all(Path(staging, 'new'), wanted)
            if out.exists():
                # Moved aside rather than deleted first: the folder is missing for an instant only.
                os.replace(out, Path(staging, 'old'))
            os.replace(Path(staging, 'new'), out)
    return info


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
    jobs = list(_images(wanted['images_per_class']))
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
    info = dict(name='mini_s2s', **wanted, classes=list(CLASSES), bands=list(BANDS), num_images=len(jobs),
                regions=dict(MODALITIES.values()), md5=digest.hexdigest())
    (root / 'dataset.json').write_text(json.dumps(info, indent=2) + '\n')
    return info


def _images(images_per_class):
    """Yield modality, class, number in its class and place in the data set's folder of every image."""
    for modality, (folder, _) in MODALITIES.items():
        for name in CLASSES:
            for index in range(images_per_class):
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


def _read_info(out):
    """What dataset.json says, or None; it is written last, so a folder without it is not whole."""
    try:
        return json.loads((out / 'dataset.json').read_text())
    except (FileNotFoundError, NotADirectoryError, json.JSONDecodeError):
        return None


def _fits(info, wanted):
    return isinstance(info, dict) and all(info.get(key) == value for key, value in wanted.items())


def _check_whole(out, wanted):
    """The folder appeared whole, so what it lacks was taken away since."""
    there = {f'{folder}/{name}/{entry.name}' for folder, _ in MODALITIES.values() for name in CLASSES
             if (out / folder / name).is_dir() for entry in os.scandir(out / folder / name)}
    missing = [place for *_, place in _images(wanted['images_per_class']) if place not in there]
    if missing:
        raise ValueError(f"'{out}' lacks {len(missing)} of the images of mini_s2s, the first '{missing[0]}'. Make it "
                         f'anew: tools/dataset_converters/make_mini_s2s.py --out {out} --seed {wanted["seed"]} '
                         f'--images-per-class {wanted["images_per_class"]} --force.')


def _refuse_foreign(out, wanted, force):
    """Never delete what this generator did not write, nor, unasked, a data set that was made with other settings."""
    if not out.exists():
        return
    if not out.is_dir():
        raise ValueError(f"'{out}' is a file; mini_s2s needs a folder to be written to.")
    info = _read_info(out)
    # The folder appears whole, so files without their dataset.json were not made here, whatever they are called.
    ours = OUR_FILES if isinstance(info, dict) and info.get('name') == 'mini_s2s' else re.compile('(?!)')
    files = (path.relative_to(out).as_posix() for path in sorted(out.rglob('*')) if not path.is_dir())
    foreign = [name for name in files if not ours.fullmatch(name)]
    if foreign:
        raise ValueError(f"'{out}' holds what is no mini_s2s data set ({', '.join(foreign[:3])}), so it is not "
                         'overwritten. Name another folder, or for real data use SceneDataset or S2S_EU.')
    differing = [key for key in ('seed', 'images_per_class') if info is not None and info.get(key) != wanted[key]]
    if differing and not force:
        raise ValueError(f"'{out}' holds mini_s2s with {', '.join(f'{key} {info.get(key)}' for key in differing)}, but "
                         f'{", ".join(f"{key} {wanted[key]}" for key in differing)} is asked for. Name another '
                         'data_root, or replace it: tools/dataset_converters/make_mini_s2s.py --force.')
