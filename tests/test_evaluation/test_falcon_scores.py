"""What holds for any records: perfect answers, order, and what a further mistake may do."""

import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rstoolbox.evaluation import ScoredRecord, boxes, caption, score_records
from rstoolbox.heads import head_for
from rstoolbox.structures import Answer

SIZE = (64, 48)
PERFECT = dict(IMG_CLS='accuracy', IMG_VQA='accuracy', IMG_CT='numeric_accuracy', REG_CLS_HBB='f1', REG_CLS_OBB='f1',
               PIX_CLS='weighted_f1', REG_DET_HBB='AP50', REG_DET_OBB='AP', REG_VG='mIoU', PIX_SEG='mIoU',
               PIX_CHG='mDice')
OBJECTS = dict(REG_DET_HBB='bboxes', REG_DET_OBB='quads')


def corners(box):
    left, top, right, bottom = box
    return [left, top, right, top, right, bottom, left, bottom]


def answer(task, layout, label, scores=None):
    """An answer of any task from boxes (N, 4), and a word."""
    layout = np.reshape(np.array(layout, np.float64), (-1, 4))
    found = Answer(text=label)
    if task in ('REG_DET_HBB', 'REG_VG'):
        found.bboxes = layout
    elif task == 'REG_DET_OBB':
        found.quads = np.reshape([corners(box) for box in layout], (-1, 8))
    elif task.startswith('PIX_') and task != 'PIX_CLS':
        found.polygons = [[np.reshape(corners(box), (4, 2))] for box in layout]
    elif task == 'IMG_CT':
        found.text, found.count = f'{len(layout)}.', len(layout)
    if scores is not None:
        found.scores = np.array(scores, np.float64)
    return found


BOX = st.tuples(st.integers(0, 50), st.integers(0, 30), st.integers(4, 12), st.integers(4, 16)).map(
    lambda box: (box[0], box[1], box[0] + box[2], box[1] + box[3]))
LAYOUT = st.lists(BOX, max_size=4)
WORDS = st.sampled_from(['River.', 'airport', 'Bare land.', 'dense residential'])


@st.composite
def records(draw, task, scored=True):
    made = []
    for number in range(draw(st.integers(1, 5))):
        prediction, truth = draw(LAYOUT), draw(LAYOUT)
        scores = draw(st.lists(st.sampled_from([0.2, 0.5, 0.9]), min_size=len(prediction), max_size=len(prediction)))
        scores = scores if scored and task in OBJECTS else None
        made.append(ScoredRecord(
            task, answer(task, prediction, draw(WORDS), scores), answer(task, truth, draw(WORDS)), SIZE,
            draw(st.sampled_from(['ship', 'plane', None])), f'{number // 2}.png'))
    return made


@pytest.mark.parametrize('task', PERFECT)
@given(data=st.data())
@settings(max_examples=15, deadline=None)
def test_a_perfect_prediction_is_100(task, data):
    layouts = data.draw(st.lists(st.lists(BOX, min_size=1, max_size=3, unique=True), min_size=1, max_size=4))
    words = [data.draw(WORDS) for _ in layouts]
    made = [ScoredRecord(task, answer(task, layout, word), answer(task, layout, word), SIZE, 'ship', str(number))
            for number, (layout, word) in enumerate(zip(layouts, words))]
    scalars, report = score_records(made)
    assert scalars[f'{task}/{PERFECT[task]}'] == pytest.approx(100)
    assert scalars[f'{task}/parse_failure_rate'] == 0
    assert report[task]['num_samples'] == len(made)


@pytest.mark.parametrize('variant', ['sound', 'as_released'])
@pytest.mark.parametrize('task', PERFECT)
@given(data=st.data())
@settings(max_examples=15, deadline=None)
def test_the_order_of_records_does_not_matter(task, variant, data):
    made = data.draw(records(task))
    shuffled = data.draw(st.permutations(made))
    assert score_records(shuffled, variant)[0] == pytest.approx(score_records(made, variant)[0], nan_ok=False)


@pytest.mark.parametrize('task', OBJECTS)
@pytest.mark.parametrize('scored', [True, False])
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_a_further_false_positive_never_raises_ap(task, scored, data):
    made = data.draw(records(task, scored))
    before, _ = score_records(made)
    layout, confidence = [(0, 47, 1, 48)], [data.draw(st.sampled_from([0.1, 0.5, 0.95]))] if scored else None
    false = ScoredRecord(task, answer(task, layout, '', confidence), answer(task, [], ''), SIZE,
                   data.draw(st.sampled_from(made)).category, 'other.png')
    after, _ = score_records([*made, false])
    for name in ('AP', 'AP50', 'AP75', 'pooled_AP50', 'precision50'):
        if f'{task}/{name}' in before:
            assert after[f'{task}/{name}'] <= before[f'{task}/{name}'] + 1e-9


