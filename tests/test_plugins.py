"""The copy-me plug-in, installed as a third party would: nothing of rstoolbox is edited, everything is named."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PROJECT = ROOT / 'projects' / 'example_plugin'
# Two steps of the plug-in's own experiment with thin networks; the teacher is in the loop, so no stage must run first.
TINY = """
_base_ = '{config}'
data_root = '{data}'
images_per_class = 8
num_workers = 0
batch_size = 8
max_epochs = 1
thin = dict(stem_channels=8, base_channels=8)
teacher = dict(backbone=thin, head=dict(in_channels=64))
student = dict(backbone=thin, head=dict(in_channels=64))
rgb_data = dict(train=dict(shots=2))
model = dict(gallery=None)
train_dataset = dict(match_table=None, match='random', read_teacher=True)
stages = None
rows = None
custom_hooks = []
"""
TRAIN = """
import sys
from rstoolbox.engine.config import load_config, runner_config
from rstoolbox.engine.runner import Runner
Runner.from_cfg(runner_config(load_config(sys.argv[1]), work_dir=sys.argv[2])).train()
"""


@pytest.fixture(scope='module')
def installed(tmp_path_factory):
    """A fresh folder that holds the installed plug-in; on PYTHONPATH it is as good as site-packages."""
    folder = tmp_path_factory.mktemp('plugin')
    # pip builds beside the sources, so it gets a copy of them.
    ignored = shutil.ignore_patterns('build', '*.egg-info', '__pycache__')
    shutil.copytree(PROJECT, folder / 'source', ignore=ignored)
    _run('-m', 'pip', 'install', '--no-deps', '--no-build-isolation', '--disable-pip-version-check', '--no-index',
         '--target', folder / 'site', folder / 'source')
    shutil.rmtree(folder / 'source' / 'example_plugin')
    return folder / 'site'


def _run(*arguments, path=(), cwd=None):
    environment = dict(os.environ, OMP_NUM_THREADS='1', PYTHONPATH=os.pathsep.join(map(str, path)))
    done = subprocess.run([sys.executable, *map(str, arguments)], capture_output=True, text=True, cwd=cwd,
                          env=environment, timeout=600)
    assert done.returncode == 0, f'{done.stdout[-4000:]}\n{done.stderr[-4000:]}'
    return done.stdout


def test_the_installed_plugin_passes_its_own_tests(installed):
    _run('-m', 'pytest', '-q', '-p', 'no:cacheprovider', installed.parent / 'source' / 'tests',
         path=[installed, ROOT], cwd=installed.parent)


def test_it_trains_by_name_only(installed, tmp_path):
    config = tmp_path / 'tiny.py'
    config.write_text(TINY.format(config=PROJECT / 'configs' / 'plugin_r18_mini.py', data=tmp_path / 'mini'))
    _run('-c', TRAIN, config, tmp_path / 'run', path=[installed, ROOT], cwd=tmp_path)
    log = [json.loads(line) for path in (tmp_path / 'run').glob('*/vis_data/scalars.json')
           for line in path.read_text().splitlines()]
    assert any('loss_cka' in line for line in _text_log(tmp_path / 'run').splitlines())
    assert any('kappa' in line and 'accuracy' in line for line in log)
    assert (tmp_path / 'run' / 'epoch_1.pth').is_file()


def test_without_the_plugin_the_error_says_what_is_missing(tmp_path):
    code = ("from rstoolbox.registry import TRANSFER_LOSSES, UnknownTypeError\n"
            "try:\n    TRANSFER_LOSSES.build(dict(type='LinearCKA'))\n"
            'except UnknownTypeError as error:\n    print(error)')
    said = _run('-c', code, path=[ROOT], cwd=tmp_path)
    assert "'LinearCKA' is not in the registry 'rstoolbox::transfer loss'" in said
    assert 'Plug-ins loaded: none' in said


def _text_log(work_dir):
    return '\n'.join(path.read_text() for path in work_dir.glob('*/*.log'))
