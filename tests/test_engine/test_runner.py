import errno
import json
import multiprocessing
import shutil
import signal

import mmengine.runner
import pytest
import torch
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from torch.utils.data import Dataset

from rstoolbox.engine.config_checks import ConfigError
from rstoolbox.engine.runner import Runner, git_state, latest_checkpoint, starting_point
from rstoolbox.models.checkpoint import CheckpointError


class Line(BaseModel):
    """One weight that is fitted to a line."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)

    def forward(self, inputs, data_samples=None, mode='tensor'):
        values = self.layer(torch.stack(inputs))
        return dict(loss=((values - torch.stack(inputs) * 2)**2).mean()) if mode == 'loss' else list(values)


class Points(Dataset):
    metainfo = dict(classes=('line',))

    def __len__(self):
        return 8

    def __getitem__(self, index):
        return dict(inputs=torch.tensor([index / 8]))


@pytest.fixture
def run(tmp_path):
    """A function that makes a runner over the same work dir."""

    def make(name, work_dir=tmp_path, **kwargs):
        return Runner(Line(), str(work_dir), experiment_name=f'{tmp_path.name}_{name}', default_scope='rstoolbox',
                      train_dataloader=dict(batch_size=4, num_workers=0, persistent_workers=True, dataset=Points(),
                                            sampler=dict(type='DefaultSampler', shuffle=True)),
                      optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)), randomness=dict(seed=3),
                      default_hooks=dict(checkpoint=dict(type='ResumableCheckpointHook', interval=1,
                                                          **(dict(save_best='accuracy', rule='greater')
                                                             if 'val_cfg' in kwargs else {}))),
                      cfg=dict(default_scope='rstoolbox'), **kwargs)

    return make


def test_checkpoints_are_renamed_when_whole_and_the_run_is_recorded(run, tmp_path):
    run('whole', train_cfg=dict(by_epoch=True, max_epochs=3)).train()
    assert sorted(path.name for path in tmp_path.glob('*.pth*')) == ['epoch_2.pth', 'epoch_3.pth']
    assert '"seed": 3' in (tmp_path / 'environment.json').read_text()


def test_workers_end_with_the_training(run):
    runner = run('workers', train_cfg=dict(by_epoch=True, max_epochs=1))
    runner._train_dataloader.update(num_workers=1)
    runner.train()
    assert not multiprocessing.active_children()


class Interrupts(Dataset):
    """Whether Ctrl-C would stop the process that reads an item."""

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return signal.getsignal(signal.SIGINT) is not signal.SIG_IGN


@pytest.fixture
def interruptible():
    """As a terminal starts a command; in the background of a script it would ignore Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures('interruptible')
@pytest.mark.parametrize('workers', [0, 2])
def test_ctrl_c_stops_the_main_process_and_not_its_workers(workers):
    loader = Runner.build_dataloader(dict(batch_size=2, num_workers=workers, dataset=Interrupts(),
                                          sampler=dict(type='DefaultSampler', shuffle=False)), seed=0)
    assert [bool(stopped) for batch in loader for stopped in batch] == [workers == 0] * 4


def test_a_loader_of_a_config_that_came_from_a_package_collates():
    # mmengine writes the package's name beside each type of such a config
    loader = Runner.build_dataloader(dict(
        dataset=[dict(inputs=torch.zeros(1)) for _ in range(4)], batch_size=2, num_workers=0,
        sampler=dict(type='DefaultSampler', shuffle=False, _scope_='rstoolbox'),
        collate_fn=dict(type='rstoolbox.stack_images', _scope_='rstoolbox')))
    assert [batch['inputs'].shape for batch in loader] == [(2, 1)] * 2


def test_the_record_holds_the_split_of_each_part(run, tmp_path):
    points = Points()
    points.split_hash = 'hash of the test split'
    run('splits', train_cfg=dict(by_epoch=True, max_epochs=1), test_cfg=dict(), test_evaluator=[],
        test_dataloader=dict(batch_size=4, dataset=points, sampler=dict(type='DefaultSampler'))).train()
    assert json.loads((tmp_path / 'environment.json').read_text())['splits'] == dict(
        train=None, test='hash of the test split')


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


class Scores(BaseMetric):
    """Gives the next of some accuracies at each validation."""

    def __init__(self, scores):
        super().__init__()
        self.scores = iter(scores)

    def process(self, data_batch, data_samples):
        self.results.append(0)

    def compute_metrics(self, results):
        return dict(accuracy=next(self.scores))


