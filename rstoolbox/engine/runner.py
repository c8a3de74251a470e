"""mmengine's runner with checkpoints that are never half-written and a record of what was run."""

import errno
import logging
import os
import re
import shutil
import signal
import subprocess
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import mmengine.runner
from mmengine.dist import is_main_process
from mmengine.model import is_model_wrapper
from mmengine.utils.dl_utils import collect_env

from rstoolbox.models.checkpoint import CheckpointError, load_state, weights_of
from rstoolbox.registry import DATASETS, RUNNERS
from rstoolbox.structures import write_json
from rstoolbox.structures.files import write_whole
from rstoolbox.version import __version__

from .config_checks import ConfigError
from .config_text import readable
from .cpu_amp import check_amp
from .same_run import check_same_settings

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = 'settings'  # in the meta information of a checkpoint


@RUNNERS.register_module()
class Runner(mmengine.runner.Runner):
    """A :class:`mmengine.runner.Runner` that survives being killed or a full disk at any moment.

    Each checkpoint is written under another name and renamed once it is whole. On resuming, the newest checkpoint
    that can be read is taken. ``environment.json`` in the work dir records versions, git state and split hashes, and
    ``splits/`` holds the splits that were made on the fly.
    """

    settings = None  # of a single run, for its checkpoints (settings_of); stages compare their own

    def __init__(self, *args, cfg=None, **kwargs):
        super().__init__(*args, cfg=readable(cfg), **kwargs)

    def train(self):
        self._record()
        try:
            return super().train()
        finally:
            for loop in (self._train_loop, self._val_loop):
                _end_workers(getattr(loop, 'dataloader', None))

    def build_optim_wrapper(self, optim_wrapper):
        if isinstance(optim_wrapper, dict):
            check_amp(optim_wrapper)
        with _without_lines_of_each_parameter(self.logger):
            return super().build_optim_wrapper(optim_wrapper)

    def save_checkpoint(self, out_dir, filename, *args, **kwargs):
        partial = f'{filename}.part'
        if self.settings is not None:
            kwargs['meta'] = {**(kwargs.get('meta') or {}), SETTINGS: self.settings}
        try:
            super().save_checkpoint(out_dir, partial, *args, **kwargs)
            if is_main_process():
                os.replace(Path(out_dir) / partial, Path(out_dir) / filename)
        except OSError as error:
            (Path(out_dir) / partial).unlink(missing_ok=True)
            if error.errno != errno.ENOSPC:
                raise
            raise OSError(errno.ENOSPC, f'The disk is full: could not write {Path(out_dir) / filename}. The checkpoint '
                          'before it is whole; free some space and run the same command with --resume.') from None

    def load_or_resume(self):
        if self._resume and self._load_from is None and not self._has_loaded:
            self._load_from = latest_checkpoint(self.work_dir)
            if self._load_from is None:
                self.logger.info(f'Nothing to resume in {self.work_dir}: training starts from the beginning')
                self._resume = False
        if self._load_from is not None and not self._has_loaded:
            if self._resume:
                check_resumable(self._load_from, self.network, self.settings)
            else:
                self.load_checkpoint(self._load_from, revise_keys=[
                    (r'^module\.', ''), renaming(self._load_from, self.network)])
                self._has_loaded = True
        super().load_or_resume()

    @property
    def network(self):
        """torch.nn.Module: The model without what wraps it for several processes."""
        return self.model.module if is_model_wrapper(self.model) else self.model

    @staticmethod
    def build_dataloader(dataloader, *args, **kwargs):
        if isinstance(dataloader, dict) and not dataloader.get('num_workers'):
            # torch refuses persistent workers where there are none; asking for no workers is asking for neither
            dataloader = dict(dataloader, persistent_workers=False)
        if isinstance(dataloader, dict) and isinstance(dataloader.get('collate_fn'), dict):
            # configs that come from a package name it in every type; mmengine would hand that on to the function
            collate = {key: value for key, value in dataloader['collate_fn'].items() if key != '_scope_'}
            dataloader = dict(dataloader, collate_fn=collate)
        if isinstance(dataloader, dict) and isinstance(dataloader.get('sampler'), dict):
            batch_size = dataloader.get('batch_size', 1)
            sampled = dataloader['sampler'].get('batch_size', batch_size)
            if sampled != batch_size:  # it would group, and skip on resuming, by other batches
                raise ConfigError(f'the sampler draws batches of {sampled} and the loader makes batches of '
                                  f'{batch_size}; set batch_size alone, which the shipped configs give to both.')
        loader = mmengine.runner.Runner.build_dataloader(dataloader, *args, **kwargs)
        if loader.num_workers:
            loader.worker_init_fn = partial(_leave_interrupts, loader.worker_init_fn)
        return loader

    def _record(self):
        if not is_main_process():
            return
        datasets = dict(train=self.train_dataloader.dataset)
        if self.val_loop is not None:
            datasets['val'] = self.val_dataloader.dataset
        if isinstance(self._test_dataloader, dict):
            test = self._test_dataloader['dataset']
            datasets['test'] = DATASETS.build(test) if isinstance(test, dict) else test
        record = dict(rstoolbox=__version__, git=git_state(), seed=int(self.seed),
                      environment={key: str(value) for key, value in collect_env().items()},
                      splits={name: split_hashes(dataset) for name, dataset in datasets.items()})
        write_json(record, Path(self.work_dir) / 'environment.json')
        for dataset in datasets.values():
            save_made_splits(dataset, Path(self.work_dir) / 'splits')
        write_whole(self.cfg.pretty_text.encode(), Path(self.work_dir) / 'resolved_config.py')


