"""Stages of an experiment: what must be trained or computed before what, each done once and reused."""

import copy
import hashlib
import json
import time
from abc import ABC, abstractmethod
from contextlib import contextmanager
from pathlib import Path

import torch
from filelock import FileLock
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.device import get_device
from mmengine.dist import barrier, is_main_process
from mmengine.logging import print_log
from rich.progress import Progress
from torch.utils.data import DataLoader

from rstoolbox.models.checkpoint import load_state
from rstoolbox.models.loading import load_classifier
from rstoolbox.models.sembridge.gallery import Gallery, hash_of_weights
from rstoolbox.models.sembridge.shortlist import shortlist_by_similarity
from rstoolbox.registry import DATASETS, MODELS, STAGES
from rstoolbox.structures import MatchTable, write_json

from .config import resolve, runner_config
from .runner import Runner

# They change how fast a run goes or what it prints, not what comes out.
COSMETIC = {'num_workers', 'persistent_workers', 'pin_memory', 'prefetch_factor', 'logger', 'timer', 'visualization',
            'filename'}
RUN_KEYS = ('model', 'train_dataloader', 'train_cfg', 'val_dataloader', 'val_cfg', 'val_evaluator', 'optim_wrapper',
            'param_scheduler', 'default_hooks', 'custom_hooks', 'randomness')


class Stage(ABC):
    """One step of an experiment. Its result is reused as long as its fingerprint stays the same.

    Args:
        name (str): Key of the stage in ``stages``.
        cfg (mmengine.config.Config): The unresolved experiment, in which ``artifacts`` holds the results of the
            stages before.
        root (str | Path): Folder below which ``<name>-<fingerprint>`` is made.
        upstream (dict[str, str]): Fingerprints of the stages before, by artifact path.
        folder (str | Path, optional): A folder to use instead of one below ``root``.
    """

    def __init__(self, name, cfg, root, upstream, folder=None):
        self.name, self.cfg, self.upstream = name, cfg, upstream
        self.fingerprint = self._fingerprint()
        self.folder = Path(folder) if folder else Path(root) / f'{name}-{self.fingerprint[:8]}'

    @property
    @abstractmethod
    def artifact(self):
        """Path: What the later stages use."""

    @abstractmethod
    def settings_for_fingerprint(self):
        """Everything the result depends on, as a tree of plain values."""

    @abstractmethod
    def run(self, resume):
        """Do the work; leaves :attr:`artifact` behind."""

    def ensure(self, resume=False):
        """Run the stage unless its result is there already.

        Args:
            resume (bool): Go on with an interrupted run of the same settings.

        Returns:
            Path: The artifact.
        """
        with self._locked():
            return self._ensure(resume)

    def _ensure(self, resume):
        state = self.state()
        if state.get('finished') and state['fingerprint'] == self.fingerprint and self.artifact.exists():
            print_log(f'[{self.name}] done before with the same settings, reused: {self.artifact} '
                      f'(delete {self.folder} to do it anew)', logger='current')
            return self.artifact
        same = state.get('fingerprint') == self.fingerprint
        if state and not same and resume:
            raise ValueError(f'{self.folder} holds a run of {self.name} with other settings, so it cannot be resumed. '
                             'Run without --resume to start anew, or choose another --work-dir.')
        if state and same and not resume:
            print_log(f'[{self.name}] starts anew; --resume would go on with the unfinished run in {self.folder}',
                      logger='current')
        print_log(f'[{self.name}] runs in {self.folder}', logger='current')
        begin = time.time()
        if is_main_process():
            write_json(dict(fingerprint=self.fingerprint, finished=False), self._state_file)
        barrier()
        self.run(resume and same)
        if is_main_process():
            write_json(dict(fingerprint=self.fingerprint, finished=True, artifact=str(self.artifact),
                            seconds=round(time.time() - begin, 1)), self._state_file)
        barrier()
        print_log(f'[{self.name}] finished in {time.time() - begin:.0f} s: {self.artifact}', logger='current')
        return self.artifact

    @contextmanager
    def _locked(self):
        """Keep other runs that share the stage out while it runs; they then find its result."""
        if is_main_process():
            self.folder.mkdir(parents=True, exist_ok=True)
            with FileLock(self.folder / '.lock'):
                barrier()
                yield
        else:
            barrier()
            yield

    def state(self):
        """What an earlier run left in the folder; empty if there was none."""
        return json.loads(self._state_file.read_text()) if self._state_file.is_file() else {}

    @property
    def _state_file(self):
        return self.folder / 'stage.json'

    def _fingerprint(self):
        text = json.dumps(_strip(self.settings_for_fingerprint()), sort_keys=True, default=str)
        # An artifact counts by what it is, not by where it lies.
        for path, fingerprint in self.upstream.items():
            text = text.replace(json.dumps(path)[1:-1], fingerprint)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@STAGES.register_module()
