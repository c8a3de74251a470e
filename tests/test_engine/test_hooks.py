import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from rstoolbox.engine.hooks import (
    DumpAnswersHook,
    ResumableCheckpointHook,
    ShowAnswersHook,
    StudentFriendlyMatchingHook,
    matching_epochs,
)
from rstoolbox.evaluation import read_dump
from rstoolbox.heads import ChangeDetection
from rstoolbox.registry import HEADS
from rstoolbox.structures import Answer, FalconDataSample


def test_the_three_published_schedules(shared):
    for schedule in json.loads(shared('golden/sembridge/schedules.json').read_text())['rematch_epochs'].values():
        published = next(value for value in schedule.values() if isinstance(value, list))
        assert matching_epochs(schedule['e0'], schedule['delta_e'], schedule['e_mu'], len(published)) == published


def test_a_schedule_by_hand():
    assert matching_epochs(30, 30, 5, 4) == [30, 60, 95, 135]
    assert matching_epochs(15, 30, 5, 5) == [15, 45, 80, 120, 165]
    assert matching_epochs(2, 1, 0, 3) == [2, 3, 4]
    assert matching_epochs(2, 1, 0, 0) == []


@pytest.mark.parametrize('schedule', [(-1, 5, 0), (0, 0, 0), (0, 5, -1)])
def test_a_schedule_that_makes_no_sense_is_refused_when_built(schedule):
    with pytest.raises(ValueError, match='start >= 0, interval >= 1 and growth >= 0'):
        StudentFriendlyMatchingHook(*schedule, dataloader={})


def test_one_kept_checkpoint_is_refused():
    with pytest.raises(ValueError, match='last whole checkpoint'):
        ResumableCheckpointHook(max_keep_ckpts=1)


def test_answers_are_in_the_file_before_they_are_scored(tmp_path):
    runner = SimpleNamespace(test_dataloader=DataLoader(range(2)))
    hook = DumpAnswersHook(str(tmp_path / 'answers.jsonl'))
    for number in range(2):
        sample = FalconDataSample(metainfo=dict(sample_id=str(number), task='IMG_CAP', image_size=(8, 8),
                                                image_id=f'{number}.png'))
        sample.prompt, sample.answer = 'Describe the image.', 'A lake.'
        sample.pred_answer = Answer(text='A river.', scores=np.array([0.5]))
        hook.after_test_iter(runner, number, None, [sample])
        if number == 0:  # a test that is cut short here leaves what it has
            assert [record.prediction.text for record in read_dump(f'{hook.path}.0.part')] == ['A river.']
    assert [path.name for path in tmp_path.iterdir()] == ['answers.jsonl']
    assert [record.prediction.text for record in read_dump(hook.path)] == ['A river.', 'A river.']


def test_a_pair_of_any_task_is_drawn_side_by_side(tmp_path):
    @HEADS.register_module(name='MY_PAIRS')
    class Pairs(ChangeDetection):
        tag = 'MY_PAIRS'

    try:
        for task in ('PIX_CHG', 'MY_PAIRS', None):
            sample = FalconDataSample(metainfo=dict(sample_id='1', task=task, image_size=(8, 8)))
            sample.prompt, sample.answer, sample.pred_answer = 'Find changes.', 'A house.', Answer(text='A house.')
            ShowAnswersHook(tmp_path).after_test_iter(None, 0, dict(inputs=[torch.zeros(16, 16, 3).byte()]), [sample])
        sizes = [Image.open(tmp_path / f'1_{task}.png').size for task in ('PIX_CHG', 'MY_PAIRS', None)]
        assert sizes[0] == sizes[1] == (2 * 512 + 8, sizes[0][1]) and sizes[2][0] == 512
    finally:
        HEADS.module_dict.pop('MY_PAIRS')


def test_truth_and_region_are_drawn_in_a_test(tmp_path):
    pictures = []
    for prompt in ('Classify the region of <box><100><100><900><900></box>.', 'Classify.'):
        sample = FalconDataSample(metainfo=dict(sample_id='1', task='REG_CLS_HBB', image_size=(16, 16)))
        sample.prompt, sample.answer, sample.pred_answer = prompt, 'A ship.', Answer(text='A tank.')
        sample.gt_answer = Answer(text='A ship.', labels=['A ship'])
        ShowAnswersHook(tmp_path).after_test_iter(None, 0, dict(inputs=[torch.zeros(16, 16, 3).byte()]), [sample])
        pictures.append(np.asarray(Image.open(tmp_path / '1_REG_CLS_HBB.png').convert('RGB')))
    edge = [picture[52, 60:450] for picture in pictures]  # the upper one of the region, 1.6 of 16 pixels down
    assert edge[0].max() > 200 and not edge[1].any()
    assert all((picture == (0, 126, 51)).all(2).any() for picture in pictures)  # what was to be answered