def runner_class(cfg):
    """The class that a config names as its ``runner_type``, by default :class:`Runner`."""
    return RUNNERS.get(cfg.get('runner_type', Runner.__name__))


def build_runner(cfg):
    """Build the runner of a resolved config."""
    return runner_class(cfg).from_cfg(cfg)


@contextmanager
def _without_lines_of_each_parameter(logger):
    """Keep what paramwise_cfg says of each single weight, a thousand lines of a Falcon, out of the log."""
    def wanted(record):
        text = record.getMessage()
        return not (text.startswith('paramwise_options') or text.endswith('bypass_duplicate=True'))

    logger.addFilter(wanted)
    try:
        yield
    finally:
        logger.removeFilter(wanted)


def _leave_interrupts(start, worker):
    """Start a loader's worker that Ctrl-C, which reaches all processes of a command, does not stop.

    It would hold on to a batch that nobody fetches any more, and ending each such worker takes five seconds.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if start is not None:
        start(worker)


def _end_workers(loader):
    """End a loader's persistent workers, for which garbage collection would later wait five seconds each."""
    iterator = getattr(loader, '_iterator', None)
    if iterator is not None:
        iterator._shutdown_workers()
        loader._iterator = None


def check_resumable(path, network, settings=None):
    """Raise an error unless training of a network, with these settings, can go on from the checkpoint at ``path``."""
    checkpoint = load_state(path)
    advice = 'Name an epoch_*.pth of the same run; to start with its weights alone, set load_from instead.'
    if 'optimizer' not in checkpoint or 'iter' not in (checkpoint.get('meta') or {}):
        raise CheckpointError(f"'{path}' holds weights alone, so training cannot go on from it. {advice}")
    saved = weights_of(checkpoint, path)
    differing = sorted(network.state_dict().keys() ^ saved.keys()) or [
        name for name, value in network.named_parameters() if name in saved and value.shape != saved[name].shape]
    if differing:
        raise CheckpointError(f"'{path}' is a checkpoint of another model: {len(differing)} weights differ (first: "
                              f'{differing[0]}), so training cannot go on from it. {advice}')
    saved = checkpoint['meta'].get(SETTINGS)
    if settings is not None and saved is not None:  # an earlier version kept none
        check_same_settings(saved, settings, path)


def renaming(path, network):
    """Pattern and replacement by which a checkpoint's names become a network's; its student takes a student's own.

    Raises:
        CheckpointError: If it holds none of the network's weights.
    """
    own, saved = network.state_dict().keys(), weights_of(load_state(path), path).keys()
    for pattern, prefix in (('^', ''), ('^', 'student.'), (r'^student\.', '')):
        if own & {re.sub(pattern, prefix, name) for name in saved}:
            return pattern, prefix
    raise CheckpointError(f"load_from: '{path}' holds no weights of the config's model.")


def latest_checkpoint(work_dir):
    """The newest ``epoch_*.pth`` or ``iter_*.pth`` in a folder that can be read; None if there is none."""
    paths = [path for path in Path(work_dir).glob('*_*.pth') if re.fullmatch(r'(epoch|iter)_\d+', path.stem)]
    for path in sorted(paths, key=lambda path: int(path.stem.split('_')[1]), reverse=True):
        try:
            load_state(path)
            return str(path)
        except CheckpointError as error:
            mmengine.logging.print_log(f'Passed over: {error}', logger='current', level=logging.WARNING)
    return None


def starting_point(work_dir, resume=False, resume_from=None, load_from=None):
    """The runner's ``resume`` and ``load_from``.

    A checkpoint to resume from comes before the newest of an interrupted run, and that before weights to start with.
    """
    checkpoint = resume_from or (latest_checkpoint(work_dir) if resume else None)
    return dict(resume=resume and (checkpoint is not None or load_from is None), load_from=checkpoint or load_from)


def split_hashes(dataset):
    """The split hash of a data set, or those of both sides of an unpaired one."""
    if hasattr(dataset, 'student'):
        sides = dict(student=dataset.student, teacher=dataset.teacher)
        return {side: split_hashes(part) for side, part in sides.items() if part is not None}
    return getattr(dataset, 'split_hash', None)


def save_made_splits(dataset, folder):
    """Save the splits that were made on the fly, as files that ``split_file`` takes; named by what they are of."""
    for part in (getattr(dataset, 'student', None), getattr(dataset, 'teacher', None), dataset):
        split = getattr(part, 'made_split', None)
        if split is not None:
            name = Path(part.data_root, part.img_prefix).resolve().name
            split.save(folder / f'{name}-{split.hash[:8]}.json')


def git_state():
    """Commit of the checkout this package runs from and whether it differs from it; None outside a checkout."""
    if shutil.which('git') is None:
        return None

    def git(*arguments):
        return subprocess.run(['git', '-C', str(ROOT), *arguments], capture_output=True, text=True)

    commit, top = git('rev-parse', 'HEAD'), git('rev-parse', '--show-toplevel')
    # Installed below some other repository, the package is not part of it.
    if commit.returncode or Path(top.stdout.strip()).resolve() != ROOT:
        return None
    return dict(commit=commit.stdout.strip(), modified=bool(git('status', '--porcelain').stdout.strip()))

