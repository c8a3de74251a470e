"""Runs of a benchmark over a stand-in for the training: what is started, how often, and what is said of it."""

import io
import json
import os
import shlex
import signal
import threading
import time
from types import SimpleNamespace

import pytest
from mmengine.config import Config
from rich.console import Console

from rstoolbox.engine.benchmark import Run, Scheduler, read_result
from rstoolbox.engine.benchmark import scheduler as module
from rstoolbox.engine.benchmark.progress import Progress


def _run(method='kd', seed=0, key='key', dataset='mini'):
    cfg = Config(dict(stages=dict(teacher=1, gallery=2, a=3), stage_root=None, rows={}, row=method))
    return Run(dataset, 'thin', method, False, seed, 'base.py', False, cfg, key)


def _schedule(tmp_path, *runs, **options):
    return Scheduler(runs, tmp_path / 'runs', tmp_path / 'stages', **options)


def _starts(cell):
    path = cell.folder / 'started.jsonl'
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def _wait(condition):
    deadline = time.time() + 60
    while not condition():
        assert time.time() < deadline
        time.sleep(0.02)


def _is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_row_holds_what_the_files_of_a_run_say(tools, tmp_path):
    scheduler = _schedule(tmp_path, _run())
    scheduler.run()
    [cell] = scheduler.cells
    assert cell.state == 'done'
    assert cell.result == dict(
        dataset='mini', config='base.py', pair='thin', method='kd', sembridge='no', seed=0, config_hash='f',
        split_hash='abc', accuracy=50., precision=51., recall=52., f1=53., val_accuracy=45., seconds_per_epoch=2.,
        extra_parameters=7, peak_memory_mib=100.)
    written = Config.fromfile(cell.folder / 'config.py')
    assert list(written.stages) == ['teacher', 'gallery', 'a']  # in the order in which they run
    assert written.stage_root == str(tmp_path / 'stages')


def test_the_cores_are_shared_out(tools, tmp_path, monkeypatch):
    monkeypatch.setattr(os, 'sched_getaffinity', lambda pid: set(range(8)))
    scheduler = _schedule(tmp_path, _run(), jobs=3)
    scheduler.run()
    assert _starts(scheduler.cells[0])[0]['threads'] == '2'


def test_failing_runs_are_explained_and_the_others_go_on(tools, tmp_path):
    scheduler = _schedule(tmp_path, *map(_run, ('crash', 'killed', 'empty', 'kd')), jobs=2)
    scheduler.run()
    crash, killed, empty, good = scheduler.cells
    assert [cell.state for cell in scheduler.cells] == ['failed', 'failed', 'failed', 'done']
    assert crash.why == 'ended with exit code 1'
    assert crash.tail.splitlines()[-1] == 'error: the disk is made of cheese' and len(crash.tail.splitlines()) == 12
    assert killed.why == 'killed by SIGKILL' and empty.why == 'ended without a result'
    assert shlex.split(crash.log.read_text().splitlines()[0])[2:4] == ['-u', str(tools / 'train.py')]


def test_what_is_finished_is_not_run_again_and_what_failed_goes_on(tools, tmp_path):
    _schedule(tmp_path, _run(), _run('crash')).run()
    scheduler = _schedule(tmp_path, _run(), _run('crash'))
    scheduler.run()
    good, bad = scheduler.cells
    assert len(_starts(good)) == 1 and good.state == 'done' and good.seconds is None
    assert len(_starts(bad)) == 2 and '--resume' in _starts(bad)[1]['arguments']


def test_what_is_finished_counts_from_the_start_on(tools, tmp_path):
    _schedule(tmp_path, _run(), _run(seed=1)).run()
    known = []
    scheduler = _schedule(tmp_path, _run('slow'), _run(), _run(seed=1),
                          changed=lambda cell: known.append(sum(other.result is not None for other in scheduler.cells)))
    seen = []

    def tick():
        seen.append([cell.state for cell in scheduler.cells])
        (tools / 'go').touch()

    scheduler.run(tick)
    assert seen[0] == ['running', 'done', 'done']
    assert known == [2, 2, 2, 3]  # never fewer: a report that is written at each would lose rows


def test_a_run_of_other_settings_is_no_result_and_is_not_resumed(tools, tmp_path):
    _schedule(tmp_path, _run()).run()
    scheduler = _schedule(tmp_path, _run(key='other'))
    assert read_result(_run(key='other'), scheduler.cells[0].folder) is None
    scheduler.run()
    assert '--resume' not in _starts(scheduler.cells[0])[1]['arguments']


def test_a_run_of_other_settings_that_ends_early_does_not_leave_the_earlier_result_as_its_own(tools, tmp_path):
    _schedule(tmp_path, _run()).run()
    (tools / 'no_data').touch()
    _schedule(tmp_path, _run(key='other')).run()
    (tools / 'no_data').unlink()
    scheduler = _schedule(tmp_path, _run(key='other'))
    assert read_result(_run(key='other'), scheduler.cells[0].folder) is None
    scheduler.run()
    assert scheduler.cells[0].state == 'done' and len(_starts(scheduler.cells[0])) == 3
    assert (scheduler.cells[0].folder / 'test-key.json').is_file()  # nothing is lost


