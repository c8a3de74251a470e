"""The benchmark of transfer losses at a tiny size, where it is a second test of every formula."""

import json

import pytest

from commands import run_command
from rstoolbox import models  # noqa: F401, registers the losses
from rstoolbox.registry import TRANSFER_LOSSES

TINY = ('--batch', 8, '--classes', 7, '--width', 12, '--map-size', 3, '--repeats', 1, '--check-batch', 10,
        '--memory-batch', 64)


def _run(*arguments):
    return run_command('benchmarks/transfer.py', *arguments)


@pytest.fixture(scope='module')
def result():
    done = _run('--json', *TINY)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize('name', sorted(name for name, loss in TRANSFER_LOSSES.module_dict.items()
                                        if loss.__module__.startswith('rstoolbox.')))
def test_value_and_gradient_are_those_of_the_formula(result, name):
    rows = [row for row in result['losses'] if row['loss'] == name]
    assert len(rows) == 1, f'{name} has no plain writing in tools/benchmarks/plain_*_losses.py'
    assert rows[0]['value_difference'] <= 1e-6 and rows[0]['gradient_difference'] <= 1e-6
    assert rows[0]['same'] and rows[0]['ratio'] == pytest.approx(rows[0]['milliseconds']
                                                                 / rows[0]['plain_milliseconds'])


def test_memory_is_measured_of_the_pairwise_ones(result):
    assert set(result['memory_mib']) == {'RKD', 'CC', 'NST', 'SP'}
    # All triples of 64 samples are 1 MiB a tensor.
    assert all(0 <= growth < 64 for growth in result['memory_mib'].values())


def test_some_losses_as_a_table():
    done = _run('--losses', 'KD', 'AT', *TINY)
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()[-3:]]
    assert [line[0] for line in lines] == ['loss', 'KD', 'AT'] and [line[5] for line in lines[1:]] == ['yes', 'yes']


@pytest.mark.parametrize('arguments, message', [
    (('--losses', 'RDK'), "no transfer loss 'RDK'; did you mean 'RKD'?"),
    (('--batch', 2), '--batch 2: at least 4 samples'),
    (('--classes', 10, 2), '--classes 2: at least 3'),
    (('--repeats', 0), "'0' is no whole number from 1 on"),
])
def test_bad_arguments_are_explained(arguments, message):
    done = _run(*arguments)
    assert done.returncode == 2 and message in done.stderr and 'Traceback' not in done.stderr
