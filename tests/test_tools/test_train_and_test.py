"""Where tools/train.py and tools/test.py write, which is looked at before anything runs."""

import runpy
import sys
from pathlib import Path

import pytest

from rstoolbox.engine import experiment, testing

ROOT = Path(__file__).resolve().parents[2]
CONFIG = str(ROOT / 'configs/sembridge/r18_ms2rgb.py')


@pytest.fixture
def call(tmp_path, monkeypatch):
    """A function that runs a tool in a folder of its own; returns with which work dirs it would train or test."""
    ran = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(experiment, 'train', lambda cfg, work_dir, **kwargs: ran.append(work_dir))
    monkeypatch.setattr(testing, 'test', lambda config, checkpoint: (ran.append(config.work_dir) or {}, {}))

    def run(tool, *arguments):
        monkeypatch.setattr(sys, 'argv', [tool, CONFIG, *(['best.pth'] if tool == 'test.py' else []), *arguments])
        ran.clear()
        runpy.run_path(str(ROOT / 'tools' / tool), run_name='__main__')
        return ran

    return run


def test_the_work_dir_of_the_config_is_that_of_both_tools(call):
    assert call('train.py', '--cfg-options', 'work_dir=mine') == ['mine']
    assert call('test.py', '--cfg-options', 'work_dir=mine') == ['mine/test']
    assert call('test.py') == ['work_dirs/r18_ms2rgb/test']
    assert call('test.py', '--work-dir', 'there', '--cfg-options', 'work_dir=mine') == ['there']


@pytest.mark.parametrize(('tool', 'option'), [
    ('train.py', '--work-dir'), ('test.py', '--work-dir'), ('test.py', '--show-dir'), ('test.py', '--out'),
    ('test.py', '--dump')])
def test_an_output_that_cannot_be_written_ends_the_command_at_once(call, tool, option):
    Path('file').write_text('')
    with pytest.raises(SystemExit, match=f"^error: {option}: 'file/in_it' cannot be written"):
        call(tool, option, 'file/in_it')


def test_ctrl_c_while_training_says_how_to_go_on(call, monkeypatch, capsys):

    def stop(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(experiment, 'train', stop)
    with pytest.raises(SystemExit) as ended:
        call('train.py')
    assert ended.value.code == 130 and '--resume goes on' in capsys.readouterr().err
