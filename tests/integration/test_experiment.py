"""The main job as a user runs it: from nothing to a tested student, again, and after being killed."""

import json
import os
import shutil
import signal
import time

import pytest
import torch

from commands import start_command
from rstoolbox.engine import load_config, resolve
from rstoolbox.registry import DATASETS
from tiny_experiment import write_tiny

ROWS = ('teacher', 'none', 'kd', 'sembridge')


@pytest.fixture(scope='module')
def finished(tmp_path_factory, mini_data):
    """An unbroken run: its config and work dir."""
    folder = tmp_path_factory.mktemp('unbroken')
    config = write_tiny(folder, mini_data)
    _train(config, folder / 'run').wait()
    return config, folder / 'run'


def _train(config, work_dir, *arguments):
    return start_command('train.py', config, '--work-dir', work_dir, *arguments, log=f'{work_dir}.log')


def _log(work_dir):
    with open(f'{work_dir}.log') as file:
        return file.read()


def test_one_command_leaves_a_tested_student(finished):
    _, work_dir = finished
    summary = json.loads((work_dir / 'summary.json').read_text())
    assert tuple(summary) == ROWS, _log(work_dir)[-3000:]
    for metrics in summary.values():
        assert set(metrics) == {'accuracy', 'precision', 'recall', 'f1'}
        assert all(0 <= value <= 100 for value in metrics.values())
    for name in ('best_student.pth', 'resolved_config.py', 'environment.json', 'matches/epoch_000.json',
                 'matches/epoch_002.json'):
        assert (work_dir / name).is_file(), name
    environment = json.loads((work_dir / 'environment.json').read_text())
    assert environment['splits']['train'].keys() == {'student', 'teacher'}
    for picture in ('curves', 'confusion_sembridge', 'matched_pairs', 'tsne'):
        assert (work_dir / 'pictures' / f'{picture}.png').stat().st_size > 5000, picture


def test_what_was_run_can_be_read_and_the_splits_be_used_again(finished):
    config, work_dir = finished
    record = json.loads((work_dir / 'resolved_experiment.json').read_text())
    assert set(record['rows']) == {'none', 'kd'} and record['row'] == 'sembridge' and record['randomness']['seed'] == 0
    assert record['stages']['teacher']['settings']['max_epochs'] == 2
    assert all(os.path.exists(path) for path in record['artifacts'].values()) and len(record['artifacts']) == 4
    path, = (work_dir / 'splits').glob('RGB-*.json')
    dataset = load_config(config, {'rgb_data.train.split_file': str(path)})
    dataset = DATASETS.build(resolve(dataset).rgb_data.train)
    assert dataset.made_split is None
    environment = json.loads((work_dir / 'environment.json').read_text())
    assert dataset.split_hash == environment['splits']['train']['student']


def test_a_teacher_that_is_given_is_tested_too(finished, tmp_path):
    config, work_dir = finished
    teacher, = work_dir.glob('stages/teacher-*/best_teacher.pth')
    shutil.copytree(work_dir, tmp_path / 'run')
    shutil.rmtree(tmp_path / 'run/stages' / teacher.parent.name)
    done = _train(config, tmp_path / 'run', '--cfg-options', f'artifacts.teacher={teacher}', 'max_epochs=1').wait()
    assert done == 0, _log(tmp_path / 'run')[-3000:]
    ours, theirs = (json.loads((folder / 'summary.json').read_text()) for folder in (tmp_path / 'run', work_dir))
    assert tuple(ours) == ROWS and ours['teacher'] == theirs['teacher']


def test_the_student_checkpoint_holds_the_student_alone(finished):
    weights = torch.load(finished[1] / 'best_student.pth', weights_only=True)
    assert {key.split('.')[0] for key in weights['state_dict']} == {'backbone', 'head'}
    assert weights['meta']['bands'] == ['R', 'G', 'B'] and len(weights['meta']['classes']) == 8


def test_a_second_run_reuses_every_stage(finished):
    config, work_dir = finished
    before = (work_dir / 'best_student.pth').stat().st_mtime
    assert _train(config, work_dir).wait() == 0
    assert _log(work_dir).count('done before with the same settings') == 7
    assert (work_dir / 'best_student.pth').stat().st_mtime == before


def test_the_test_tool_gives_the_numbers_of_the_summary(finished, run_tool, tmp_path):
    config, work_dir = finished
    run_tool('test.py', config, work_dir / 'best_student.pth', '--work-dir', tmp_path, '--out', tmp_path / 'out.json',
             '--dump', tmp_path / 'out.pkl', '--show-dir', tmp_path / 'show')
    out = json.loads((tmp_path / 'out.json').read_text())
    summary = json.loads((work_dir / 'summary.json').read_text())['sembridge']
    assert {key: out['metrics'][key] for key in summary} == pytest.approx(summary)
    assert (tmp_path / 'out.pkl').stat().st_size > 0
    assert len(list((tmp_path / 'show').rglob('*.png'))) == 24  # three of eight images in each of eight classes


def test_resuming_from_a_checkpoint_that_is_named(finished, tmp_path):
    config, work_dir = finished
    shutil.copytree(work_dir / 'stages', tmp_path / 'run/stages')
    done = _train(config, tmp_path / 'run', '--resume', str(work_dir / 'epoch_2.pth')).wait()
    assert done == 0, _log(tmp_path / 'run')[-3000:]
    assert not (tmp_path / 'run/epoch_2.pth').exists()  # it went on behind that epoch
    ours, theirs = (torch.load(folder / 'best_student.pth', weights_only=True)['state_dict']
                    for folder in (tmp_path / 'run', work_dir))
    for key in theirs:
        assert torch.equal(ours[key], theirs[key]), key


def test_killed_in_any_stage_it_goes_on_to_the_same_student(finished, tmp_path):
    config, unbroken = finished
    work_dir = tmp_path / 'run'
    for trigger in ('stages/teacher-*/epoch_1.pth', 'stages/matcher-*/epoch_1.pth', 'kd/epoch_2.pth', 'epoch_2.pth'):
        process = _train(config, work_dir, '--resume')
        deadline = time.time() + 600
        while not list(work_dir.glob(trigger)) and process.poll() is None and time.time() < deadline:
            time.sleep(0.01)
        assert process.poll() is None, _log(work_dir)[-3000:]
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert _train(config, work_dir, '--resume').wait() == 0, _log(work_dir)[-3000:]
    for name in ('best_student.pth', 'none/best_student.pth'):
        ours, theirs = (torch.load(folder / name, weights_only=True)['state_dict'] for folder in (work_dir, unbroken))
        for key in theirs:
            assert torch.equal(ours[key], theirs[key]), (name, key)
    assert json.loads((work_dir / 'summary.json').read_text()) == json.loads((unbroken / 'summary.json').read_text())


@pytest.mark.parametrize('options, message', [
    (['--cfg-options', 'data_rot=x'], "Did you mean 'data_root'"),
    (['--cfg-options', 'model.losses.kd.tua=2'], "Did you mean 'model.losses.kd.tau'"),
    (['--resume', 'nowhere.pth'], 'nowhere.pth'),
])
def test_a_wrong_argument_is_one_line(tiny_config, run_tool, options, message):
    done = run_tool('train.py', tiny_config, *options, check=False)
    assert done.returncode == 1
    assert message in done.stderr and 'Traceback' not in done.stderr
