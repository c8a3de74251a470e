"""A process that no launcher started says so."""

import pytest

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
