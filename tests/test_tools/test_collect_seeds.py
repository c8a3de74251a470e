import importlib.util
import json
import sys
from pathlib import Path

import pytest

from commands import run_command

TOOL = Path(__file__).resolve().parents[2] / 'tools/analysis/collect_seeds.py'
spec = importlib.util.spec_from_file_location('collect_seeds', TOOL)
tool = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tool)


def _write(folder, summary):
    folder.mkdir()
    (folder / 'summary.json').write_text(json.dumps(summary))
    return folder


def _summary(folder, **accuracies):
    return _write(folder, {row: dict(accuracy=value, precision=1., recall=2., f1=3.)
                           for row, value in accuracies.items()})


@pytest.fixture
def collect(monkeypatch, capsys):
    """The tool's command line; gives the lines that it prints."""

    def run(*arguments):
        monkeypatch.setattr(sys, 'argv', ['collect_seeds.py', *map(str, arguments)])
        tool.main()
        return capsys.readouterr().out.splitlines()

    return run


def test_mean_deviation_and_paired_difference(tmp_path, collect):
    folders = [_summary(tmp_path / '0', none=70., kd=72.), _summary(tmp_path / '1', none=74., kd=75.)]
    lines = collect(*folders, '--json', tmp_path / 'out.json')
    assert '| kd | 73.50 ± 2.12 | 1.00 ± 0.00 | 2.00 ± 0.00 | 3.00 ± 0.00 | +1.50 ± 0.71 |' in lines
    assert json.loads((tmp_path / 'out.json').read_text())['kd']['gain']['values'] == [2., 1.]


def test_other_metrics_than_accuracy_are_collected_too(tmp_path, collect):
    folders = [_write(tmp_path / name, dict(none=dict(mAP=none), kd=dict(mAP=kd, f1_micro=3.)))
               for name, none, kd in (('0', 50., 51.), ('1', 54., 57.))]
    assert collect(*folders) == [
        '| Row | mAP | f1_micro | mAP - none |', '|---|---:|---:|---:|', '| none | 52.00 ± 2.83 |  |  |',
        '| kd | 54.00 ± 4.24 | 3.00 ± 0.00 | +2.00 ± 1.41 |']


@pytest.mark.parametrize('second, message', [
    (dict(none=dict(mAP=1.)), "Row 'none' of summary 1 holds the metrics mAP; of the first accuracy, precision"),
    (dict(kd=dict(mAP=1.)), 'Summary 1 holds the rows kd; the first none.'),
    (dict(none='broken'), "summary.json' holds no rows of metrics. Name work dirs of finished runs"),
])
def test_what_does_not_go_together_is_named(tmp_path, collect, second, message):
    with pytest.raises(ValueError, match=message):
        collect(_summary(tmp_path / '0', none=70.), _write(tmp_path / '1', second))


def test_a_missing_row_is_named(tmp_path, collect):
    with pytest.raises(ValueError, match="no row 'none'"):
        collect(_summary(tmp_path / '0', kd=72.))


def test_a_folder_without_a_summary_is_named_without_a_traceback(tmp_path):
    done = run_command('analysis/collect_seeds.py', tmp_path / 'nowhere')
    assert done.returncode == 1
    assert "nowhere/summary.json'. Name work dirs of finished runs" in done.stderr
    assert 'Traceback' not in done.stderr
