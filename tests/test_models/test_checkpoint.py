"""Checkpoints are data: a runner's whole state resumes, and code in a file is refused and not run."""

import errno
import os
import pickle

import numpy as np
import pytest
import torch
from mmengine.evaluator import Evaluator
from mmengine.logging.history_buffer import HistoryBuffer
from mmengine.runner import CheckpointLoader, Runner
from torch.utils.data import Dataset

from rstoolbox.models import CheckpointError, load_state, save_student
from rstoolbox.models.loading import load_classifier
from rstoolbox.registry import MODELS

RGB = ('R', 'G', 'B')


class Scenes(Dataset):
    """Eight random images of four classes."""

    metainfo = dict(classes=['Forest', 'River', 'Highway', 'Pasture'])

    def __init__(self, samples):
        self.images = torch.rand(8, 3, 32, 32, generator=torch.Generator().manual_seed(0))
        self.samples = samples([0, 1, 2, 3] * 2)

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return dict(inputs=self.images[index], data_samples=self.samples[index].clone())


class ConstantScore(Evaluator):
    """An evaluator whose score is a numpy scalar, as scikit-learn gives it."""

    def __init__(self):
        super().__init__([])

    def process(self, data_samples, data_batch=None):
        """Ignore them."""

    def evaluate(self, size):
        return dict(accuracy=np.float64(0.5))


@pytest.fixture
def runner(classifier_config, samples, tmp_path):

    def make(name, epochs, resume=None):
        loader = dict(batch_size=4, num_workers=0, dataset=Scenes(samples),
                      sampler=dict(type='DefaultSampler', shuffle=False))
        return Runner(
            model=classifier_config(num_classes=4), work_dir=str(tmp_path / 'work'), experiment_name=name,
            train_dataloader=loader, train_cfg=dict(by_epoch=True, max_epochs=epochs, val_interval=1),
            val_dataloader=loader, val_cfg=dict(), val_evaluator=ConstantScore(),
            optim_wrapper=dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=0.01)),
            param_scheduler=[dict(type='LinearLR', start_factor=0.1, by_epoch=False, end=3),
                             dict(type='CosineAnnealingLR', T_max=4, by_epoch=True, end=4)],
            default_hooks=dict(checkpoint=dict(type='CheckpointHook', interval=1, save_best='accuracy')),
            load_from=resume, resume=resume is not None, default_scope='rstoolbox', randomness=dict(seed=3),
            log_level='WARNING')

    return make


def test_a_runner_resumes_its_whole_state_and_goes_on_as_if_unbroken(runner, tmp_path):
    whole = runner('whole', 4)
    whole.train()
    expected = {name: value.clone() for name, value in whole.model.state_dict().items()}
    rates = whole.optim_wrapper.get_lr()

    runner('first', 2).train()
    checkpoint = load_state(tmp_path / 'work' / 'epoch_2.pth')
    assert {'meta', 'state_dict', 'optimizer', 'param_schedulers', 'message_hub'} <= set(checkpoint)
    history = checkpoint['message_hub']['log_scalars']['train/loss']
    assert isinstance(history, HistoryBuffer)
    assert history.mean() > 0
    assert checkpoint['message_hub']['runtime_info']['best_score'] == 0.5

    second = runner('second', 4, resume=str(tmp_path / 'work' / 'epoch_2.pth'))
    second.train()
    assert second.epoch == 4
    assert second.optim_wrapper.get_lr() == rates
    assert len(second.message_hub.log_scalars['train/loss'].data[0]) == 8
    for name, value in second.model.state_dict().items():
        assert torch.equal(value, expected[name]), name


class Payload:
    """Pickles into a call that makes a file."""

    def __init__(self, call, *arguments):
        self.call, self.arguments = call, arguments

    def __reduce__(self):
        return self.call, self.arguments


@pytest.mark.parametrize('load', [load_state, lambda path: CheckpointLoader.load_checkpoint(str(path))],
                         ids=['load_state', "mmengine's loader"])
