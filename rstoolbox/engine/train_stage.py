"""The stage that trains a model."""

import logging
import time
from pathlib import Path

from mmengine.dist import get_world_size
from mmengine.logging import print_log

from rstoolbox.models.classifier import SceneClassifier
from rstoolbox.models.loading import load_classifier, load_matcher
from rstoolbox.registry import DATASETS, MODELS, STAGES
from rstoolbox.structures import content_hash

from .config import runner_config
from .fingerprints import data_fingerprint
from .preflight import build_quietly, check_run, check_sample, located, run_datasets
from .runner import build_runner, check_resumable, renaming, starting_point
from .stages import Stage

RUN_KEYS = ('model', 'train_dataloader', 'train_cfg', 'val_dataloader', 'val_cfg', 'val_evaluator', 'optim_wrapper',
            'param_scheduler', 'default_hooks', 'custom_hooks', 'randomness', 'auto_scale_lr', 'sync_bn')


@STAGES.register_module()
class TrainStage(Stage):
    """Trains a model; the artifact is the weights of its best epoch by validation.

    Args:
        settings (dict): Overrides of the experiment's config for this run, from dotted path to value.
        publish (str): File name of the best weights in the stage's folder.
        load_from (str, optional): A checkpoint whose weights the training starts with.
        resume_from (str, optional): A checkpoint of this run from which it goes on.
        given (str, optional): Weights that are there already and are the artifact; such a stage can only be tested.
        **kwargs: See :class:`Stage`.
    """

    leftovers = ('epoch_*.pth*', 'best_*.pth*', 'matches/epoch_*.json', 'test.json', 'cost.json',
                 '*/vis_data/scalars.json', 'resolved_config.py', 'environment.json', 'splits/*.json')

    def __init__(self, settings=None, publish='best_student.pth', load_from=None, resume_from=None, given=None,
                 **kwargs):
        self.settings, self.publish = dict(settings or {}), publish
        self.load_from, self.resume_from, self.given = load_from, resume_from, given
        self.settings['default_hooks.publish.filename'] = publish
        self.leftovers = (*self.leftovers, publish)
        super().__init__(**kwargs)

    @staticmethod
    def check_load_from(path, folder):
        """Refuse weights to start with that a run in ``folder`` would write over."""
        if path is None:
            return
        if not Path(path).is_file():
            raise FileNotFoundError(f"load_from: there is no checkpoint '{path}'.")
        if Path(path).resolve().parent == Path(folder).resolve() and any(map(Path(path).match, TrainStage.leftovers)):
            raise ValueError(f"load_from: '{path}' lies in the work dir and would be written over. Choose another "
                             '--work-dir; to go on with that run, use --resume.')

    @property
    def artifact(self):
        return Path(self.given) if self.given else self.folder / self.publish

    def config(self, **values):
        """The resolved config of this run; ``values`` are keys of the runner such as ``work_dir``."""
        return runner_config(self.cfg, self.settings, **values)

    def check(self):
        model = check_run(self.config())
        if self.resume_from:
            check_resumable(self.resume_from, model)
        elif self.load_from:
            renaming(self.load_from, model)

    def record(self):
        return dict(max_epochs=(self.config().get('train_cfg') or {}).get('max_epochs'))

    def advice(self, state):
        before, now = state.get('max_epochs'), self.record()['max_epochs']
        if None in (before, now) or before >= now:
            return ''
        return (f'It was made for {before} epochs, and {now} are asked for: its learning rate has followed a schedule '
                f'that ends there, so going on would give neither a run of {now} epochs nor a sound one. To train on '
                f'from its weights with a schedule of their own, use load_from={self.artifact} and another work dir. ')

    def check_given(self, path):
        super().check_given(path)
        config = self.config()
        model = build_quietly(MODELS, config.model.get('student', config.model))
        if not isinstance(model, SceneClassifier):
            load_matcher(model, path)
            return
        load_classifier(model, path, self.name)
        if config.get('test_dataloader') is not None:  # what will be tested
            with located('test_dataloader.dataset'):
                dataset = DATASETS.build(config.test_dataloader.dataset)
                check_sample(model.data_preprocessor, dataset)
            load_classifier(model, path, self.name, classes=getattr(dataset, 'metainfo', {}).get('classes'))

    def settings_for_fingerprint(self):
        config = self.config()
        # A match table need not be there yet; it counts by the fingerprint of what makes it.
        data = {key: data_fingerprint(DATASETS.build({**dataset, **dict.fromkeys({'match_table'} & dataset.keys())}))
                for key, dataset in run_datasets(config) if not key.startswith('test_')}
        start = {'load_from': content_hash(self.load_from)} if self.load_from else {}
        # The batch size is that of one process.
        return dict({key: config.get(key) for key in RUN_KEYS}, data=data, processes=get_world_size(), **start)

    def _leftovers(self):
        # What lies beside a checkpoint that is named belongs to it: its match, the best epoch so far.
        named = filter(None, (self.load_from, self.resume_from))
        if any(self.folder.resolve() in Path(path).resolve().parents for path in named):
            return []
        return super()._leftovers()

    def _ensure(self, resume):
        if self.resume_from and self.finished:
            print_log(f'[{self.name}] is finished: {self.resume_from} is not used', 'current', logging.WARNING)
        return super()._ensure(resume)

    def run(self, resume):
        start = starting_point(self.folder, resume or self.resume_from is not None, self.resume_from, self.load_from)
        config = self.config(work_dir=str(self.folder), **start,
                             experiment_name=f'{self.name}_{self.fingerprint}_{time.time_ns()}')
        build_runner(config).train()
