import json
import logging

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.evaluator import Evaluator
from mmpretrain.structures import DataSample
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    confusion_matrix,
    f1_score,
    precision_score,
    recall_score,
)

from rstoolbox.evaluation import SceneMetric, format_report
from rstoolbox.registry import METRICS

CLASSES = ('Forest', 'Highway', 'River')


def _samples(scores, labels, multi=False):
    samples = []
    for number, (score, label) in enumerate(zip(scores, labels)):
        sample = DataSample(metainfo=dict(sample_id=f'RGB/x/{number}.jpg'))
        sample.set_pred_score(torch.as_tensor(score, dtype=torch.float32))
        sample.set_gt_label(torch.as_tensor(np.flatnonzero(label) if multi else [label]).long())
        samples.append(sample)
    return samples


def _evaluate(scores, labels, classes=CLASSES, multi=False, batch=3, **kwargs):
    metric = SceneMetric(task='multi' if multi else 'single', **kwargs)
    evaluator = Evaluator(metric)
    evaluator.dataset_meta = dict(classes=classes)
    samples = _samples(scores, labels, multi)
    for start in range(0, len(samples), batch):
        evaluator.process(data_samples=samples[start:start + batch], data_batch=None)
    return evaluator.evaluate(len(samples)), metric


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_single_label_agrees_with_sklearn(data):
    number = data.draw(st.integers(1, 30))
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    scores, labels = rng.normal(size=(number, 3)).astype(np.float32), rng.integers(0, 3, number)
    metrics, metric = _evaluate(scores, labels)
    predicted = scores.argmax(1)
    options = dict(labels=range(3), average='macro', zero_division=0)
    assert metrics == pytest.approx(dict(
        accuracy=100 * accuracy_score(labels, predicted), precision=100 * precision_score(labels, predicted, **options),
        recall=100 * recall_score(labels, predicted, **options), f1=100 * f1_score(labels, predicted, **options)),
        abs=1e-3)
    assert metric.report['confusion_matrix'] == confusion_matrix(labels, predicted, labels=range(3)).tolist()


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_multi_label_agrees_with_sklearn(data):
    number, threshold = data.draw(st.integers(2, 30)), data.draw(st.sampled_from([.3, .5, .7]))
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    scores = rng.integers(0, 10, (number, 3)).astype(np.float32) / 10  # many equal scores
    targets = rng.integers(0, 2, (number, 3))
    targets[0] = 1
    metrics, metric = _evaluate(scores, targets, multi=True, threshold=threshold)
    positive = scores >= np.float32(threshold)
    options = dict(average='macro', zero_division=0)
    assert metrics == pytest.approx(dict(
        accuracy=100 * accuracy_score(targets, positive), precision=100 * precision_score(targets, positive, **options),
        recall=100 * recall_score(targets, positive, **options), f1=100 * f1_score(targets, positive, **options),
        mAP=100 * average_precision_score(targets, scores, average='macro')), abs=1e-3)
    matrix = np.array(metric.report['confusion_matrix'])
    assert matrix.shape == (3, 2, 2) and (matrix.sum((1, 2)) == number).all()


def test_perfect_predictions_score_one_hundred():
    metrics, _ = _evaluate(np.eye(3), [0, 1, 2])
    assert metrics == dict(accuracy=100, precision=100, recall=100, f1=100)


def test_negative_best_scores_still_count():
    metrics, _ = _evaluate(np.eye(3) - 5, [0, 1, 2])
    assert metrics['recall'] == 100


def test_report_is_json_with_class_names():
    _, metric = _evaluate([[.9, .1, 0], [.6, .4, 0], [0, .1, .9]], [0, 1, 2])
    report = json.loads(json.dumps(metric.report))
    assert report['classes'] == list(CLASSES) and report['num_samples'] == 3
    assert report['per_class']['Highway'] == dict(precision=0., recall=0., f1=0., support=1)
    assert report['confusion_matrix'] == [[1, 0, 0], [1, 0, 0], [0, 0, 1]]
    table = format_report(report)
    assert 'Forest (1)' in table and 'accuracy 66.67' in table


