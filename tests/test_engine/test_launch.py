"""A process that no launcher started says so."""

import os

import pytest
import torch

from rstoolbox.engine import launch
from rstoolbox.engine.launch import VARIABLES, setup_launcher


@pytest.mark.parametrize(('launcher', 'message'), [
    ('pytorch', 'RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR are not set.*dist_train.sh'),
    ('slurm', 'SLURM_NODELIST are not set.*slurm_train.sh')])
def test_a_launcher_that_did_not_start_the_process(launcher, message, monkeypatch):
    for name in VARIABLES[launcher]:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv('MASTER_PORT', '29500')
    with pytest.raises(ValueError, match=message):
        setup_launcher(launcher)


def test_one_process_needs_no_launcher():
    assert setup_launcher('none') == {}


def test_slurm_on_a_cpu_gets_the_address_that_torch_needs(monkeypatch):
    monkeypatch.setattr(os, 'environ', dict(SLURM_PROCID='0', SLURM_NTASKS='1', SLURM_LOCALID='0', SLURM_NODELIST='n'))
    monkeypatch.setattr(launch, '_first_host', lambda nodes: nodes)
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    monkeypatch.setattr(torch.distributed, 'init_process_group', lambda **kwargs: None)
    setup_launcher('slurm')
    assert (os.environ['MASTER_ADDR'], os.environ['MASTER_PORT']) == ('n', '29500')