@given(first=LAYOUT, second=LAYOUT)
@settings(max_examples=60, deadline=None)
def test_overlaps_are_symmetric_and_agree_for_upright_quads(first, second):
    overlaps = boxes.box_iou(first, second)
    assert overlaps == pytest.approx(boxes.box_iou(second, first).T)
    assert ((overlaps >= 0) & (overlaps <= 1)).all()
    quads = [np.reshape([corners(box) for box in side], (-1, 8)) for side in (first, second)]
    assert boxes.quad_iou(*quads) == pytest.approx(overlaps)


def test_quads_that_nearly_coincide_share_nearly_all():
    # Of these two mmcv 2.3.6 (box_iou_quadri) makes 0.38. Moving all edges by half a pixel costs less than 0.06 here.
    first = [772.05, 921.95, 808.02, 870.85, 854.49, 903.56, 818.52, 954.66]
    second = [771.52, 921.81, 808.24, 871.0, 854.7, 903.66, 818.26, 955.03]
    assert 0.94 < boxes.quad_iou([first], [second])[0, 0] < 1


def test_overlaps_of_rectangles_are_those_of_mmcv_where_its_operators_are_compiled():
    operators = pytest.importorskip('mmcv.ops', reason='needs mmcv with compiled operators (docs/get_started.md)',
                                    exc_type=ImportError)
    random = np.random.default_rng(0)
    first = np.concatenate([random.uniform(100, 200, (60, 2)), random.uniform(5, 80, (60, 2)),
                            random.uniform(0, np.pi, (60, 1))], 1)  # centre, width, height, angle
    second = np.concatenate([first[:30] + random.normal(0, .1, (30, 5)), random.permutation(first)])
    quads = []
    for centre, size, angle in ((boxes_[:, :2], boxes_[:, 2:4], boxes_[:, 4]) for boxes_ in (first, second)):
        axes = np.stack([np.cos(angle), np.sin(angle), -np.sin(angle), np.cos(angle)], 1).reshape(-1, 2, 2)
        signs = np.array([(1, 1), (-1, 1), (-1, -1), (1, -1)]) / 2
        quads.append((centre[:, None] + (signs * size[:, None]) @ axes).reshape(-1, 8))
    expected = operators.box_iou_rotated(*(torch.tensor(side, dtype=torch.float32) for side in (first, second)))
    np.testing.assert_allclose(boxes.quad_iou(*quads), expected.numpy(), atol=1e-3)
    assert (expected > 0.9).sum() >= 60


def test_confidence_ranks_where_there_is_any_and_the_output_order_elsewhere():
    layout = [(30, 30, 40, 40), (0, 0, 10, 10)]
    for task in OBJECTS:
        truth = answer(task, [(0, 0, 10, 10)], '')
        for scores, expected, how in (([0.9, 0.1], 50, 'confidence'), ([0.1, 0.9], 100, 'confidence'),
                                      (None, 50, 'output order')):
            record = ScoredRecord(task, answer(task, layout, '', scores), truth, SIZE, 'ship', 'a')
            scalars, report = score_records([record])
            assert scalars[f'{task}/AP50'] == pytest.approx(expected)
            assert report[task]['ranked_by'] == how


def test_no_object_is_lost_in_a_crowded_image():
    layout = [(x, y, x + 1, y + 1) for x in range(0, 40, 2) for y in range(0, 40, 2)]  # 400 boxes
    sides = [answer('REG_DET_HBB', layout, '') for _ in range(2)]
    record = ScoredRecord('REG_DET_HBB', *sides, SIZE, 'car', 'a')
    assert score_records([record])[0]['REG_DET_HBB/AP50'] == pytest.approx(100)


def test_an_answer_to_one_wording_finds_nothing_for_the_other():
    task, truth = 'REG_DET_HBB', [(4, 4, 20, 20)]
    scalars, _ = score_records([
        ScoredRecord(task, answer(task, found, ''), answer(task, truth, ''), SIZE, 'ship', 'a.png', prompt)
        for prompt, found in (('Detect.', truth * 2), ('Find.', []))])
    assert scalars[f'{task}/recall50'] == scalars[f'{task}/pooled_AP50'] == 50
    assert scalars[f'{task}/AP50'] == pytest.approx(100 * 51 / 101)


@pytest.mark.parametrize('task, text', [('REG_DET_HBB', '<box><100><100><100><100></box>'),
                                        ('REG_VG', '<box><100><100><103><100></box>'),
                                        ('REG_DET_OBB', '<quad><9><7><9><7><9><12><9><12></quad>'),
                                        ('REG_DET_OBB', '<quad><9><9><20><20><20><20><9><9></quad>')])
