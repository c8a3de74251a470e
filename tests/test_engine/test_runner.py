import errno

import mmengine.runner
import pytest
import torch
from mmengine.model import BaseModel
from torch.utils.data import Dataset

from rstoolbox.engine.runner import Runner, git_state, latest_checkpoint


class Line(BaseModel):
    """One weight that is fitted to a line."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)

    def forward(self, inputs, data_samples=None, mode='tensor'):
        values = self.layer(torch.stack(inputs))
        return dict(loss=((values - torch.stack(inputs) * 2)**2).mean()) if mode == 'loss' else values


class Points(Dataset):
    metainfo = dict(classes=('line',))

    def __len__(self):
        return 8

    def __getitem__(self, index):
        return dict(inputs=torch.tensor([index / 8]))


@pytest.fixture
def run(tmp_path):
    """A function that makes a runner over the same work dir."""

    def make(name, **kwargs):
        return Runner(Line(), str(tmp_path), experiment_name=f'{tmp_path.name}_{name}', default_scope='rstoolbox',
                      train_dataloader=dict(batch_size=4, num_workers=0, persistent_workers=True, dataset=Points(),
                                            sampler=dict(type='DefaultSampler', shuffle=True)),
                      optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)), randomness=dict(seed=3),
                      default_hooks=dict(checkpoint=dict(type='ResumableCheckpointHook', interval=1)),
                      cfg=dict(default_scope='rstoolbox'), **kwargs)

    return make


def test_checkpoints_are_renamed_when_whole_and_the_run_is_recorded(run, tmp_path):
    run('whole', train_cfg=dict(by_epoch=True, max_epochs=3)).train()
    assert sorted(path.name for path in tmp_path.glob('*.pth*')) == ['epoch_2.pth', 'epoch_3.pth']
    assert '"seed": 3' in (tmp_path / 'environment.json').read_text()


def test_the_newest_checkpoint_that_can_be_read_is_resumed(run, tmp_path):
    run('first', train_cfg=dict(by_epoch=True, max_epochs=2)).train()
    (tmp_path / 'epoch_3.pth').write_bytes((tmp_path / 'epoch_2.pth').read_bytes()[:500])
    assert latest_checkpoint(tmp_path) == str(tmp_path / 'epoch_2.pth')
    again = run('again', train_cfg=dict(by_epoch=True, max_epochs=4), resume=True)
    again.train()
    assert again.epoch == 4
    assert latest_checkpoint(tmp_path) == str(tmp_path / 'epoch_4.pth')


def test_nothing_to_resume_starts_from_the_beginning(run, tmp_path):
    assert latest_checkpoint(tmp_path) is None
    runner = run('empty', train_cfg=dict(by_epoch=True, max_epochs=1), resume=True)
    runner.train()
    assert runner.epoch == 1


def test_a_full_disk_says_so_and_leaves_no_half_written_file(run, tmp_path, monkeypatch):
    runner = run('full', train_cfg=dict(by_epoch=True, max_epochs=2))

    def full(self, out_dir, filename, *args, **kwargs):
        (tmp_path / filename).write_bytes(b'half')
        raise OSError(errno.ENOSPC, 'No space left on device')

    monkeypatch.setattr(mmengine.runner.Runner, 'save_checkpoint', full)
    with pytest.raises(OSError, match='disk is full.*--resume'):
        runner.train()
    assert not list(tmp_path.glob('*.pth*'))


def test_git_state_names_the_commit():
    state = git_state()
    if state is None:
        pytest.skip('not run from a git checkout')
    assert len(state['commit']) == 40
    assert isinstance(state['modified'], bool)


def test_matching_between_epochs_refuses_a_loop_of_iterations(run):
    hook = dict(type='StudentFriendlyMatchingHook', start=1, interval=1, growth=0, dataloader={})
    runner = run('iterations', train_cfg=dict(by_epoch=False, max_iters=2), custom_hooks=[hook])
    with pytest.raises(TypeError, match='set train_cfg=dict\\(by_epoch=True'):
        runner.train()
