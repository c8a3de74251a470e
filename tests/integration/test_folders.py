"""One command from folders of one's own, GeoTIFF and JPEG, to a tested student."""

import json

import numpy as np
import pytest
import rasterio
import torch
from mmengine.config import Config
from PIL import Image

pytestmark = pytest.mark.filterwarnings('ignore::rasterio.errors.NotGeoreferencedWarning')
CLASSES = ('meadow', 'pond', 'roof')
BANDS = ('B03', 'B08', 'B04', 'B02')  # neither the sensor's order nor all of its bands: the files say which they are
SHORT = ('max_epochs=1', 'teacher_epochs=1', 'matcher_epochs=1', 'batch_size=4', 'matcher_batch_size=4',
         'num_workers=0', 'image_size=32', 'log_level=WARNING',
         *(f'{side}.{key}' for side in ('teacher', 'student')
           for key in ('backbone.stem_channels=8', 'backbone.base_channels=8', 'head.in_channels=64')))


@pytest.fixture
def folders(tmp_path):
    """Ten images of each class and kind; those of class number k are k + 1 times as bright as those of the first."""
    random = np.random.default_rng(0)
    for number, name in enumerate(CLASSES):
        for kind in ('MS', 'RGB'):
            (tmp_path / 'mine' / kind / name).mkdir(parents=True)
        for index in range(10):
            values = random.integers(500, 900, (len(BANDS), 43, 43)).astype(np.uint16) * (number + 1)
            with rasterio.open(tmp_path / 'mine/MS' / name / f'{index}.tif', 'w', driver='GTiff', height=43, width=43,
                               count=len(BANDS), dtype='uint16') as file:
                file.write(values)
                file.descriptions = BANDS
            picture = random.integers(40, 80, (40, 32, 3)).astype(np.uint8) * (number + 1)
            Image.fromarray(picture).save(tmp_path / 'mine/RGB' / name / f'{name}{index}.jpg')
    return tmp_path / 'mine'


def test_one_command_from_folders_to_a_tested_student(folders, run_tool, tmp_path):
    work_dir = tmp_path / 'run'
    run_tool('train.py', 'configs/sembridge/r18_folders.py', '--work-dir', work_dir, '--cfg-options',
             f'data_root={folders}', 'ms_bands=(B02,B03,B04,B08)', *SHORT)
    assert json.loads((work_dir / 'summary.json').read_text()).keys() == {'teacher', 'none', 'kd', 'sembridge'}
    student = torch.load(work_dir / 'best_student.pth', weights_only=True)
    assert tuple(student['meta']['classes']) == CLASSES
    teacher = torch.load(next(work_dir.glob('stages/teacher-*/best_teacher.pth')), weights_only=True)
    assert list(teacher['meta']['bands']) == ['B02', 'B03', 'B04', 'B08']
    # Class k has a mean of (k + 1) * 699.5, as every class has its share of the training split.
    config = Config.fromfile(next(work_dir.glob('stages/teacher-*/resolved_config.py')))
    statistics = config.model.data_preprocessor.statistics
    assert set(statistics) == set(BANDS)
    assert all(values['mean'] == pytest.approx(2 * 0.06995, rel=0.02) for values in statistics.values())
    assert config.model.head.num_classes == 3


def test_the_config_of_the_embedded_data_set_names_the_command_for_folders(folders, run_tool, tmp_path):
    done = run_tool('train.py', 'configs/sembridge/r18_ms2rgb.py', '--work-dir', tmp_path / 'run', '--cfg-options',
                    f'data_root={folders}', check=False)
    assert done.returncode == 1 and 'Traceback' not in done.stderr
    assert f'python tools/train.py configs/sembridge/r18_folders.py --cfg-options data_root={folders}' in done.stderr
    assert len(list(folders.rglob('*.tif'))) == 30


def test_folders_that_do_not_fit_are_named(folders, run_tool, tmp_path):
    command = ('train.py', 'configs/sembridge/r18_folders.py', '--work-dir', tmp_path / 'run', '--cfg-options', *SHORT)
    for root, message in ((tmp_path / 'nowhere', f'There is no folder {tmp_path}/nowhere/MS'),
                          (folders, "There is no band 'B05' in")):
        done = run_tool(*command, f'data_root={root}', check=False)
        assert done.returncode == 1 and 'Traceback' not in done.stderr
        assert message in done.stderr.splitlines()[-1]