def test_what_is_smaller_than_a_bin_can_be_found(task, text):
    truth = head_for(task).decode(text, SIZE)
    other = head_for(task).decode(text.replace('<100>', '<102>').replace('<9>', '<8>'), SIZE)
    for found, expected in ((truth, 100), (other, 0)):
        scalars, _ = score_records([ScoredRecord(task, found, truth, SIZE, 'ship', 'a.png')])
        assert scalars[f'{task}/{"Acc@0.5" if task == "REG_VG" else "AP50"}'] == pytest.approx(expected)


def test_a_further_right_answer_counts():
    assert score_records(ScoredRecord('IMG_VQA', Answer(text=text), Answer(text='2.'), references=('two', 'A pair'))
                         for text in ('Two.', 'a pair', '2', 'three'))[0]['IMG_VQA/accuracy'] == 75


def test_the_class_without_a_single_object_counts_as_false_alarm_and_not_as_ap():
    task = 'REG_DET_OBB'
    made = [ScoredRecord(task, answer(task, [(0, 0, 9, 9)], ''), answer(task, [(0, 0, 9, 9)], ''), SIZE, 'ship', 'a'),
            ScoredRecord(task, answer(task, [(0, 0, 9, 9)], ''), answer(task, [], ''), SIZE, 'plane', 'a'),
            ScoredRecord(task, answer(task, [], ''), answer(task, [], ''), SIZE, 'harbor', 'a')]
    scalars, report = score_records(made)
    assert scalars[f'{task}/AP50'] == 100 and scalars[f'{task}/false_alarm_rate'] == 50
    assert report[task]['per_class']['plane'] == dict(AP=None, AP50=None, AP75=None, support=0)


@pytest.mark.parametrize('task', ['PIX_SEG', 'REG_VG'])
def test_empty_against_empty_is_right_and_against_something_wrong(task):
    some = answer(task, [(0, 0, 9, 9)], '')
    for prediction, truth, expected in (([], [], 100), (some, [], 0), ([], some, 0)):
        sides = (side if isinstance(side, Answer) else answer(task, side, '') for side in (prediction, truth))
        assert score_records([ScoredRecord(task, *sides, SIZE)])[0][f'{task}/mIoU'] == expected


@pytest.mark.parametrize('task, name', [('REG_VG', 'Acc@0.5'), ('REG_VG', 'mIoU'), ('PIX_SEG', 'mIoU'),
                                        ('PIX_SEG', 'mDice'), ('PIX_SEG', 'cIoU'), ('PIX_CHG', 'mIoU')])
def test_what_cannot_be_read_is_no_hit_where_nothing_is(task, name):
    absent = Answer(text='The object does not exist.')
    for failures, score in ((1, 0.), (0, 100.)):
        record = ScoredRecord(task, Answer(text='blah', failures=failures), absent, image_size=SIZE)
        metrics, _ = score_records([record])
        assert metrics[f'{task}/{name}'] == score


def test_change_counts_in_both_halves_of_the_canvas_as_one_frame():
    before, after = (answer('PIX_CHG', [box], '') for box in ((1, 1, 5, 5), (33, 25, 37, 29)))
    record = ScoredRecord('PIX_CHG', before, after, SIZE, on_canvas=True)
    scalars, _ = score_records([record])
    assert scalars['PIX_CHG/mIoU'] == 100 and scalars['PIX_CHG/canvas_mIoU'] == 0


def test_masks_are_scored_for_each_class():
    some, half = answer('PIX_SEG', [(0, 0, 8, 8)], ''), answer('PIX_SEG', [(0, 0, 8, 4)], '')
    made = [ScoredRecord('PIX_SEG', some, some, SIZE, 'water'), ScoredRecord('PIX_SEG', half, some, SIZE, 'road')]
    per_class = score_records(made)[1]['PIX_SEG']['per_class']
    assert per_class['water']['mIoU'] == 100 and per_class['road']['mIoU'] == pytest.approx(50)
    assert per_class['road']['support'] == 1


def test_a_decimal_keeps_its_point_and_counts_are_compared_as_numbers():
    made = [ScoredRecord('IMG_CT', Answer(text='2.50', count=2.5), Answer(text='2.5.', count=2.5)),
            ScoredRecord('IMG_CT', Answer(text='many', failures=1), Answer(text='4', count=4)),
            ScoredRecord('IMG_CT', Answer(text='7', count=7), Answer(text='0', count=0))]
    scalars, report = score_records(made)
    assert scalars['IMG_CT/numeric_accuracy'] == pytest.approx(100 / 3)
    assert scalars['IMG_CT/MAE'] == 3.5 and scalars['IMG_CT/RMSE'] == pytest.approx(24.5 ** 0.5)
    assert scalars['IMG_CT/parse_failure_rate'] == pytest.approx(100 / 3)
    assert scalars['IMG_CT/false_alarm_rate'] == 100 and report['IMG_CT']['readable_pairs'] == 2


