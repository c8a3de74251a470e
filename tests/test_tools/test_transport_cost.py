"""Transport costs of a tiny experiment, measured as a user measures them."""

import json

import pytest

from commands import ROOT, run_command
from tiny_experiment import write_tiny

PAIRINGS = {'same image', 'first match', 'last match', 'random, same class', 'random, other class'}


@pytest.fixture(scope='module')
def config(tmp_path_factory):
    folder = tmp_path_factory.mktemp('transport')
    return write_tiny(folder, folder / 'data')


@pytest.fixture(scope='module')
def finished(config):
    work_dir = config.parent / 'run'
    done = run_command('train.py', config, '--work-dir', work_dir)
    assert done.returncode == 0, done.stderr[-3000:]
    return work_dir


def _measure(config, finished, out, *arguments):
    done = run_command('analysis/transport_cost.py', config, finished, '--out', out, '--resamples', 3, *arguments)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads((out / 'transport_cost.json').read_text()), done.stdout


def test_costs_obey_what_costs_must(config, finished, tmp_path):
    before = sorted((path, path.stat().st_mtime_ns) for path in finished.rglob('*'))
    result, printed = _measure(config, finished, tmp_path / 'out', '--samples', 3)
    assert sorted((path, path.stat().st_mtime_ns) for path in finished.rglob('*')) == before
    assert set(result['spaces']) == {'matcher', 'classes'} and result['samples'] == 3
    for space, most in (('matcher', 2), ('classes', 2 ** 0.5)):
        costs = result['spaces'][space]
        assert set(costs) == PAIRINGS
        for groups in costs.values():
            assert len(groups) == 8 + 2  # classes, their mean and all
            for cost in groups.values():
                assert 0 < cost['wasserstein']['mean'] <= cost['pairing']['mean'] + 1e-9 <= most + 2e-9
            # Classes of one size: pairs cost the same in one set, and a set may be carried across classes.
            assert groups['all']['pairing']['mean'] == pytest.approx(groups['within']['pairing']['mean'])
            assert groups['all']['wasserstein']['mean'] <= groups['within']['wasserstein']['mean'] + 1e-9
    # The first match is the nearest of the class in this very space.
    matcher = result['spaces']['matcher']
    assert matcher['first match']['all']['pairing']['mean'] < matcher['random, same class']['all']['pairing']['mean']
    assert '| first match | ' in printed
    assert (tmp_path / 'out/transport_cost.png').stat().st_size > 5000


def test_the_seed_decides(config, finished, tmp_path):
    first, again = (_measure(config, finished, tmp_path / str(run))[0] for run in range(2))
    assert first == again


def test_a_work_dir_without_stages_says_what_to_run(config, tmp_path):
    done = run_command('analysis/transport_cost.py', config, tmp_path / 'nowhere')
    assert done.returncode == 1 and 'Traceback' not in done.stderr
    assert f"'teacher' of {config} was not run to its end" in done.stderr
    assert f'python tools/train.py {config} --work-dir {tmp_path / "nowhere"}' in done.stderr
    assert not (tmp_path / 'nowhere').exists()


def test_a_run_of_other_settings_does_not_pass(config, finished):
    done = run_command('analysis/transport_cost.py', config, finished, '--cfg-options', 'matcher_epochs=1')
    assert done.returncode == 1 and "'matcher' of" in done.stderr and '--cfg-options' in done.stderr


def test_more_samples_than_there_are_is_refused(config, finished):
    done = run_command('analysis/transport_cost.py', config, finished, '--samples', 99)
    assert done.returncode == 2 and '--samples 99: expected 1 to 3' in done.stderr


def test_an_output_that_cannot_be_written_is_said_first(config, tmp_path):
    (tmp_path / 'taken').touch()
    done = run_command('analysis/transport_cost.py', config, tmp_path / 'nowhere', '--out', tmp_path / 'taken')
    assert done.returncode == 1 and f"--out: '{tmp_path}/taken' is a file. Name a folder" in done.stderr


def test_an_experiment_without_a_match_is_named(tmp_path):
    config = tmp_path / 'plain.py'
    config.write_text(f"_base_ = ['{ROOT}/configs/_base_/datasets/mini_s2s.py', "
                      f"'{ROOT}/configs/_base_/models/r18_r18.py', '{ROOT}/configs/_base_/schedules/mini.py', "
                      f"'{ROOT}/configs/_base_/default_runtime.py']\nmodel = '${{student}}'\n"
                      f"train_dataset = '${{rgb_data.train}}'\ndata_root = '{tmp_path}/data'\nimages_per_class = 4\n")
    done = run_command('analysis/transport_cost.py', config, tmp_path / 'run')
    assert done.returncode == 1 and 'Traceback' not in done.stderr
