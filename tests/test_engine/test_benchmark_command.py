"""The command of a benchmark over a stand-in for the training: how it ends, and what it says."""

import importlib.util
import json
import os
import signal
import threading
import time
from pathlib import Path

import pytest
from mmengine.config import Config

from rstoolbox.engine.benchmark import Run, read_csv
from rstoolbox.engine.config import ConfigError

TOOL = Path(__file__).resolve().parents[2] / 'tools/benchmark.py'


@pytest.fixture
def command(tools, tmp_path, monkeypatch):
    """tools/benchmark.py as a function of the runs that its spec stands for; it writes to the folder 'out'."""
    spec = importlib.util.spec_from_file_location('benchmark_tool', TOOL)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)

    def call(*runs, arguments=()):
        monkeypatch.setattr(tool, 'read_spec', lambda *ignored: runs)
        monkeypatch.setattr(tool, 'check_data', lambda *ignored: None)  # the stand-in has none
        monkeypatch.setattr('sys.argv', ['benchmark.py', 'spec.py', '--out', str(tmp_path / 'out'), *arguments])
        tool.main()

    signals = (signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, signal.SIG_DFL) for number in signals]
    yield call
    for number, handler in zip(signals, before):
        signal.signal(number, handler)


def _run(method='kd', key='key'):
    cfg = Config(dict(stages={}, stage_root=None, rows={}, row=method))
    return Run('mini', 'thin', method, False, 0, 'base.py', False, cfg, key)


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGHUP])
def test_a_command_that_has_to_end_ends_its_runs_and_keeps_what_is_finished(tools, command, tmp_path, number):
    started = tmp_path / 'out/runs/mini/thin/slow/seed0/started.jsonl'

    def end():
        while not (started.is_file() and started.read_text()):
            time.sleep(0.02)
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=end, daemon=True)
    thread.start()
    with pytest.raises(SystemExit, match='stopped; the same command goes on from here'):
        command(_run(), _run('slow'))
    thread.join()
    with pytest.raises(ProcessLookupError):
        os.kill(json.loads(started.read_text())['pid'], 0)
    assert [row['method'] for row in read_csv(tmp_path / 'out/results.csv')] == ['kd']


def test_a_report_tells_runs_of_other_settings_from_those_that_are_missing(command):
    command(_run())
    with pytest.raises(SystemExit, match=(
            '2 of 2 runs have no result:\n  mini/thin/kd/seed0 was run with other settings; .*--cfg-options.*\n'
            '  mini/thin/rkd/seed0$')):
        command(_run(key='other'), _run('rkd'), arguments=['--report-only'])


def test_a_file_is_no_output_folder(command, tmp_path):
    (tmp_path / 'out').touch()
    with pytest.raises(ConfigError, match="--out: '.*out' is a file. Name a folder"):
        command(_run())
