"""The benchmark as a user types it, with real trainings of an epoch."""

import os
import signal
import subprocess
import sys
import time

import pytest

from commands import ROOT
from rstoolbox.engine.benchmark import markdown, read_csv
from tiny_experiment import write_tiny

SPEC = """
datasets = dict(mini=dict(config={config!r}))
pairs = dict(thin=dict())
methods = dict(ctkd=dict(type='CTKD'))
seeds = [0]
options = dict(max_epochs=1, teacher_epochs=1, matcher_epochs=1, matching=dict(start=0, interval=1, growth=0))
"""
RUNS = ('none', 'ctkd', 'ctkd+sembridge')


def _start(spec, out):
    with open(f'{out}.log', 'a') as log:
        command = [sys.executable, str(ROOT / 'tools/benchmark.py'), str(spec), '--out', str(out)]
        return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=ROOT,
                                env=dict(os.environ, OMP_NUM_THREADS='1', PYTHONPATH=str(ROOT)),
                                # As a terminal starts it; tests run in the background inherit that it is ignored.
                                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))


def _say(out):
    with open(f'{out}.log') as file:
        return file.read()


def _run_folder(out, name):
    return out / 'runs/mini/thin' / name / 'seed0'


def _commands(out, name):
    log = _run_folder(out, name) / 'run.log'
    return [line for line in log.read_text().splitlines() if line.startswith('$ ')] if log.is_file() else []


def _wait_for(process, out, name):
    deadline = time.time() + 600
    while not _commands(out, name) and process.poll() is None and time.time() < deadline:
        time.sleep(0.05)
    assert process.poll() is None, _say(out)[-3000:]


@pytest.fixture(scope='module')
def finished(tmp_path_factory, mini_data):
    """A benchmark that was killed once within its second run: the spec and its folder."""
    folder = tmp_path_factory.mktemp('benchmark')
    config = write_tiny(folder, mini_data)
    spec, out = folder / 'spec.py', folder / 'out'
    spec.write_text(SPEC.format(config=str(config)))
    process = _start(spec, out)
    _wait_for(process, out, 'ctkd')
    process.kill()
    process.wait()
    assert _start(spec, out).wait() == 0, _say(out)[-3000:]
    return spec, out


def test_nothing_is_run_twice_after_a_kill(finished):
    _, out = finished
    assert len(_commands(out, 'none')) == 1 and len(_commands(out, 'ctkd+sembridge')) == 1
    # What the killed command had started went on alone; the next command found it finished, or waited for it.
    assert len(_commands(out, 'ctkd')) in (1, 2)
    # Each training leaves a folder of its own.
    trainings = [_run_folder(out, name) for name in RUNS] + [*(out / 'stages').glob('*er-*')]
    assert len(trainings) == 3 + 2
    for folder in trainings:
        assert len(list(folder.glob('*/vis_data/scalars.json'))) == 1, folder
    assert sorted(path.name.partition('-')[0] for path in (out / 'stages').iterdir()) == [
        'gallery', 'match', 'matcher', 'teacher']


def test_the_results_are_those_of_the_runs(finished):
    _, out = finished
    rows = read_csv(out / 'results.csv')
    assert [(row['method'], row['sembridge']) for row in rows] == [('none', 'no'), ('ctkd', 'no'), ('ctkd', 'yes')]
    assert [row['extra_parameters'] > 0 for row in rows] == [False, True, True]
    assert rows[1]['extra_parameters'] == 1 < rows[2]['extra_parameters']  # CTKD's temperature, SKA's projections
    assert len({row['config_hash'] for row in rows}) == 3 and len({row['split_hash'] for row in rows}) == 1
    for row, name in zip(rows, RUNS):
        assert 0 <= row['accuracy'] <= 100 and 0 <= row['val_accuracy'] <= 100
        assert row['seconds_per_epoch'] > 0 and row['peak_memory_mib'] > 50
        summary = (_run_folder(out, name) / 'summary.md').read_text()
        assert f'| {row["method"]} | {row["accuracy"]:.2f} |' in summary
    assert (out / 'table.md').read_text() == markdown(rows)
    assert (out / 'bars_mini_thin.png').is_file() and (out / 'cost_mini_thin.png').is_file()


def test_the_report_is_made_anew_from_the_runs(finished, run_tool):
    spec, out = finished
    before = (out / 'results.csv').read_bytes()
    (out / 'results.csv').unlink()
    (out / 'table.md').unlink()
    done = run_tool('benchmark.py', spec, '--out', out, '--report-only')
    assert (out / 'results.csv').read_bytes() == before and '| ctkd + SemBridge |' in done.stdout
    # Of other settings nothing is finished, and a report trains nothing.
    done = run_tool('benchmark.py', spec, '--out', out, '--report-only', '--cfg-options', 'max_epochs=2', check=False)
    assert done.returncode == 1 and '3 of 3 runs have no result' in done.stderr
    assert (out / 'results.csv').read_bytes() == before and len(_commands(out, 'none')) == 1


def test_a_failing_run_does_not_stop_the_others_and_ctrl_c_stops_all(tmp_path, mini_data):
    # Steps that no network survives, which nothing can know before.
    config = write_tiny(tmp_path, mini_data, 'learning_rate = 1e38\n')
    broken, out = tmp_path / 'broken.py', tmp_path / 'out'
    broken.write_text(SPEC.format(config=str(config)))
    process = _start(broken, out)
    _wait_for(process, out, 'ctkd')
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 1
    said = _say(out)
    assert 'mini/thin/none/seed0 ended with exit code 1. The end of' in said
    assert 'error: loss = nan on the batch of' in said
    assert said.endswith('stopped; the same command goes on from here\n') and 'Traceback' not in said


def test_a_wrong_spec_is_one_line(run_tool, tmp_path):
    spec = tmp_path / 'spec.py'
    spec.write_text(SPEC.format(config='rstoolbox::sembridge/r18_ms2rgb.py').replace('CTKD', 'CKTD'))
    done = run_tool('benchmark.py', spec, '--out', tmp_path / 'out', check=False)
    assert done.returncode == 1 and 'Nearest names: CTKD' in done.stderr and 'Traceback' not in done.stderr
    assert not (tmp_path / 'out').exists()


def test_images_that_are_not_there_are_missed_before_the_first_run(run_tool, tmp_path):
    spec = tmp_path / 'spec.py'
    spec.write_text(SPEC.format(config='rstoolbox::sembridge/r18_eu.py'))
    done = run_tool('benchmark.py', spec, '--out', tmp_path / 'out', '--cfg-options', f'data_root={tmp_path}/nowhere',
                    check=False)
    found = f'train_dataloader.dataset: There is no folder {tmp_path}/nowhere/eurosat_ms'
    assert done.returncode == 1 and f"data set 'mini', pair 'thin': stage 'teacher': {found}" in done.stderr
    assert 'Traceback' not in done.stderr
    assert list((tmp_path / 'out').iterdir()) == []
