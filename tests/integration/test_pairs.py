"""Whole experiments beside ResNet-18 on the embedded data: another pair of networks, a teacher of several labels."""

import json
import random

import numpy as np
import pytest
import scipy.io
from PIL import Image

from commands import ROOT
from rstoolbox.models.sembridge.gallery import Gallery
from rstoolbox.structures import MatchTable

PAIR = """
_base_ = '{root}/configs/sembridge/r18_ms2rgb.py'
data_root = '{data}'
images_per_class = 8
batch_size = 8
max_epochs = 1
teacher_epochs = 1
matcher_epochs = 1
num_workers = 0
matching = dict(start=0)
rows = None
"""
MULTI_LABEL = """
_base_ = [
    '{root}/configs/_base_/datasets/m2s_gl.py',
    '{root}/configs/_base_/models/r18_r18.py',
    '{root}/configs/_base_/distillers/sembridge.py',
    '{root}/configs/_base_/schedules/mini.py',
]
data_root = '{data}'
image_size = 32
three = ('forest', 'sea', 'beach')
num_classes = dict(teacher=3, student=3)
ms_source = dict(classes=three)
rgb_source = dict(classes=three)
thin = dict(stem_channels=8, base_channels=8)
nets = dict(resnet18=dict(backbone=thin, width=64))
batch_size = 4
max_epochs = 1
teacher_epochs = 1
matcher_epochs = 1
num_workers = 0
matching = dict(start=0)
rows = None
"""
CLASSES = ('forest', 'sea', 'beach')


def test_a_pair_of_other_networks_is_two_words(run_tool, tmp_path, mini_data):
    config = tmp_path / 'pair.py'
    config.write_text(PAIR.format(root=ROOT, data=mini_data))
    run_tool('train.py', config, '--work-dir', tmp_path / 'run', '--cfg-options', 'teacher_net=mobilenet_v2',
             'student_net=shufflenet_v2_x0_5')
    summary = json.loads((tmp_path / 'run/summary.json').read_text())
    assert list(summary) == ['teacher', 'sembridge']
    resolved = (tmp_path / 'run/resolved_config.py').read_text()
    assert 'MobileNetV2' in resolved and 'ShuffleNetV2' in resolved and '_inherit_' not in resolved


@pytest.fixture
def several_labels(tmp_path):
    """Multispectral ``.mat`` files of one to three classes, RGB pictures of one class, and their config."""
    numbers, choose = np.random.default_rng(0), random.Random(0)
    folder = tmp_path / 'data'
    (folder / 'MS/all').mkdir(parents=True)
    for row in range(30):
        labels = choose.sample(CLASSES, choose.randint(1, 3))
        image = numbers.integers(100, 900, (32, 32, 10))
        for label in labels:
            image[:, :, CLASSES.index(label)::3] += 2000
        scipy.io.savemat(folder / f'MS/all/{row}.mat', dict(msi=image.astype(np.int16), label=labels))
    for place, name in enumerate(CLASSES):
        (folder / 'RGB' / name).mkdir(parents=True)
        for row in range(8):
            picture = numbers.integers(0, 60, (40, 40, 3))
            picture[:, :, place] += 120
            Image.fromarray(picture.astype(np.uint8)).save(folder / f'RGB/{name}/{row}.jpg')
    config = tmp_path / 'multi.py'
    config.write_text(MULTI_LABEL.format(root=ROOT, data=folder))
    return folder, config


def test_a_teacher_of_several_labels_trains_a_student_of_one(run_tool, tmp_path, several_labels):
    data, config = several_labels
    for side, part in dict(ms='gallery', rgb='match').items():
        run_tool('dataset_converters/compute_statistics.py', config, '--key', f'{side}_data.{part}',
                 '--out', data / f'statistics_{side}.json')
    work_dir = tmp_path / 'run'
    run_tool('train.py', config, '--work-dir', work_dir)
    assert list(json.loads((work_dir / 'summary.json').read_text())) == ['teacher', 'sembridge']
    teacher = json.loads(next(work_dir.glob('stages/teacher-*/test.json')).read_text())['report']
    assert teacher['task'] == 'multi' and 0 <= teacher['metrics']['mAP'] <= 100
    assert json.loads((work_dir / 'test.json').read_text())['report']['task'] == 'single'
    gallery = Gallery.open(next(work_dir.glob('stages/gallery-*/outputs')))
    assert gallery.labels.shape == (len(gallery), 3) and (gallery.labels.sum(axis=1) > 1).any()
    match = MatchTable.load(work_dir / 'matches/epoch_000.json')
    for student_id, row in zip(match.student_ids, match.indices, strict=True):
        assert gallery.labels[row, CLASSES.index(student_id.split('/')[1])], student_id