class TrainStage(Stage):
    """Trains a model; the artifact is the weights of its best epoch by validation.

    Args:
        settings (dict): Overrides of the experiment's config for this run, from dotted path to value.
        publish (str): File name of the best weights in the stage's folder.
        **kwargs: See :class:`Stage`.
    """

    def __init__(self, settings=None, publish='best_student.pth', **kwargs):
        self.settings, self.publish = dict(settings or {}), publish
        self.settings['default_hooks.publish.filename'] = publish
        super().__init__(**kwargs)

    @property
    def artifact(self):
        return self.folder / self.publish

    def config(self, **values):
        """The resolved config of this run; ``values`` are keys of the runner such as ``work_dir``."""
        return runner_config(self.cfg, self.settings, **values)

    def settings_for_fingerprint(self):
        config = self.config()
        dataset = DATASETS.build(config.train_dataloader.dataset)
        return dict({key: config.get(key) for key in RUN_KEYS}, data=dataset.fingerprint())

    def run(self, resume):
        config = self.config(work_dir=str(self.folder), resume=resume,
                             experiment_name=f'{self.name}_{self.fingerprint}_{time.time_ns()}')
        if not resume and is_main_process():
            for path in [*self.folder.glob('*.pth'), *self.folder.glob('matches/*.json')]:
                path.unlink()
        barrier()
        Runner.from_cfg(config).train()


@STAGES.register_module()
class GalleryStage(Stage):
    """Runs the frozen teacher once over its training images; the artifact is the folder of its outputs.

    Args:
        model (dict): Config of the teacher.
        checkpoint (str): Its weights.
        dataset (dict): Its training split with a pipeline that has no randomness.
        batch_size (int): Images per forward pass.
        **kwargs: See :class:`Stage`.
    """

    def __init__(self, model, checkpoint, dataset, batch_size=128, **kwargs):
        self.model, self.checkpoint, self.dataset_cfg, self.batch_size = model, checkpoint, dataset, batch_size
        self.dataset = DATASETS.build(dataset)
        super().__init__(**kwargs)

    @property
    def artifact(self):
        return self.folder / 'outputs'

    def settings_for_fingerprint(self):
        return dict(model=self.model, checkpoint=self.checkpoint, dataset=self.dataset_cfg,
                    data=self.dataset.fingerprint())

    def run(self, resume):
        if not is_main_process():
            return
        classes = self.dataset.metainfo['classes']
        config = copy.deepcopy(self.model)
        config['head']['num_classes'] = len(classes)  # a gallery may be of some of the teacher's classes
        model = MODELS.build(config)
        load_classifier(model, self.checkpoint, 'teacher', classes=classes)
        key = f'{hash_of_weights(model.state_dict())}-{self.dataset.fingerprint()}'
        with Progress(transient=True) as bar:
            task = bar.add_task('teacher outputs', total=len(self.dataset))
            Gallery.build(self.artifact, model.to(get_device()), _loader(self.dataset, self.batch_size), key=key,
                          ids=self.dataset.sample_ids, labels=self.dataset.gt_labels,
                          progress=lambda done, _: bar.update(task, completed=done))


@STAGES.register_module()
class MatchStage(Stage):
    """First match: for every student image the teacher image of its class that the matcher finds nearest.

    Args:
        model (dict): Config of the :class:`~rstoolbox.models.SceneMatcher`.
        checkpoint (str): Its weights.
        teacher (dict): The teacher's training split, without randomness.
        student (dict): The student's training split, without randomness.
        shortlist (int): How many of the nearest teacher images to keep for later matchings of each student image.
        batch_size (int): Images per forward pass.
        **kwargs: See :class:`Stage`.
    """

    def __init__(self, model, checkpoint, teacher, student, shortlist=10, batch_size=128, **kwargs):
        self.model, self.checkpoint, self.batch_size = model, checkpoint, batch_size
        self.shortlist = shortlist
        self.datasets = dict(teacher=DATASETS.build(teacher), student=DATASETS.build(student))
        super().__init__(**kwargs)

    @property
    def artifact(self):
        return self.folder / 'match.json'

    def settings_for_fingerprint(self):
        return dict(model=self.model, checkpoint=self.checkpoint, shortlist=self.shortlist,
                    data={side: dataset.fingerprint() for side, dataset in self.datasets.items()})

    def run(self, resume):
        if not is_main_process():
            return
        model = MODELS.build(self.model)
        weights = load_state(self.checkpoint)['state_dict']
        model.load_state_dict(weights)
        model = model.to(get_device()).eval()
        teacher, student = self.datasets['teacher'], self.datasets['student']
        shortlist = shortlist_by_similarity(
            _embed(model.embed_rgb, student, self.batch_size), torch.as_tensor(student.gt_labels),
            _embed(model.embed_ms, teacher, self.batch_size), torch.as_tensor(teacher.gt_labels), self.shortlist)
        meta = dict(kind='similarity', epoch=0, matcher=hash_of_weights(weights), bands=list(teacher.bands),
                    student_split_hash=student.split_hash, teacher_split_hash=teacher.split_hash)
        MatchTable(student.sample_ids, teacher.sample_ids, shortlist[:, 0], meta, shortlist).save(self.artifact)


def build_stage(name, cfg, **kwargs):
    """Build the stage ``cfg.stages[name]`` with its references resolved; ``kwargs`` as in :class:`Stage`."""
    stage = dict(cfg.stages[name])
    if stage['type'] != 'TrainStage':  # a train stage applies its settings before it resolves
        stage = resolve(cfg).stages[name].to_dict()
    return STAGES.build(dict(stage, name=name, cfg=cfg, **kwargs))


@torch.no_grad()
def _embed(function, dataset, batch_size):
    return torch.cat([function(batch['inputs']).float().cpu() for batch in _loader(dataset, batch_size)])


def _loader(dataset, batch_size):
    return DataLoader(dataset, batch_size, collate_fn=pseudo_collate)


def _strip(tree):
    if isinstance(tree, (dict, Config)):
        return {key: _strip(value) for key, value in tree.items() if key not in COSMETIC}
    if isinstance(tree, (list, tuple)):
        return [_strip(value) for value in tree]
    return tree
