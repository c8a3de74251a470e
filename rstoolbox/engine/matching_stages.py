"""The stages that bring student and teacher samples together: the teacher's gallery and the first match."""

import copy

import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from mmengine.device import get_device
from mmengine.dist import is_main_process
from rich.progress import Progress
from torch.utils.data import DataLoader

from rstoolbox.datasets.seeding import seeded
from rstoolbox.models.distillers.taps import checked_paths
from rstoolbox.models.loading import load_classifier, load_matcher
from rstoolbox.models.sembridge.gallery import Gallery, hash_of_weights
from rstoolbox.models.sembridge.shortlist import shortlist_by_similarity
from rstoolbox.registry import DATASETS, MODELS, STAGES
from rstoolbox.structures import MatchTable

from .config import ConfigError
from .preflight import build_quietly, check_sample, located
from .stages import Stage

READINGS = 8  # of a sample; even a flip of every second image then hardly ever stays unseen


@STAGES.register_module()
class GalleryStage(Stage):
    """Runs the frozen teacher once over its training images; the artifact is the folder of its outputs.

    Args:
        model (dict): Config of the teacher.
        checkpoint (str): Its weights.
        dataset (dict): Its training split with a pipeline that has no randomness.
        batch_size (int): Images per forward pass.
        taps (dict, optional): Where outputs are that are not where a plain classifier has them
            (:class:`~rstoolbox.models.FeatureTaps`).
        **kwargs: See :class:`Stage`.

    Raises:
        ConfigError: If the pipeline is random.
        ValueError: If ``taps`` are not module paths by output.
    """

    def __init__(self, model, checkpoint, dataset, batch_size=128, taps=None, **kwargs):
        self.model, self.checkpoint, self.batch_size = model, checkpoint, batch_size
        self.taps = checked_paths(taps, 'teacher')
        self.dataset = DATASETS.build(dataset)
        super().__init__(**kwargs)
        _check_repeatable(self.dataset, f'stages.{self.name}.dataset')

    is_folder = True

    @property
    def artifact(self):
        return self.folder / 'outputs'

    def check(self):
        with located('model'):
            model = build_quietly(MODELS, self._model_config())
        with located('dataset'):
            check_sample(model.data_preprocessor, self.dataset)

    def check_given(self, path):
        super().check_given(path)
        if list(Gallery.open(path).ids) != self.dataset.sample_ids:
            raise ValueError(f"the gallery '{path}' holds other samples than the data set of the stage {self.name} "
                             f'({self.dataset.data_root}). Build it from the same split.')

    def settings_for_fingerprint(self):
        taps = dict(taps=self.taps) if self.taps else {}
        return dict(model=self.model, checkpoint=self.checkpoint, data=self.dataset.fingerprint(), **taps)

    def run(self, resume):
        if not is_main_process():
            return
        classes = self.dataset.metainfo['classes']
        model = MODELS.build(self._model_config())
        load_classifier(model, self.checkpoint, 'teacher', classes=classes)
        key = f'{hash_of_weights(model.state_dict())}-{self.dataset.fingerprint()}'
        with Progress(transient=True) as bar:
            task = bar.add_task('teacher outputs', total=len(self.dataset))
            Gallery.build(self.artifact, model.to(get_device()), _loader(self.dataset, self.batch_size), key=key,
                          ids=self.dataset.sample_ids, labels=self.dataset.gt_labels, taps=self.taps,
                          progress=lambda done, _: bar.update(task, completed=done))

    def _model_config(self):
        config = copy.deepcopy(self.model)
        config['head']['num_classes'] = len(self.dataset.metainfo['classes'])  # maybe some of the teacher's classes
        return config


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

    Raises:
        ValueError: If the class lists differ, or a class of the student's has no teacher sample.
        ConfigError: If a pipeline is random.
    """

    def __init__(self, model, checkpoint, teacher, student, shortlist=10, batch_size=128, **kwargs):
        self.model, self.checkpoint, self.batch_size = model, checkpoint, batch_size
        self.shortlist = shortlist
        # Together, because the pair names what keeps them from being matched: other classes, or one without a teacher.
        self.pair = DATASETS.build(
            dict(type='UnpairedSceneDataset', student=student, teacher=teacher, read_teacher=False))
        self.datasets = dict(teacher=self.pair.teacher, student=self.pair.student)
        super().__init__(**kwargs)
        for side, dataset in self.datasets.items():
            _check_repeatable(dataset, f'stages.{self.name}.{side}')

    @property
    def artifact(self):
        return self.folder / 'match.json'

    def check(self):
        with located('model'):
            preprocessor = build_quietly(MODELS, self.model).data_preprocessor
        for side, views in (('teacher', preprocessor.ms), ('student', preprocessor.rgb)):
            with located(side):
                check_sample(views, self.datasets[side])

    def check_given(self, path):
        super().check_given(path)
        self.pair.set_match_table(path)

    def settings_for_fingerprint(self):
        return dict(model=self.model, checkpoint=self.checkpoint, shortlist=self.shortlist,
                    data={side: dataset.fingerprint() for side, dataset in self.datasets.items()})

    def run(self, resume):
        if not is_main_process():
            return
        model = MODELS.build(self.model)
        weights = load_matcher(model, self.checkpoint)
        model = model.to(get_device()).eval()
        teacher, student = self.datasets['teacher'], self.datasets['student']
        shortlist = shortlist_by_similarity(
            _embed(model.embed_rgb, student, self.batch_size), torch.as_tensor(student.gt_labels),
            _embed(model.embed_ms, teacher, self.batch_size), torch.as_tensor(teacher.gt_labels), self.shortlist)
        meta = dict(kind='similarity', epoch=0, matcher=hash_of_weights(weights), bands=list(teacher.bands),
                    student_split_hash=student.split_hash, teacher_split_hash=teacher.split_hash)
        MatchTable(student.sample_ids, teacher.sample_ids, shortlist[:, 0], meta, shortlist).save(self.artifact)


def _check_repeatable(dataset, key):
    """Raise ConfigError if a sample comes out of the data set differently from one time to the next."""
    for row in {0, len(dataset) // 2, len(dataset) - 1}:
        readings = []
        for seed in range(READINGS):
            with seeded(seed, row):
                readings.append(np.asarray(dataset[row]['inputs']))
        if not all(np.array_equal(readings[0], reading, equal_nan=True) for reading in readings):
            raise ConfigError(f"{key}: the pipeline is random, '{dataset.sample_ids[row]}' comes out differently each "
                              'time. What is computed from it is kept for the whole training, so it needs a pipeline '
                              'without randomness, as ${plain_pipeline} of the shipped data sets is.')


@torch.no_grad()
def _embed(function, dataset, batch_size):
    return torch.cat([function(batch['inputs']).float().cpu() for batch in _loader(dataset, batch_size)])


def _loader(dataset, batch_size):
    return DataLoader(dataset, batch_size, collate_fn=pseudo_collate)