def test_names_that_look_like_markup_stand_in_the_table():
    names = ('[dense] forest', '[/red]y', ':ocean:')
    _, metric = _evaluate(np.eye(3)[[0, 0, 1]], [0, 1, 2], classes=names)
    first, second, third = [line.split('│')[1].strip() for line in format_report(metric.report).splitlines()[4:7]]
    assert (first, second, third) == names
    assert '[dense] forest (1)' in format_report(metric.report)


def test_a_class_without_samples_is_named(caplog):
    with caplog.at_level(logging.WARNING):
        metrics, metric = _evaluate([[.9, .1, .0]], [0])
    assert metrics['recall'] == pytest.approx(100 / 3)
    assert metric.report['per_class']['River']['support'] == 0


def test_mean_average_precision_leaves_out_classes_without_positives():
    metrics, metric = _evaluate([[.9, .1, .2], [.1, .8, .3]], [[1, 0, 0], [0, 1, 0]], multi=True)
    assert metrics['mAP'] == 100 and metric.report['per_class']['River']['AP'] is None
    assert 'River' in format_report(metric.report)


def test_one_hot_truth_is_taken_too():
    metric = SceneMetric(task='multi', classes=CLASSES)
    sample = dict(sample_id='a', pred_score=torch.tensor([.9, .1, .8]), gt_score=torch.tensor([1., 0., 1.]))
    metric.process(None, [sample])
    assert metric.evaluate(1)['accuracy'] == 100


def test_built_from_the_registry():
    assert isinstance(METRICS.build(dict(type='SceneMetric', classes=CLASSES)), SceneMetric)


@pytest.mark.parametrize('score, label, message', [
    ([.1, float('nan'), .2], 0, r"RGB/x/0.jpg'.*nan"),
    ([.1, float('inf'), .2], 0, r"RGB/x/0.jpg'.*inf"),
    ([.1, .2], 0, r"RGB/x/0.jpg'.*shape \(2,\), expected \(3,\)"),
    ([.1, .2, .3], 3, r"RGB/x/0.jpg': label 3 is out of range for 3 classes"),
    ([.1, .2, .3], -1, r"RGB/x/0.jpg': label -1 is out of range"),
    ([.1, .2, .3], [0, 1], r"RGB/x/0.jpg' has 2 labels.*task='multi'"),
])
def test_bad_single_label_results_name_the_sample(score, label, message):
    sample = dict(sample_id='RGB/x/0.jpg', pred_score=torch.tensor(score), gt_label=torch.tensor(label))
    with pytest.raises(ValueError, match=message):
        SceneMetric(classes=CLASSES).process(None, [sample])


@pytest.mark.parametrize('change, message', [
    (dict(pred_score=torch.tensor([3., -1., 0.])), "MS/a.tif'.*-1 to 3.*no probabilities"),
    (dict(gt_score=torch.tensor([1., 0.])), "MS/a.tif': gt_score should be 3 values"),
    (dict(gt_score=torch.tensor([1., 0., 2.])), "MS/a.tif': gt_score should be 3 values"),
    (dict(gt_score=None, gt_label=torch.tensor([5])), "MS/a.tif': label 5 is out of range"),
    (dict(gt_score=None), "MS/a.tif' has no gt_label"),
    (dict(pred_score=None), "MS/a.tif' has no pred_score"),
])
def test_bad_multi_label_results_name_the_sample(change, message):
    sample = dict(img_path='MS/a.tif', pred_score=torch.tensor([.5, .2, .1]), gt_score=torch.tensor([1., 0., 0.]))
    with pytest.raises(ValueError, match=message):
        SceneMetric(task='multi', classes=CLASSES).process(None, [{**sample, **change}])


def test_wiring_is_checked_at_once():
    with pytest.raises(ValueError, match="no task 'both'"):
        SceneMetric(task='both')
    with pytest.raises(ValueError, match='threshold.*50'):
        SceneMetric(task='multi', threshold=50)