@pytest.mark.parametrize('text', [20 * '1', 400 * '1', '-3'])
def test_what_no_count_can_be_is_not_read_as_one(text):
    head = head_for('IMG_CT')
    made = [ScoredRecord('IMG_CT', head.decode(said), head.decode('3.')) for said in (text, '5.')]
    scalars, _ = score_records(made)
    assert scalars['IMG_CT/parse_failure_rate'] == 50 and scalars['IMG_CT/MAE'] == scalars['IMG_CT/RMSE'] == 2


def test_to_say_that_there_is_no_object_is_wrong_but_can_be_read():
    head, scalars = head_for('REG_VG'), {}
    for text in ('The object does not exist.', '<box><1><2><3></box>'):
        record = ScoredRecord('REG_VG', head.decode(text, SIZE), answer('REG_VG', [(0, 0, 9, 9)], ''), SIZE)
        scalars[text] = score_records([record])[0]
    assert [values['REG_VG/mIoU'] for values in scalars.values()] == [0, 0]
    assert [values['REG_VG/parse_failure_rate'] for values in scalars.values()] == [0, 100]


def test_a_class_that_is_named_twice_is_named():
    labels = ('river', 'River', 'lake'), ('lake', 'lake'), ('river',)
    records = [ScoredRecord('IMG_CLS', head_for('IMG_CLS').decode(', '.join(said), SIZE), Answer(text=truth))
               for said, truth in zip(labels, ('river.', 'lake.', 'river.'))]
    assert score_records(records)[0]['IMG_CLS/accuracy'] == pytest.approx(200 / 3)


def test_an_unreadable_ground_truth_is_no_silent_absence():
    head, some = head_for('REG_DET_HBB'), answer('REG_DET_HBB', [(0, 0, 9, 9)], '')
    texts = ['<box><1><2><3></box>', '<box><0><0><140><187></box>', 'The object does not exist.']
    made = [ScoredRecord('REG_DET_HBB', some, head.decode(text, SIZE), SIZE, 'ship', text) for text in texts]
    assert score_records(made)[1]['REG_DET_HBB']['unreadable_truths'] == 1
    assert 'unreadable_truths' not in score_records(made[1:])[1]['REG_DET_HBB']


def test_an_answer_that_never_ends_takes_its_own_room_only():
    texts = [100_000 * 'a', *99 * ['yes']]
    made = [ScoredRecord(task, Answer(text=text), Answer(text='yes')) for task in ('IMG_VQA', 'IMG_CLS')
            for text in texts]
    tracemalloc.start()
    scalars, _ = score_records(made)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert scalars['IMG_VQA/accuracy'] == scalars['IMG_CLS/accuracy'] == 99 and peak < 2 ** 23  # 40 MB as an array


def test_several_references_count_for_one_caption(monkeypatch):
    monkeypatch.setenv('PATH', '')  # no Java
    river = Answer(text='a river beside a road')
    made = [ScoredRecord('IMG_CAP', river, Answer(text=text), image_id='a', prompt='Describe.')
            for text in ('A river beside a road', 'Trees near some houses')]
    boats = Answer(text='many boats in port'), Answer(text='Many boats in port')
    made.append(ScoredRecord('IMG_CAP', *boats, image_id='b'))
    scalars, details = caption.score_captions(made)
    assert (details['num_captions'], details['num_references']) == (2, 3)
    assert scalars['BLEU-4'] == pytest.approx(100)


def test_java_that_fails_leaves_a_warning_and_the_other_scores(tmp_path, monkeypatch):
    (tmp_path / 'java').write_text('#!/bin/sh\necho no memory left >&2\nexit 3\n')
    (tmp_path / 'java').chmod(0o755)
    monkeypatch.setenv('PATH', str(tmp_path))
    warnings = []
    monkeypatch.setattr(caption.MMLogger, 'get_current_instance',
                        lambda: type('Log', (), dict(warning=lambda self, text: warnings.append(text)))())
    scalars, _ = caption.score_captions([ScoredRecord('REG_CAP', Answer(text='a b c d'), Answer(text='a b c d'))])
    assert scalars['BLEU-4'] == pytest.approx(100) and 'METEOR' not in scalars
    assert 'no memory left' in warnings[0] and 'METEOR is left out' in warnings[0]
