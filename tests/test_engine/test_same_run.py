"""Settings that a checkpoint keeps, and what may differ when its run goes on."""

import pytest

from rstoolbox.engine.config import ConfigError
from rstoolbox.engine.same_run import check_same_settings, settings_of

RUN = dict(
    model=dict(type='Falcon', pretrained='a', generation=dict(num_beams=3), image_size=96),
    train_dataloader=dict(batch_size=4, num_workers=2, dataset=dict(image_root='x', records='r.json')),
    val_dataloader=dict(batch_size=8), optim_wrapper=dict(clip=float('nan'), loss=len),
    custom_hooks=[dict(type='EMAHook', momentum=0.1)],
    default_hooks=dict(checkpoint=dict(interval=5, max_keep_ckpts=3)))


def settings(**changes):
    run = {key: dict(value) if isinstance(value, dict) else value for key, value in RUN.items()}
    for path, value in changes.items():
        key, _, name = path.partition('__')
        run[key] = {**run[key], name: value} if name else value
    return settings_of(run, list(RUN))


@pytest.mark.parametrize('changes', [
    {}, dict(val_dataloader__batch_size=1), dict(model__pretrained='b'), dict(model__generation=dict(num_beams=1)),
    dict(model__gradient_checkpointing=True), dict(default_hooks__checkpoint=dict(interval=9, max_keep_ckpts=1)),
    dict(train_dataloader__num_workers=0)])
def test_what_changes_nothing_that_is_learnt_may_differ(changes):
    check_same_settings(settings(), settings(**changes), 'iter_5.pth')


@pytest.mark.parametrize('changes, told', [
    (dict(model__image_size=64), 'model.image_size was 96 and is 64'),
    (dict(model__tied=False), 'model.tied was not set and is False'),
    (dict(train_dataloader__batch_size=2), 'train_dataloader.batch_size was 4 and is 2'),
    (dict(custom_hooks=[dict(type='EMAHook', momentum=0.2)]), 'custom_hooks.0.momentum was 0.1 and is 0.2')])
def test_what_changes_what_is_learnt_is_named(changes, told):
    with pytest.raises(ConfigError, match=f"'iter_5.pth' is of a run with other settings.*: {told}. Give"):
        check_same_settings(settings(), settings(**changes), 'iter_5.pth')


def test_a_validation_that_chooses_may_not_differ():
    chosen = dict(default_hooks__checkpoint=dict(save_best='mIoU'))
    with pytest.raises(ConfigError, match='val_dataloader.batch_size was 8 and is 1'):
        check_same_settings(settings(**chosen), settings(**chosen, val_dataloader__batch_size=1), 'epoch_1.pth')
