"""What commands on whole experiments share."""

import os
import subprocess
import sys

import pytest

from commands import ROOT, run_command
from tiny_experiment import write_tiny


@pytest.fixture(scope='session')
def mini_data(tmp_path_factory):
    """The embedded data set with eight images a class, made once for all tests."""
    return tmp_path_factory.getbasetemp() / 'mini_s2s'


@pytest.fixture
def tiny_config(tmp_path, mini_data):
    """Path of a config of the whole SemBridge experiment at a size that takes seconds."""
    return write_tiny(tmp_path, mini_data)


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