def test_a_run_whose_weights_are_gone_is_no_result(tools, tmp_path):
    scheduler = _schedule(tmp_path, _run())
    scheduler.run()
    (scheduler.cells[0].folder / 'best_student.pth').unlink()
    assert read_result(_run(), scheduler.cells[0].folder) is None


@pytest.mark.parametrize('name', ['stage.json', 'test.json', 'cost.json', 'environment.json', 'best_student.pth'])
def test_half_a_file_is_no_result(tools, tmp_path, name):
    scheduler = _schedule(tmp_path, _run())
    scheduler.run()
    (scheduler.cells[0].folder / name).write_text('{"met')
    assert read_result(_run(), scheduler.cells[0].folder) is None


def test_two_commands_at_once_run_nothing_twice(tools, tmp_path):
    runs = [_run('slow'), *(_run(seed=seed) for seed in range(3))]
    schedulers = [_schedule(tmp_path, *runs, jobs=2) for _ in range(2)]
    threads = [threading.Thread(target=scheduler.run) for scheduler in schedulers]
    for thread in threads:
        thread.start()
    _wait(lambda: 'elsewhere' in [scheduler.cells[0].state for scheduler in schedulers])
    (tools / 'go').touch()
    for thread in threads:
        thread.join(60)
    for scheduler in schedulers:
        assert [cell.state for cell in scheduler.cells] == ['done'] * 4
    assert [len(_starts(cell)) for cell in schedulers[0].cells] == [1] * 4


def test_a_run_whose_command_was_killed_is_left_to_end_before_another_of_its_folder(tools, tmp_path):
    killed = _schedule(tmp_path, _run('slow'))
    killed._take(killed.cells[0])
    os.close(killed.cells[0].lock.descriptor)  # as the system does with all of a process that it kills
    other, seen = _schedule(tmp_path, _run('slow', key='other')), []

    def tick():
        seen.append(other.cells[0].state)
        (tools / 'go').touch()

    other.run(tick)
    assert seen[0] == 'elsewhere' and other.cells[0].state == 'done'
    assert killed.cells[0].process.wait() == 0 and len(_starts(other.cells[0])) == 2


def test_a_folder_that_cannot_be_written_fails_alone(tools, tmp_path):
    scheduler = _schedule(tmp_path, _run(), _run(seed=1), _run(seed=2))
    file, log = (cell.folder for cell in scheduler.cells[:2])
    (log / 'run.log').mkdir(parents=True)
    file.touch()
    scheduler.run()
    assert [cell.state for cell in scheduler.cells] == ['failed', 'failed', 'done']
    assert 'could not be started: ' in scheduler.cells[0].why and 'run.log' in scheduler.cells[1].why
    assert scheduler.cells[1].tail == '' and scheduler.slots == [0]


def test_one_run_goes_ahead_until_the_shared_stages_are_there(tools, tmp_path, monkeypatch):
    monkeypatch.setattr(module.Cell, 'has_stages', property(lambda cell: (tools / 'stages').exists()))
    scheduler = _schedule(tmp_path, _run('slow'), _run(), _run('kd', dataset='other'), jobs=3)
    seen = []

    def tick():
        states = tuple(cell.state for cell in scheduler.cells)
        seen.append(states)
        if states == ('running', 'waiting', 'done') or (states[0] == 'running' and len(seen) > 5):
            (tools / 'stages').touch()
            (tools / 'go').touch()

    scheduler.run(tick)
    assert seen[0] == ('running', 'waiting', 'running')  # the other data set waits for nobody
    assert seen[-1] == ('done', 'done', 'done')


def test_an_interrupt_stops_the_processes_and_frees_their_locks(tools, tmp_path):
    scheduler = _schedule(tmp_path, _run('slow'))
    [cell] = scheduler.cells

    def tick():
        if _starts(cell):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        scheduler.run(tick)
    assert not _is_alive(_starts(cell)[0]['pid'])
    assert cell.process.returncode == -signal.SIGTERM
    (tools / 'go').touch()
    again = _schedule(tmp_path, _run('slow'))
    again.run()
    assert again.cells[0].state == 'done'


def test_slurm_gets_one_gpu_and_a_port_for_each_run(tools, tmp_path, monkeypatch):
    for name in ('GPUS', 'PORT'):
        monkeypatch.delenv(name, raising=False)
    scheduler = _schedule(tmp_path, _run(), _run(dataset='other'), jobs=2, partition='gpu')
    scheduler.run()
    said = [(cell.folder / 'srun.txt').read_text().split() for cell in scheduler.cells]
    assert said[0] == ['gpu', 'mini-thin-kd-seed0', str(scheduler.cells[0].folder / 'config.py'),
                       str(scheduler.cells[0].folder), '--resume', '1', '29500']
    assert said[1][-1] == '29501'


def test_a_name_that_looks_like_markup_stands_in_the_table():
    cell = SimpleNamespace(run=SimpleNamespace(name='[dense]/[/red]/kd'), state='waiting', seconds=None, result=None)
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    with Progress([cell], console):
        pass
    assert cell.run.name in console.file.getvalue()
