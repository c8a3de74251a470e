import json

import pytest

from rstoolbox.engine.hooks import ResumableCheckpointHook, StudentFriendlyMatchingHook, matching_epochs


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
