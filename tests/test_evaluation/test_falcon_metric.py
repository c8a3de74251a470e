"""The metric as an evaluator uses it: batches, processes, bad samples."""

import pickle
import sys

import numpy as np
import pytest
from mmengine.evaluator import Evaluator
from mmengine.structures import BaseDataElement

from commands import run_ranks
from rstoolbox.evaluation import FalconMetric, ScoredRecord, format_scores, read_dump, score_records, write_dump
from rstoolbox.evaluation.falcon_metric import scorer_of
from rstoolbox.heads.image_level import LabelHead
from rstoolbox.registry import HEADS, METRICS
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


@pytest.fixture
def own_tasks():
    """Two tasks of a plug-in: one whose head says how it is scored, one whose head does not."""

    class Season(LabelHead):
        tag = 'IMG_SEASON'
        prompts = ('Which season is it?',)

    class Mood(Season):
        tag = 'IMG_MOOD'
        scored_as = None

    for head in (Season, Mood):
        HEADS.register_module(name=head.tag, module=head)
    scorer_of.cache_clear()
    yield
    for name in ('IMG_SEASON', 'IMG_MOOD'):
        HEADS.module_dict.pop(name)
    scorer_of.cache_clear()


def test_tasks_of_a_plug_in_are_dumped_and_scored(own_tasks, tmp_path):
    lines = [dict(task=task, image=f'{number}.png', question='Which season is it?', answer=answer, gt='winter.')
             for task in ('IMG_SEASON', 'IMG_MOOD') for number, answer in enumerate(('winter.', 'summer.'))]
    write_dump(lines, tmp_path / 'dump.jsonl')
    scalars, report = score_records(read_dump(tmp_path / 'dump.jsonl'))
    assert scalars['IMG_SEASON/accuracy'] == 50 and not any(name.startswith('IMG_MOOD') for name in scalars)
    assert report['IMG_MOOD']['num_samples'] == 2 and 'scored_as' in report['IMG_MOOD']['not_scored']
    metric = FalconMetric(log_table=False)
    metric.process(None, [dict(task='IMG_MOOD', pred_answer=Answer(labels=['a']), gt_answer=Answer(labels=['a']))])
    assert metric.evaluate(1) == {}


def test_a_kind_that_is_none_is_refused_with_the_nearest(own_tasks):
    HEADS.get('IMG_MOOD').scored_as = 'caption'
    with pytest.raises(ValueError, match="IMG_MOOD is scored_as 'caption', nearest is 'captions'"):
        scorer_of('IMG_MOOD', 'sound')


@pytest.mark.parametrize(('task', 'name'), [('REG_VG', 'Acc@0.5'), ('REG_DET_HBB', 'recall50'), ('REG_DET_HBB', 'AP50'),
                                            ('REG_DET_OBB', 'recall50')])
def test_an_overlap_of_just_a_half_is_a_hit_at_any_size(task, name, tmp_path):
    rng, boxes = np.random.default_rng(0), []
    for _ in range(60):
        x, y, side = rng.integers(10, 300, 3)
        boxes.append(((x, y, x + 2 * side, y + side), (x, y, x + side, y + side)))
    lines = [dict(task=task, image=f'{number}.png', size=rng.integers(50, 3000, 2).tolist(), category='ship',
                  gt=written(true, task), answer=written(found, task))
             for number, (true, found) in enumerate(boxes)]
    write_dump(lines, tmp_path / 'dump.jsonl')
    assert score_records(read_dump(tmp_path / 'dump.jsonl'))[0][f'{task}/{name}'] == pytest.approx(100)


def written(box, task):
    left, top, right, bottom = box
    corners = left, top, right, top, right, bottom, left, bottom
    numbers, tag = (corners, 'quad') if task == 'REG_DET_OBB' else (box, 'box')
    return f'<{tag}>{"".join(f"<{number}>" for number in numbers)}</{tag}>'


@pytest.mark.parametrize('variant', ['sound', 'as_released'])
def test_captions_without_a_word_stop_no_other_task(variant):
    wordless = [ScoredRecord('IMG_CAP', Answer(), Answer(), None, None, f'{number}.png') for number in range(3)]
    right = ScoredRecord('IMG_VQA', Answer(text='yes'), Answer(text='yes'), None, None, 'a.png', 'Is it urban?')
    scalars, _ = score_records([*wordless, right], variant)
    assert scalars['IMG_CAP/CIDEr'] == 0 and scalars['IMG_VQA/accuracy'] == 100
