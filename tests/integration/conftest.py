"""A whole experiment that takes seconds: few images, thin networks, two epochs."""

import os
import subprocess
import sys

import pytest

from commands import ROOT, run_command

TINY = """
_base_ = '{root}/configs/sembridge/r18_ms2rgb.py'
data_root = '{data}'
images_per_class = 8
num_workers = 0
batch_size = 8
max_epochs = 3
teacher_epochs = 2
matcher_epochs = 2
matcher_batch_size = 8
checkpoint_interval = 1
matching = dict(start=1, interval=1, growth=0)
thin = dict(stem_channels=8, base_channels=8)
teacher = dict(backbone=thin, head=dict(in_channels=64))
student = dict(backbone=thin, head=dict(in_channels=64))
log_level = 'WARNING'
"""


@pytest.fixture(scope='session')
def mini_data(tmp_path_factory):
    """The embedded data set with eight images a class, made once for all tests."""
    return tmp_path_factory.getbasetemp() / 'mini_s2s'


@pytest.fixture
def tiny_config(tmp_path, mini_data):
    """Path of a config of the whole SemBridge experiment at a size that takes seconds."""
    path = tmp_path / 'tiny.py'
    path.write_text(TINY.format(root=ROOT, data=mini_data))
    return path


@pytest.fixture
def run_tool():
    """A function that runs a tool as a user would type it and returns the finished process."""

    def run(tool, *arguments, check=True, launcher=()):
        if launcher:
            command = [sys.executable, *launcher, str(ROOT / 'tools' / tool), *map(str, arguments)]
            done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=900,
                                  env=dict(os.environ, OMP_NUM_THREADS='1', PYTHONPATH=str(ROOT)))
        else:
            done = run_command(tool, *arguments)
        if check and done.returncode:
            raise AssertionError(f'{" ".join(done.args)}\nended with {done.returncode}:\n'
                                 f'{done.stdout[-3000:]}\n{done.stderr[-5000:]}')
        return done

    return run