@pytest.mark.parametrize('call', [os.mkdir, exec, eval, getattr])
def test_code_in_a_checkpoint_is_refused_and_not_run(load, call, tmp_path):
    target = tmp_path / 'made by the payload'
    # Of a log history's class, which is let through, getattr would hand out any member.
    arguments = {os.mkdir: (str(target),), getattr: (HistoryBuffer, '__init__')}
    code = f'__import__("os").mkdir({str(target)!r})'
    checkpoint = dict(state_dict=dict(weight=torch.zeros(2)), meta=Payload(call, *arguments.get(call, (code,))))
    path = tmp_path / 'bad.pth'
    torch.save(checkpoint, path)
    with pytest.raises(CheckpointError, match=r"bad.pth' holds more than data: it names '\S+', which could run code"):
        load(path)
    with open(path, 'wb') as file:
        pickle.dump(checkpoint, file, protocol=2)
    with pytest.raises(CheckpointError, match='bad.pth'):
        load(path)
    assert not target.exists()


@pytest.mark.parametrize('content', [b'', b'not a checkpoint', b'PK\x03\x04 half a file', b'\x80\x02}q\x00(X\x01'])
def test_a_file_that_is_no_checkpoint_is_named(content, tmp_path):
    path = tmp_path / 'broken.pth'
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="broken.pth' is damaged or not a checkpoint"):
        load_state(path)


def test_a_truncated_checkpoint_is_named(tmp_path):
    path = tmp_path / 'cut.pth'
    save_student(path, dict(weight=torch.zeros(1000)), {})
    path.write_bytes(path.read_bytes()[:-700])
    with pytest.raises(CheckpointError, match="cut.pth' is damaged"):
        load_state(path)


def test_something_else_than_a_mapping_is_refused(tmp_path):
    torch.save([torch.zeros(2)], tmp_path / 'list.pth')
    with pytest.raises(CheckpointError, match="holds a list; a checkpoint is a mapping with 'state_dict'"):
        load_state(tmp_path / 'list.pth')


@pytest.mark.parametrize('content, message', [
    (dict(state_dict=3), "holds 'state_dict' of type int, expected a mapping"),
    (dict(state_dict=None), "holds 'state_dict' of type NoneType, expected a mapping"),
    (dict(state_dict={}, meta=[1]), "holds 'meta' of type list, expected a mapping"),
    (dict(state_dict={'head.fc.weight': 'heavy'}), "holds 'head.fc.weight' of type str, expected tensors by name"),
    ({'head.fc.weight': 3}, "holds 'head.fc.weight' of type int, expected tensors by name"),
    (dict(state_dict={3: torch.zeros(2)}), 'holds 3 of type Tensor, expected tensors by name'),
])
def test_what_is_no_state_dict_is_named(content, message, classifier_config, tmp_path):
    torch.save(content, tmp_path / 'odd.pth')
    with pytest.raises(CheckpointError, match=f"odd.pth' {message}"):
        load_classifier(MODELS.build(classifier_config()), tmp_path / 'odd.pth')


def test_a_missing_checkpoint_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match='none.pth'):
        load_state(tmp_path / 'none.pth')


def test_student_is_saved_whole_or_not_at_all(tmp_path):
    path = tmp_path / 'folder' / 'best_student.pth'
    weight = torch.randn(2, 3, requires_grad=True)
    save_student(path, dict(weight=weight), dict(bands=RGB, classes=['Forest']))
    assert torch.equal(load_state(path)['state_dict']['weight'], weight)
    assert load_state(path)['meta'] == dict(bands=RGB, classes=['Forest'])
    with pytest.raises(CheckpointError, match='holds more than data'):
        save_student(path, dict(weight=torch.zeros(1)), dict(model=Payload(os.getcwd)))
    assert torch.equal(load_state(path)['state_dict']['weight'], weight)
    assert os.listdir(path.parent) == ['best_student.pth']


def test_a_full_disk_is_named_and_leaves_the_student_that_was_there(tmp_path, monkeypatch):
    path = tmp_path / 'best_student.pth'
    save_student(path, dict(weight=torch.ones(2)), {})

    def full(*arguments):
        raise OSError(errno.ENOSPC, 'No space left on device')

    monkeypatch.setattr(os, 'replace', full)
    with pytest.raises(OSError, match="disk is full: could not write '.*best_student.pth'"):
        save_student(path, dict(weight=torch.zeros(2)), {})
    assert torch.equal(load_state(path)['state_dict']['weight'], torch.ones(2))
    assert os.listdir(tmp_path) == ['best_student.pth']
