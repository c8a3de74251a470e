"""What a command says of a command line or a config that is wrong."""

import argparse
from pathlib import Path

import pytest

from rstoolbox.engine.config import runner_config
from rstoolbox.engine.errors import ConfigError, OptionAction, check_output, read_config, readable_errors, seed_number

CONFIG = Path(__file__).resolve().parents[2] / 'configs/sembridge/r18_ms2rgb.py'


@pytest.mark.parametrize(('arguments', 'message'), [
    (['--cfg-options', 'max_epochs'], "'max_epochs' is not of the form KEY=VALUE"),
    (['--cfg-options', '=5'], "'=5' is not of the form"),
    (['--cfg-options', 'a=[1, (2]'], 'Imbalanced brackets'),
    (['--seed', '-1'], "argument --seed: '-1' is no whole number from 0"),
    (['--seed', '4294967296'], 'argument --seed'),
    (['--seed', 'one'], "argument --seed: 'one'"),
])
def test_a_command_line_that_is_wrong(arguments, message, capsys):
    parser = argparse.ArgumentParser()
    parser.add_argument('--cfg-options', nargs='+', action=OptionAction)
    parser.add_argument('--seed', type=seed_number)
    with pytest.raises(SystemExit):
        parser.parse_args(arguments)
    assert message in capsys.readouterr().err


def test_a_command_line_that_is_right():
    parser = argparse.ArgumentParser()
    parser.add_argument('--cfg-options', nargs='+', action=OptionAction)
    parser.add_argument('--seed', type=seed_number)
    args = parser.parse_args(['--cfg-options', 'a=[1,2]', 'b.c=x=y', '--seed', '7'])
    assert (args.cfg_options, args.seed) == ({'a': [1, 2], 'b.c': 'x=y'}, 7)


@pytest.mark.parametrize(('text', 'message'), [
    ('x = (', 'line 1 is no Python'),
    ("_base_ = 'nope.py'", "there is no file '.*nope.py'"),
    ('x = unknown', "NameError: name 'unknown' is not defined"),
    ("custom_imports = dict(imports=['no_such_module'])", 'custom_imports: .*no_such_module.*PYTHONPATH'),
    ("raise SystemExit('no licence')", 'line 1: SystemExit: no licence'),
    ("model = dict()\nlog_level = 'FOO'", "log_level = 'FOO' .*one of DEBUG, INFO"),
    ('model = dict()\nlog_level = None', 'log_level = None'),
    ("model = dict()\nrows = '{}'", "rows = '{}' .*: expected a dict, or None for no rows"),
    ('model = dict()\nrows = dict(kd=[1])', r'rows.kd = \[1\] .*: expected a dict of what this row sets'),
    ("model = dict()\nrow = 'kd'\nrows = dict(kd={})", "'kd' is the name of two of the .* Call one of them otherwise"),
    ('model = dict()\nstages = dict(one={})\nrows = dict(one={})', "'one' is the name of two of the stages, the rows"),
    ('model = dict()\nstages = 3', 'stages = 3 .*: expected a dict'),
    ('batch_size = 3', "describes no 'model'"),
    ('model = dict()\ntrain_dataloader = dict(batch_size=0)', 'train_dataloader.batch_size = 0 .*number, 1 or more'),
])
def test_a_config_that_is_wrong_is_one_line(text, message, tmp_path):
    (tmp_path / 'wrong.py').write_text(text)
    with pytest.raises(SystemExit, match=f'^error: .*{message}') as ended, readable_errors():
        read_config(tmp_path / 'wrong.py')
    assert 'wrong.py' in str(ended.value)


@pytest.mark.parametrize(('code', 'message'), [
    ('import notthere_xyz', r"own_module.py, line 1: No module named 'notthere_xyz'\. Install"),
    ('x = 1\ny = (', r'own_module.py, line 2 is no Python \(.*never closed\): y = \('),
    ("raise RuntimeError('no driver')", r'own_module.py, line 1: RuntimeError: no driver'),
    ("try:\n    import notthere_xyz\nexcept ImportError as error:\n    raise RuntimeError('no') from error",
     r"own_module.py, line 2: No module named 'notthere_xyz'"),
    ("open('gone.txt')", 'own_module.py, line 1: FileNotFoundError: .*gone.txt'),
])
def test_a_module_of_custom_imports_is_named_with_the_first_cause(code, message, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / 'own_module.py').write_text(code)
    (tmp_path / 'right.py').write_text("custom_imports = dict(imports=['own_module'])")
    with pytest.raises(ConfigError, match=message):
        read_config(tmp_path / 'right.py')


