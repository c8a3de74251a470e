"""What an experiment leaves for people, also where other metrics or classes are tested."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from rstoolbox.engine import report
from rstoolbox.engine.config import load_config
from rstoolbox.engine.experiment import Experiment
from rstoolbox.evaluation import SceneMetric

ROOT = Path(__file__).resolve().parents[2]
CLASSES = ('AnnualCrop', 'Forest', 'Highway', 'Industrial', 'Pasture', 'Residential', 'River', 'SeaLake')
PLAIN = ('accuracy', 'precision', 'recall', 'f1')


@pytest.fixture(scope='module')
def finished(tmp_path_factory):
    """A finished experiment of thin networks and one epoch, whose students are tested by another metric."""
    root = tmp_path_factory.getbasetemp() / 'mini_of_report'
    thin = {f'{side}.{key}': value for side in ('teacher', 'student')
            for key, value in {'backbone.stem_channels': 8, 'backbone.base_channels': 8,
                               'head.in_channels': 64}.items()}
    cfg = load_config(ROOT / 'configs/sembridge/r18_ms2rgb.py', {
        **thin, 'data_root': str(root), 'images_per_class': 8, 'num_workers': 0, 'log_level': 'WARNING',
        'max_epochs': 1, 'teacher_epochs': 1, 'matcher_epochs': 1, 'matching': dict(start=9, interval=1, growth=0),
        'evaluator': dict(type='mmpretrain.Accuracy', topk=(1, 2)), 'selection.metric': 'accuracy/top1'})
    del cfg.rows['kd']
    experiment = Experiment(cfg, tmp_path_factory.mktemp('report'))
    experiment.run()
    return experiment


def test_another_metric_ends_in_a_whole_report(finished):
    assert json.loads((finished.work_dir / 'summary.json').read_text()).keys() == {'teacher', 'none', 'sembridge'}
    assert (finished.work_dir / 'summary.md').read_text().splitlines()[-1].startswith('| sembridge |')
    for picture in ('curves', 'matched_pairs', 'tsne'):
        assert (finished.work_dir / 'pictures' / f'{picture}.png').stat().st_size > 5000, picture


def test_every_metric_is_in_the_summary_and_has_a_column(finished, tmp_path):
    metric = SceneMetric(task='multi', classes=('forest', 'water'), log_table=False)
    scores, truth = np.array([[.9, .2], [.4, .8], [.7, .6]]), np.array([[1, 0], [0, 1], [0, 1]])
    metric.process(None, [dict(pred_score=score, gt_score=row) for score, row in zip(scores, truth, strict=True)])
    values = metric.evaluate(3)
    rows = dict(many=dict(metrics=values, report=metric.report),
                other=dict(metrics={'accuracy/top1': 12.5}, report={}))
    experiment = SimpleNamespace(work_dir=tmp_path, cfg={}, rows={'sembridge': finished.rows['sembridge']})
    report.write_report(experiment, rows)
    summary = json.loads((tmp_path / 'summary.json').read_text())
    # By hand: 'forest' is right once in two, 'water' always; ranked by score every class is found without a mistake.
    assert summary['many'] == pytest.approx(dict(accuracy=200 / 3, precision=75, recall=100, f1=(200 / 3 + 100) / 2,
                                                 mAP=100))
    assert summary['other'] == {'accuracy/top1': 12.5}
    assert (tmp_path / 'summary.md').read_text().splitlines() == [
        '| Row | Accuracy | Precision | Recall | F1 | mAP | accuracy/top1 |',
        '|---|---:|---:|---:|---:|---:|---:|',
        '| many | 66.67 | 75.00 | 100.00 | 83.33 | 100.00 |  |',
        '| other |  |  |  |  |  | 12.50 |']


def test_without_a_measure_of_the_validation_there_are_no_curves(finished, tmp_path):
    main = finished.rows['sembridge']
    config = main.config()
    config.default_hooks.checkpoint.save_best = None
    stage = SimpleNamespace(name=main.name, folder=main.folder, artifact=main.artifact, config=lambda: config)
    report.write_report(SimpleNamespace(work_dir=tmp_path, cfg={}, rows=dict(sembridge=stage)), {})
    assert sorted(path.name for path in (tmp_path / 'pictures').iterdir()) == ['matched_pairs.png']


def test_without_a_gallery_there_is_no_map(finished, tmp_path):
    cfg = dict(artifacts=dict(gallery=None))
    report.write_report(SimpleNamespace(work_dir=tmp_path, cfg=cfg, rows=finished.rows), {})
    assert sorted(path.name for path in (tmp_path / 'pictures').iterdir()) == ['curves.png', 'matched_pairs.png']


def test_the_map_shows_a_test_image_by_its_class_whatever_the_order_of_the_classes(finished, monkeypatch):
    seen = []
    monkeypatch.setattr(report, 'plot_tsne', lambda *arguments: seen.append(arguments))
    original = dict(finished.rows)
    for classes in (CLASSES, CLASSES[3:] + CLASSES[:3]):
        for name, stage in original.items():
            config = stage.config()
            config.test_dataloader.dataset.classes = classes
            finished.rows[name] = SimpleNamespace(name=name, folder=stage.folder, artifact=stage.artifact,
                                                  config=lambda config=config: config)
        report.write_report(finished, {})
    finished.rows.update(original)
    (panels, labels, *_), (rotated, rotated_labels, *_) = seen
    assert np.array_equal(labels, rotated_labels) and set(labels) == set(range(8))
    for name in panels:
        assert np.allclose(panels[name][0], rotated[name][0])