def _validated(run, name, epochs, scores, **kwargs):
    loader = dict(batch_size=4, num_workers=0, dataset=Points(), sampler=dict(type='DefaultSampler', shuffle=False))
    return run(name, train_cfg=dict(by_epoch=True, max_epochs=epochs, val_interval=1), val_cfg=dict(),
               val_dataloader=loader, val_evaluator=[Scores(scores)],
               custom_hooks=[dict(type='PublishBestHook', filename='best_student.pth')], **kwargs)


def _published_epoch(folder):
    return torch.load(folder / 'best_student.pth', weights_only=True)['meta']['epoch']


def test_the_old_best_stays_until_the_new_one_and_its_checkpoint_are_whole(run, tmp_path, monkeypatch):
    left, save = {}, Runner.save_checkpoint

    def recorded(self, out_dir, filename, *args, **kwargs):
        left[filename] = {path.name for path in tmp_path.glob('best_*.pth')}
        save(self, out_dir, filename, *args, **kwargs)

    monkeypatch.setattr(Runner, 'save_checkpoint', recorded)
    _validated(run, 'best', 3, [1, 3, 2]).train()
    assert left['best_accuracy_epoch_2.pth'] == {'best_accuracy_epoch_1.pth'}
    assert left['epoch_2.pth'] == {'best_accuracy_epoch_1.pth', 'best_accuracy_epoch_2.pth'}
    assert left['epoch_3.pth'] == {'best_accuracy_epoch_2.pth'}
    assert _published_epoch(tmp_path) == 2


def test_a_copied_work_dir_publishes_its_own_best_and_leaves_the_first_alone(run, tmp_path):
    _validated(run, 'first', 2, [3, 2]).train()
    copy = tmp_path / 'copy'
    copy.mkdir()
    for path in tmp_path.glob('*.pth'):
        shutil.copy(path, copy)
    damaged = tmp_path / 'best_accuracy_epoch_1.pth'
    damaged.write_bytes(b'of another run')
    _validated(run, 'again', 3, [4], work_dir=copy, resume=True).train()
    assert _published_epoch(copy) == 3
    assert [path.name for path in copy.glob('best_a*')] == ['best_accuracy_epoch_3.pth'] and damaged.is_file()
    (copy / 'best_accuracy_epoch_3.pth').unlink()
    _validated(run, 'lost', 4, [1], work_dir=copy, resume=True).train()
    assert _published_epoch(copy) == 4  # the last, for want of the best


def test_weights_to_start_with_do_not_resume(run, tmp_path):
    first = run('first', train_cfg=dict(by_epoch=True, max_epochs=2))
    first.train()
    again = run('again', work_dir=tmp_path / 'again', train_cfg=dict(by_epoch=True, max_epochs=1),
                load_from=str(tmp_path / 'epoch_2.pth'))
    again.load_or_resume()
    assert again.epoch == 0
    assert torch.equal(again.model.layer.weight, first.model.layer.weight)


@pytest.mark.parametrize(('resume', 'content', 'message'), [
    (True, dict(state_dict={}, meta={}), 'weights alone.*set load_from instead'),
    (True, dict(state_dict={'other': torch.ones(1)}, meta=dict(iter=1), optimizer={}), 'another model.*layer.bias'),
    (False, dict(state_dict={'other': torch.ones(1)}), "load_from.*no weights of the config's model"),
])
def test_a_checkpoint_that_does_not_serve_is_one_sentence(run, tmp_path, resume, content, message):
    torch.save(content, tmp_path / 'given.pth')
    runner = run(f'given {message}', train_cfg=dict(by_epoch=True, max_epochs=1), load_from=str(tmp_path / 'given.pth'),
                 resume=resume)
    with pytest.raises(CheckpointError, match=message):
        runner.train()


def test_where_a_run_starts(tmp_path):
    assert starting_point(tmp_path, load_from='a.pth') == dict(resume=False, load_from='a.pth')
    assert starting_point(tmp_path, True, load_from='a.pth') == dict(resume=False, load_from='a.pth')
    assert starting_point(tmp_path, True, 'b.pth', 'a.pth') == dict(resume=True, load_from='b.pth')
    assert starting_point(tmp_path, True) == dict(resume=True, load_from=None)


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


def test_a_sampler_of_other_batches_than_the_loaders_is_refused():
    loader = dict(batch_size=4, num_workers=0, dataset=Points(), sampler=dict(type='ImageGroupSampler', batch_size=7))
    with pytest.raises(ConfigError, match='draws batches of 7 and the loader makes batches of 4; set batch_size alone'):
        Runner.build_dataloader(loader)