def test_a_base_that_is_no_python_is_named(tmp_path):
    (tmp_path / 'base.py').write_text('x = (')
    (tmp_path / 'right.py').write_text("_base_ = 'base.py'")
    with pytest.raises(ConfigError, match='base.py, line 1 is no Python'):
        read_config(tmp_path / 'right.py')


def test_a_part_of_a_config_is_told_from_a_whole_one():
    with pytest.raises(ConfigError, match="mini.py' describes no 'model'"):
        read_config(CONFIG.parents[1] / '_base_/schedules/mini.py')


def _from_interrupt():
    try:
        raise KeyboardInterrupt
    except KeyboardInterrupt:
        raise RuntimeError('DataLoader worker exited')  # noqa: B904, as torch does


def test_ctrl_c_is_one_line(capsys):
    with pytest.raises(SystemExit) as ended, readable_errors('Interrupted; go on.'):
        raise KeyboardInterrupt
    assert ended.value.code == 130 and capsys.readouterr().err == '\nInterrupted; go on.\n'
    with pytest.raises(SystemExit) as ended, readable_errors():
        _from_interrupt()
    assert ended.value.code == 130


def test_an_output_that_cannot_be_written_is_refused(tmp_path):
    file = tmp_path / 'file'
    file.write_text('')
    for path, folder, message in [
            (file, True, 'is a file. Name a folder'), (tmp_path, False, 'is a folder. Name a file'),
            (file / 'in_it', False, 'cannot be written .*Not a directory|File exists'),
            ('/proc/none/here', True, 'cannot be written')]:
        with pytest.raises(ConfigError, match=f'^--to: .*{message}'):
            check_output('--to', path, folder)
    check_output('--to', None)
    check_output('--to', tmp_path / 'new/one.json')
    assert sorted(path.name for path in tmp_path.rglob('*')) == ['file', 'new']


@pytest.mark.parametrize(('option', 'message'), [
    ({'train_cfg.val_interval': 0}, 'train_cfg.val_interval = 0 .* 1 or more'),
    ({'matching.start': 'abc'}, "matching.start = 'abc' .* 0 or more"),
    ({'custom_hooks.0.interval': 0}, 'matching.interval = 0 .* 1 or more'),
    (dict(checkpoint_interval='often'), "checkpoint_interval = 'often'"),
    (dict(checkpoint_interval=-1), r"= -1 .* For no checkpoint before the last write '\${max_epochs}'"),
    (dict(checkpoint_interval=0), r"= 0 .* For no checkpoint before the last write '\${max_epochs}'"),
    (dict(max_epochs='abc'), "max_epochs = 'abc' .*a whole number, 1 or more"),
    (dict(max_epochs=-1), 'max_epochs = -1'),
    (dict(batch_size=0), 'batch_size = 0'),
    (dict(num_workers=-1), 'num_workers = -1 .* 0 or more'),
])
def test_an_option_that_counts_nothing(option, message):
    with pytest.raises(SystemExit, match=message), readable_errors():
        read_config(CONFIG, option)


def test_what_is_advised_for_no_checkpoint_before_the_last_reaches_the_hook():
    cfg = read_config(CONFIG, {'default_hooks.checkpoint.interval': '${max_epochs}', 'max_epochs': 7})
    assert runner_config(cfg).default_hooks.checkpoint.interval == 7


def test_a_package_that_is_not_installed():
    with pytest.raises(SystemExit, match="'nopkg::x.py' cannot be read: No module named 'nopkg'"), readable_errors():
        read_config('nopkg::x.py')


def test_shipped_configs_pass():
    for path in CONFIG.parent.glob('*.py'):
        assert 'model' in read_config(path)
