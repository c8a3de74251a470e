"""A stand-in for the trainings of a benchmark."""

import pytest
import torch

from rstoolbox.engine.benchmark import scheduler

# Stands in for train.py: notes that it was started, and behaves as its method's name says.
TRAIN = """
import json, os, pathlib, shutil, signal, sys, time
here = pathlib.Path(__file__).parent
folder = pathlib.Path(sys.argv[sys.argv.index('--work-dir') + 1])
with open(folder / 'started.jsonl', 'a') as file:
    file.write(json.dumps(dict(arguments=sys.argv[1:], pid=os.getpid(), threads=os.environ['OMP_NUM_THREADS'])) + '\\n')
def write(name, **content):
    (folder / name).write_text(json.dumps(content))
if (here / 'no_data').exists():
    sys.exit('error: there is no data set')
write('stage.json', fingerprint='f', finished=False)
if 'crash' in str(folder):
    print('\\n'.join(map(str, range(40))))
    sys.exit('error: the disk is made of cheese')
if 'killed' in str(folder):
    os.kill(os.getpid(), signal.SIGKILL)
if 'empty' in str(folder):
    sys.exit()
while 'slow' in str(folder) and not (here / 'go').exists():
    time.sleep(0.02)
shutil.copy(here / 'best.pth', folder / 'best_student.pth')
write('test.json', metrics=dict(accuracy=50., precision=51., recall=52., f1=53.))
write('cost.json', seconds_per_epoch=2., extra_parameters=7, peak_memory_mib=100.)
write('environment.json', splits=dict(test='abc'))
scalars = folder / 'now/vis_data/scalars.json'
scalars.parent.mkdir(parents=True, exist_ok=True)
scalars.write_text('{"accuracy": 40.0, "step": 1}\\n{"accuracy": 45.0, "step": 2}')
write('stage.json', fingerprint='f', finished=True, artifact=str(folder / 'best_student.pth'))
"""


@pytest.fixture
def tools(tmp_path, monkeypatch):
    """The folder of the stand-in, which takes the place of the toolbox's own tools."""
    folder = tmp_path / 'tools'
    folder.mkdir()
    (folder / 'train.py').write_text(TRAIN)
    (folder / 'slurm_train.sh').write_text('#!/usr/bin/env bash\necho "$@" $GPUS $PORT > "$4/srun.txt"; exit 1\n')
    (folder / 'slurm_train.sh').chmod(0o755)
    torch.save(dict(state_dict={}, meta=dict(epoch=2)), folder / 'best.pth')
    monkeypatch.setattr(scheduler, 'TOOLS', folder)
    monkeypatch.delenv('OMP_NUM_THREADS', raising=False)
    return folder
