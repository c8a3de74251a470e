"""What a command says of a command line or a config that is wrong."""

import argparse
from pathlib import Path

import pytest

from rstoolbox.engine.errors import OptionAction, read_config, readable_errors, seed_number

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
    ("custom_imports = dict(imports=['no_such_module'])", 'no_such_module.*PYTHONPATH'),
    ('batch_size = 3', "describes no 'model'"),
    ('model = dict()\ntrain_dataloader = dict(batch_size=0)', 'train_dataloader.batch_size = 0 .*number, 1 or more'),
])
def test_a_config_that_is_wrong_is_one_line(text, message, tmp_path):
    (tmp_path / 'wrong.py').write_text(text)
    with pytest.raises(SystemExit, match=f'^error: .*{message}') as ended, readable_errors():
        read_config(tmp_path / 'wrong.py')
    assert 'wrong.py' in str(ended.value)


@pytest.mark.parametrize(('option', 'message'), [
    (dict(max_epochs='abc'), "max_epochs = 'abc' .*a whole number, 1 or more"),
    (dict(max_epochs=-1), 'max_epochs = -1'),
    (dict(batch_size=0), 'batch_size = 0'),
    (dict(num_workers=-1), 'num_workers = -1 .* 0 or more'),
])
def test_an_option_that_counts_nothing(option, message):
    with pytest.raises(SystemExit, match=message), readable_errors():
        read_config(CONFIG, option)


def test_a_package_that_is_not_installed():
    with pytest.raises(SystemExit, match="'nopkg::x.py' cannot be read: No module named 'nopkg'"), readable_errors():
        read_config('nopkg::x.py')


def test_shipped_configs_pass():
    for path in CONFIG.parent.glob('*.py'):
        assert 'model' in read_config(path)
