"""The shell launchers hand on exactly what they were given."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).resolve().parents[2] / 'tools'
# Stands in for train.py and test.py: every process leaves what it was called with.
RECORDER = """
import json, os, sys
names = ('RANK', 'WORLD_SIZE', 'LOCAL_RANK', 'MASTER_ADDR', 'MASTER_PORT', 'PYTHONPATH')
name = f"{os.path.basename(sys.argv[0])}.{os.environ.get('RANK', 'slurm')}.json"
with open(os.path.join(os.environ['RECORDS'], name), 'w') as file:
    json.dump(dict(arguments=sys.argv[1:], environment={key: os.environ.get(key) for key in names}), file)
"""
# Stands in for Slurm: keeps its own arguments and runs the command once.
SRUN = """#!/usr/bin/env bash
own=()
while [[ $1 == -* ]]; do
    own+=("$1")
    if [[ $1 == -p ]]; then own+=("$2"); shift; fi
    shift
done
printf '%s\\n' "${own[@]}" > "$RECORDS/srun.txt"
exec "$@"
"""


@pytest.fixture
def launch(tmp_path):
    """A function that runs a launcher beside stand-ins and returns the finished process."""
    folder = tmp_path / 'a checkout' / 'tools'
    folder.mkdir(parents=True)
    for script in TOOLS.glob('*.sh'):
        shutil.copy(script, folder)
    for name in ('train.py', 'test.py'):
        (folder / name).write_text(RECORDER)
    srun = tmp_path / 'bin' / 'srun'
    srun.parent.mkdir()
    srun.write_text(SRUN)
    srun.chmod(0o755)

    def run(script, *arguments, **environment):
        own = dict(os.environ, RECORDS=str(tmp_path), PYTHON=sys.executable, OMP_NUM_THREADS='1',
                   PATH=f'{srun.parent}:{os.environ["PATH"]}', **environment)
        return subprocess.run([str(folder / script), *arguments], capture_output=True, text=True, env=own, timeout=300)

    return run


def _records(tmp_path, name):
    return [json.loads(path.read_text()) for path in sorted(tmp_path.glob(f'{name}.*.json'))]


def test_dist_train_starts_processes_that_know_their_rank(launch, tmp_path):
    done = launch('dist_train.sh', 'a config.py', '2', '--cfg-options', 'a=1', 'b=[1, 2]', PORT='29731')
    assert done.returncode == 0, done.stderr
    records = _records(tmp_path, 'train.py')
    assert [record['environment']['RANK'] for record in records] == ['0', '1']
    for record in records:
        assert record['arguments'] == ['a config.py', '--launcher', 'pytorch', '--cfg-options', 'a=1', 'b=[1, 2]']
        assert record['environment']['WORLD_SIZE'] == '2'
        assert record['environment']['MASTER_PORT'] == '29731'
        assert record['environment']['PYTHONPATH'].startswith(str(tmp_path / 'a checkout'))


def test_dist_test_hands_on_config_and_checkpoint(launch, tmp_path):
    done = launch('dist_test.sh', 'config.py', 'best.pth', '1', '--out', 'out.json', PORT='29732')
    assert done.returncode == 0, done.stderr
    [record] = _records(tmp_path, 'test.py')
    assert record['arguments'] == ['config.py', 'best.pth', '--launcher', 'pytorch', '--out', 'out.json']


def test_slurm_train_asks_for_gpus_and_names_the_work_dir(launch, tmp_path):
    done = launch('slurm_train.sh', 'gpu', 'job', 'config.py', 'work dir', '--amp', GPUS='4',
                  SRUN_ARGS='--mem=8G --time=60')
    assert done.returncode == 0, done.stderr
    asked = (tmp_path / 'srun.txt').read_text().splitlines()
    assert asked == ['-p', 'gpu', '--job-name=job', '--gres=gpu:4', '--ntasks-per-node=4', '--ntasks=4',
                     '--cpus-per-task=5', '--kill-on-bad-exit=1', '--mem=8G', '--time=60']
    [record] = _records(tmp_path, 'train.py')
    assert record['arguments'] == ['config.py', '--work-dir', 'work dir', '--launcher', 'slurm', '--amp']


def test_slurm_test_runs_without_gpus(launch, tmp_path):
    done = launch('slurm_test.sh', 'cpu', 'job', 'config.py', 'best.pth', GPUS='2', GPUS_PER_NODE='0')
    assert done.returncode == 0, done.stderr
    assert 'gres' not in (tmp_path / 'srun.txt').read_text()
    [record] = _records(tmp_path, 'test.py')
    assert record['arguments'] == ['config.py', 'best.pth', '--launcher', 'slurm']


@pytest.mark.parametrize('script', ['dist_train.sh', 'dist_test.sh', 'slurm_train.sh', 'slurm_test.sh'])
def test_too_few_arguments_show_the_usage(launch, script):
    done = launch(script, 'config.py')
    assert done.returncode == 2
    assert done.stderr.startswith('usage: ')
    assert 'CONFIG' in done.stderr
