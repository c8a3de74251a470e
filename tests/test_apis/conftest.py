"""A student that classifies, and a scene to be mapped."""

import numpy as np
import pytest
import rasterio
import torch
from rasterio.transform import from_origin

from commands import ROOT
from rstoolbox.apis import SceneInferencer
from rstoolbox.engine.config import load_config, runner_config
from rstoolbox.registry import MODELS

CLASSES = ('lake', 'forest', 'crops', 'bare', 'town', 'road', 'park', 'beach')
THIN = """
_base_ = '{root}/configs/sembridge/r18_ms2rgb.py'
thin = dict(stem_channels=8, base_channels=8)
teacher = dict(backbone=thin, head=dict(in_channels=64))
student = dict(backbone=thin, head=dict(in_channels=64))
"""


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """Config and checkpoint of a student with weights at which its classes differ."""
    folder = tmp_path_factory.mktemp('trained')
    (folder / 'thin.py').write_text(THIN.format(root=ROOT))
    torch.manual_seed(0)
    student = MODELS.build(runner_config(load_config(folder / 'thin.py')).model.student)
    torch.nn.init.normal_(student.head.fc.weight)
    torch.save(dict(state_dict=student.state_dict(), meta=dict(classes=CLASSES)), folder / 'student.pth')
    return folder / 'thin.py', folder / 'student.pth'


@pytest.fixture(scope='module')
def classify(trained):
    return SceneInferencer(*trained, device='cpu')


@pytest.fixture
def scene(tmp_path):
    """A function that writes a georeferenced RGB raster of 44 x 36 pixels of 10 m."""

    def write(name='scene.tif', bands=3, **profile):
        image = np.random.default_rng(0).integers(1, 256, (bands, 36, 44), np.uint8)
        image[:, 20:, :10] //= 4
        profile = dict(dict(crs='EPSG:32633', transform=from_origin(500000, 5200000, 10, 10)), **profile)
        with rasterio.open(tmp_path / name, 'w', driver='GTiff', width=44, height=36, count=bands, dtype='uint8',
                           **profile) as file:
            file.write(image)
        return tmp_path / name, image.transpose(1, 2, 0)

    return write
