"""Small data sets on disk, in every format."""

import numpy as np
import pytest
import rasterio
import scipy.io
from PIL import Image
from rasterio.transform import from_origin

S2 = ('B02', 'B03', 'B04', 'B08')
PACK = dict(type='mmpretrain.PackInputs', meta_keys=('sample_id', 'img_path', 'img_shape', 'bands'))
READ = [dict(type='LoadRaster'), dict(type='ToReflectance'), PACK]


@pytest.fixture
def write_tif():
    """A function that writes H x W x C as a GeoTIFF in UTM 32N."""

    def write(path, image, descriptions=None, nodata=None, corner=(500_000., 5_500_000.), crs='EPSG:32632'):
        path.parent.mkdir(parents=True, exist_ok=True)
        height, width, count = image.shape
        with rasterio.open(path, 'w', driver='GTiff', height=height, width=width, count=count, dtype=image.dtype,
                           crs=crs, transform=from_origin(*corner, 10, 10), nodata=nodata) as file:
            file.write(image.transpose(2, 0, 1))
            for place, name in enumerate(descriptions or (), start=1):
                file.set_band_description(place, name)
        return path

    return write


@pytest.fixture
def write_jpg():
    """A function that writes H x W x 3 as a JPEG."""

    def write(path, image):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path, quality=95)
        return path

    return write


@pytest.fixture
def write_mat():
    """A function that writes an image and labels as a .mat file."""

    def write(path, image, label=None):
        path.parent.mkdir(parents=True, exist_ok=True)
        scipy.io.savemat(path, dict(msi=image, **({} if label is None else dict(label=label))))
        return path

    return write


@pytest.fixture
def pair(tmp_path, write_tif, write_jpg):
    """A folder with MS and RGB sides: classes Forest and River, 10 teacher and 5 student images each."""
    generator = np.random.default_rng(0)
    for name in ('Forest', 'River'):
        for number in range(10):
            image = generator.integers(1, 9000, (8, 8, 4)).astype(np.uint16)
            write_tif(tmp_path / 'MS' / name / f'{name}_{number}.tif', image, S2)
        for number in range(5):
            write_jpg(tmp_path / 'RGB' / name / f'{name}_{number}.jpg',
                      generator.integers(0, 256, (8, 8, 3)).astype(np.uint8))
    return tmp_path


@pytest.fixture
def student_cfg(pair):
    return dict(type='SceneDataset', data_root=str(pair), data_prefix='RGB', split='all', pipeline=READ)


@pytest.fixture
def teacher_cfg(pair):
    return dict(type='SceneDataset', data_root=str(pair), data_prefix='MS', sensor='sentinel2_l2a', split='all',
                pipeline=READ)
