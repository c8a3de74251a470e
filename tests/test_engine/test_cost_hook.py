"""What a training cost, also where it was interrupted."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.logging import MessageHub
from torch import nn

from rstoolbox.engine.hooks import CostHook
from rstoolbox.engine.hooks import cost as module


def _runner(tmp_path, hub, model):
    return SimpleNamespace(work_dir=str(tmp_path), message_hub=hub, model=model)


def _train(runner, epochs):
    hook = CostHook()
    for _ in range(epochs):
        hook.before_train_epoch(runner)
        hook.after_train_epoch(runner)
    hook.after_train(runner)
    return json.loads(Path(runner.work_dir, 'cost.json').read_text())


def test_epochs_before_an_interruption_count_and_losses_are_weighed(tmp_path, monkeypatch):
    clock = iter([0., 2., 10., 14., 100., 109.])
    monkeypatch.setattr(module.time, 'perf_counter', lambda: next(clock))
    model = nn.Module()
    model.student = nn.Linear(3, 3)
    model.transfer_losses = nn.ModuleDict(dict(a=nn.Linear(4, 2), b=nn.Linear(5, 1)))
    model.transfer_losses.b.requires_grad_(False)
    hub = MessageHub('before')
    assert _train(_runner(tmp_path, hub, model), 2)['seconds_per_epoch'] == 3.
    resumed = MessageHub('after')
    resumed.load_state_dict(hub.state_dict())  # as a checkpoint carries it
    cost = _train(_runner(tmp_path, resumed, model), 1)
    assert cost['seconds_per_epoch'] == 5. and cost['extra_parameters'] == 4 * 2 + 2


def test_a_student_without_transfer_has_no_extra_parameters(tmp_path):
    cost = _train(_runner(tmp_path, MessageHub('plain'), nn.Linear(3, 3)), 1)
    assert cost['extra_parameters'] == 0
    assert torch.cuda.is_available() or 20 < cost['peak_memory_mib'] < 1e6


@pytest.mark.skipif(torch.cuda.is_available() or not module.FORGET.exists(), reason='Linux tells the peak of a process')
def test_memory_of_an_earlier_training_in_the_process_does_not_count():
    CostHook().before_train(None)  # what other tests held
    before = module.peak_memory()
    torch.ones(100 * module.MIB).sum()  # 400 MiB
    grown = module.peak_memory()
    CostHook().before_train(None)
    assert grown - before > 300 * module.MIB and grown - module.peak_memory() > 300 * module.MIB
