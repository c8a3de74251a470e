"""Testing published weights on a small part of the embedded data set."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.evaluator import BaseMetric
from PIL import Image

from rstoolbox.datasets.falcon import Record, write_records
from rstoolbox.engine import testing
from rstoolbox.engine.config import load_config, runner_config
from rstoolbox.engine.testing import student_config, test
from rstoolbox.engine.train_stage import TrainStage
from rstoolbox.models import CheckpointError, Falcon, save_student
from rstoolbox.registry import METRICS, MODELS

ROOT = Path(__file__).resolve().parents[2]
CLASSES = ('AnnualCrop', 'Forest', 'Highway', 'Industrial', 'Pasture', 'Residential', 'River', 'SeaLake')
test.__test__ = False  # a function of the toolbox, no test


@pytest.fixture
def config(tmp_path, tmp_path_factory):
    """A function: classes of the test split -> the resolved config of a thin student's test."""
    root = tmp_path_factory.getbasetemp() / 'mini_of_tests'
    thin = dict(stem_channels=8, base_channels=8)

    def make(name, classes):
        options = {'data_root': str(root), 'images_per_class': 8, 'num_workers': 0, 'log_level': 'WARNING',
                   'student.head.in_channels': 64, 'rgb_data.test.classes': classes,
                   **{f'student.backbone.{key}': value for key, value in thin.items()}}
        cfg = load_config(ROOT / 'configs/sembridge/r18_ms2rgb.py', options)
        return runner_config(cfg, dict(cfg.rows['none']), work_dir=str(tmp_path), experiment_name=name)

    return make


def _confusion(config, checkpoint):
    return torch.tensor(test(config, checkpoint)[1]['confusion_matrix'])


def test_rows_of_the_head_are_picked_by_the_names_of_the_tested_classes(config, tmp_path):
    torch.manual_seed(0)
    model = MODELS.build(student_config(config('build', CLASSES)).model)
    save_student(tmp_path / 'best.pth', model.state_dict(), dict(bands=['R', 'G', 'B'], classes=CLASSES))
    plain = _confusion(config('plain', CLASSES), tmp_path / 'best.pth')
    rotated = _confusion(config('rotated', CLASSES[1:] + CLASSES[:1]), tmp_path / 'best.pth')
    assert torch.equal(rotated, plain.roll((-1, -1), (0, 1)))


def test_numbers_of_any_metric_can_be_written_as_json(config, tmp_path):

    @METRICS.register_module(name='NumpyMetric', force=True)
    class NumpyMetric(BaseMetric):

        def process(self, data_batch, data_samples):
            self.results += data_samples

        def compute_metrics(self, results):
            return dict(half=np.float32(0.5), images=torch.tensor(len(results)), whole=1)

    settings = config('numpy', CLASSES)
    settings.test_evaluator = dict(type='NumpyMetric')
    model = MODELS.build(student_config(settings).model)
    save_student(tmp_path / 'best.pth', model.state_dict(), dict(bands=['R', 'G', 'B'], classes=CLASSES))
    metrics = test(settings, tmp_path / 'best.pth')[0]
    assert json.loads(json.dumps(metrics)) == dict(half=0.5, images=metrics['images'], whole=1)


def test_weights_that_do_not_know_a_tested_class_are_refused(config, tmp_path):
    model = MODELS.build(student_config(config('build_other', CLASSES)).model)
    save_student(tmp_path / 'best.pth', model.state_dict(),
                 dict(bands=['R', 'G', 'B'], classes=(*CLASSES[:-1], 'Beach')))
    with pytest.raises(CheckpointError, match="does not know the class 'SeaLake'; it was trained on AnnualCrop"):
        test(config('other', CLASSES), tmp_path / 'best.pth')


def test_the_folder_of_a_vision_language_model_takes_the_place_of_the_configs(tmp_path):
    Falcon('tiny', tokenizer=ROOT / 'configs/_base_/models/falcon_tiny_tokenizer', image_size=32,
           max_positions=256).save_pretrained(tmp_path / 'model')
    Image.new('RGB', (32, 32)).save(tmp_path / 'a.png')
    write_records([Record(['a.png'], [], 'IMG_CLS', 'Classify the image.', 'sea.')], tmp_path / 'test.jsonl')
    # The config's own folder is not there.
    cfg = load_config(ROOT / 'configs/falcon/large_sft.py', {
        'records.test': str(tmp_path / 'test.jsonl'), 'image_root': str(tmp_path), 'image_size': 32, 'num_workers': 0,
        'model.generation.num_beams': 1, 'model.generation.max_new_tokens': 20, 'log_level': 'WARNING'})
    config = runner_config(cfg, work_dir=str(tmp_path / 'test'), experiment_name='folder')
    assert test(config, tmp_path / 'model')[0]['IMG_CLS/accuracy'] == 0


def test_given_weights_are_tested_anew_in_a_network_that_has_changed(tmp_path, tmp_path_factory, monkeypatch):
    (tmp_path / 'given.pth').write_text('weights')
    tests = []
    monkeypatch.setattr(testing, 'test', lambda *arguments: (tests.append(arguments), ({}, {}))[1])
    text = (ROOT / 'configs/_base_/datasets/statistics/mini_s2s_ms.json').read_text()
    (tmp_path / 'other.json').write_text(text.replace('"mean": 0.', '"mean": 1.', 1))
    for options in ({}, {}, {'statistics.ms': str(tmp_path / 'other.json')}):
        cfg = load_config(ROOT / 'configs/sembridge/r18_ms2rgb.py', {
            'data_root': str(tmp_path_factory.getbasetemp() / 'mini_of_tests'), 'images_per_class': 8, **options})
        testing.test_once(TrainStage(
            name='teacher', cfg=cfg, root=None, upstream={}, folder=tmp_path / 'teacher-given',
            given=tmp_path / 'given.pth', settings=cfg.stages.teacher.settings))
    assert len(tests) == 2
