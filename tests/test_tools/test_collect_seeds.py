import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def _collect(*arguments):
    return subprocess.run([sys.executable, str(ROOT / 'tools/analysis/collect_seeds.py'), *map(str, arguments)],
                          capture_output=True, text=True, env={'PYTHONPATH': str(ROOT), 'PATH': ''})


def _summary(folder, **accuracies):
    folder.mkdir()
    rows = {row: dict(accuracy=value, precision=1., recall=2., f1=3.) for row, value in accuracies.items()}
    (folder / 'summary.json').write_text(json.dumps(rows))
    return folder


def test_mean_deviation_and_paired_difference(tmp_path):
    folders = [_summary(tmp_path / '0', none=70., kd=72.), _summary(tmp_path / '1', none=74., kd=75.)]
    done = _collect(*folders, '--json', tmp_path / 'out.json')
    assert '| kd | 73.50 ± 2.12 | 1.00 ± 0.00 | 2.00 ± 0.00 | 3.00 ± 0.00 | +1.50 ± 0.71 |' in done.stdout, done.stderr
    assert json.loads((tmp_path / 'out.json').read_text())['kd']['gain']['values'] == [2., 1.]


def test_a_missing_row_is_named(tmp_path):
    done = _collect(_summary(tmp_path / '0', kd=72.))
    assert done.returncode == 1
    assert "no row 'none'" in done.stderr
    assert 'Traceback' not in done.stderr


def test_a_folder_without_a_summary_is_named(tmp_path):
    done = _collect(tmp_path / 'nowhere')
    assert done.returncode == 1
    assert "nowhere/summary.json'. Name work dirs of finished runs" in done.stderr
    assert 'Traceback' not in done.stderr
