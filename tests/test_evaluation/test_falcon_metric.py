"""The metric as an evaluator uses it: batches, processes, bad samples."""

import pickle
import sys

import numpy as np
import pytest
from mmengine.evaluator import Evaluator
from mmengine.structures import BaseDataElement

from commands import run_ranks
from rstoolbox.evaluation import FalconMetric, ScoredRecord, format_scores, score_records
from rstoolbox.registry import METRICS
from rstoolbox.structures import Answer

BOX = np.array([[2., 2., 20., 20.]])


def _samples():
    made = []
    for number in range(9):
        shifted = BOX + number
        made += [dict(task='REG_DET_HBB', pred_answer=Answer(bboxes=shifted, scores=np.array([1 - number / 10])),
                      gt_answer=Answer(bboxes=BOX), image_size=(64, 64), category='ship', image_id=f'{number}.png'),
                 dict(task='IMG_VQA', pred_answer=Answer(text='yes.' if number % 2 else 'No'),
                      gt_answer=Answer(text='yes'), image_id=f'{number}.png', prompt='Is it urban?')]
    return made


def _direct(samples):
    return score_records([
        ScoredRecord(sample['task'], sample['pred_answer'], sample['gt_answer'], sample.get('image_size'),
                     sample.get('category'), sample['image_id'], sample.get('prompt', '')) for sample in samples])


def test_batches_give_what_all_at_once_does():
    samples = _samples()
    metric = METRICS.build(dict(type='FalconMetric', log_table=False))
    evaluator = Evaluator([metric])
    for start in range(0, len(samples), 4):
        evaluator.process([BaseDataElement(**sample) for sample in samples[start:start + 4]])
    scalars = evaluator.evaluate(len(samples))
    expected, report = _direct(samples)
    assert scalars == pytest.approx(expected)
    assert metric.report == report and report['REG_DET_HBB']['ranked_by'] == 'confidence'
    assert all(isinstance(value, float) for value in scalars.values())


def test_captions_of_several_references_push_no_sample_out():
    caption = dict(task='IMG_CAP', pred_answer=Answer(text='a ship'), gt_answer=Answer(text='one ship'),
                   image_id='a.png', references=['a ship', 'a boat', 'a vessel'])
    samples = [caption, *_samples()]
    evaluator = Evaluator([METRICS.build(dict(type='FalconMetric', log_table=False))])
    evaluator.process([BaseDataElement(**sample) for sample in samples])
    scalars = evaluator.evaluate(len(samples))
    expected, _ = _direct(_samples())
    assert {name: scalars[name] for name in expected} == pytest.approx(expected)
    assert scalars['IMG_CAP/BLEU-2'] == pytest.approx(100, abs=1e-3)


RANK = """
import pickle, sys
import torch.distributed as dist
from rstoolbox.evaluation import FalconMetric

rank, folder = int(sys.argv[1]), sys.argv[2]
dist.init_process_group('gloo', init_method=f'file://{folder}/store', rank=rank, world_size=2)
samples = pickle.load(open(f'{folder}/samples', 'rb'))
metric = FalconMetric(log_table=False)
metric.process(None, (samples + samples[:len(samples) % 2])[rank::2])
pickle.dump(metric.evaluate(len(samples)), open(f'{folder}/{rank}', 'wb'))
dist.destroy_process_group()
"""


def test_two_processes_give_what_one_does(tmp_path):
    samples = _samples()[:-1]  # an odd number: one sample is read twice, and counted once
    (tmp_path / 'samples').write_bytes(pickle.dumps(samples))
    run_ranks(RANK, tmp_path)
    for rank in range(2):
        assert pickle.loads((tmp_path / str(rank)).read_bytes()) == pytest.approx(_direct(samples)[0])


def test_the_table_shows_what_is_undefined_and_why_something_is_not_scored():
    empty = ScoredRecord('REG_DET_OBB', Answer(), Answer(), image_id='a')
    scalars, report = score_records([empty])
    assert 'REG_DET_OBB/AP50' not in scalars and report['REG_DET_OBB']['metrics']['AP50'] is None
    assert 'output order' in format_scores(report, 'sound')
    scalars, report = score_records([empty], 'as_released')
    assert scalars == {} and 'published evaluator stops' in ' '.join(format_scores(report, 'as_released').split())


@pytest.mark.parametrize('change, message', [
    (dict(task='REG_DET_HHB'), "no task 'REG_DET_HHB', nearest is 'REG_DET_HBB'"),
    (dict(gt_answer=None, gt_answers=Answer()), "Sample 'a.png' has no gt_answer, nearest is 'gt_answers'"),
    (dict(pred_answer='<box>'), 'the prediction is an Answer, got str'),
    (dict(pred_answer=Answer(bboxes=BOX * np.nan)), "image 'a.png': bboxes of the prediction hold nan"),
    (dict(pred_answer=Answer(bboxes=np.zeros((1, 8)))), r'bboxes of the prediction should be \(N, 4\), got shape'),
    (dict(pred_answer=Answer(bboxes=BOX, scores=np.array([.1, .2]))), r'scores of the prediction have shape \(2,\)'),
    (dict(pred_answer=Answer(bboxes=BOX, scores=np.array([np.inf]))), 'scores of the prediction hold inf'),
    (dict(image_size=(64, 0)), r'image_size is \(width, height\) in pixels, got \(64, 0\)'),
])
def test_bad_samples_are_named_when_they_come(change, message):
    sample = dict(task='REG_DET_HBB', pred_answer=Answer(bboxes=BOX), gt_answer=Answer(bboxes=BOX), image_id='a.png')
    with pytest.raises(ValueError, match=message):
        FalconMetric().process(None, [sample | change])


def test_a_mask_without_a_size_and_an_odd_canvas_are_named():
    ring = Answer(polygons=[[np.array([(0., 0.), (9., 0.), (9., 9.)])]])
    for variant in ('sound', 'as_released'):
        with pytest.raises(ValueError, match="Record of PIX_SEG, image 'a': masks are drawn .* no image_size"):
            score_records([ScoredRecord('PIX_SEG', ring, ring, image_id='a')], variant)
    with pytest.raises(ValueError, match='canvas of two images has even sides'):
        score_records([ScoredRecord('PIX_CHG', ring, ring, (9, 8), on_canvas=True)])


def test_the_variant_is_checked_when_it_is_built():
    with pytest.raises(ValueError, match="no variant 'released'; expected sound or as_released"):
        FalconMetric(variant='released')


def test_a_missing_library_is_named_at_the_first_sample(monkeypatch):
    from rstoolbox.evaluation import falcon_metric
    falcon_metric.scorer_of.cache_clear()
    monkeypatch.setitem(sys.modules, 'rstoolbox.evaluation.caption', None)
    with pytest.raises(ValueError, match=r'Scoring REG_CAP needs the library .*: pip install -e .\[falcon\]'):
        FalconMetric().process(None, [dict(task='REG_CAP', pred_answer=Answer(text='a'), gt_answer=Answer(text='a'))])
