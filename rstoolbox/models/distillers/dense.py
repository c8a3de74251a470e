"""Distillation of segmentors and detectors: teacher and student look at the same images."""

import copy
from collections.abc import Mapping
from functools import partial

import torch
from mmengine.model import BaseDataPreprocessor, BaseModel
from torch import nn

from rstoolbox.registry import DISTILLERS, MODELS, TRANSFER_LOSSES
from rstoolbox.structures import nearest

from .distiller import training_progress
from .taps import FeatureTaps
from .teacher import FrozenNetwork

OUTPUTS = ('feats', 'tokens')  # those of a place; a dense network has no logits or embedding of a whole image


@DISTILLERS.register_module()
class DenseDistiller(BaseModel):
    """Train a segmentor or detector on its own task and on the maps of a frozen teacher of the same images.

    Both sides are models of mmseg, mmdet or a like package: with ``backbone``, ``extract_feat``, ``loss`` and a data
    preprocessor of its own, by which each normalises the images. The types of all their parts are named with the scope.
    Predicting and testing is the student's alone, and its checkpoint holds nothing of the teacher.

    Args:
        student (dict): Config of a model.
        teacher (dict): Config of a model.
        losses (dict[str, dict]): Name -> config of a transfer loss of feature maps, ``loss_weight`` included; logged as
            ``loss_<name>`` beside the student's own.
        teacher_checkpoint (str, optional): The teacher's weights.
        bands (dict, optional): ``dict(images=..., student=..., teacher=...)``, names of the channels that the images
            have and that each side reads, in its order: a teacher may see bands that the student does without. By
            default both read all, of which there are three.
        taps (dict, optional): ``dict(student=dict(feats='decode_head.conv_seg'), teacher=...)``: where the maps are if
            not at ``backbone`` (:class:`FeatureTaps`).
        task_weight (float): Factor on the student's own losses.
        image_size (int): Height and width of the blank images that go through both sides once, so that every mismatch
            of shapes shows at the start.
        init_cfg (dict, optional): As in mmengine.

    Raises:
        ValueError: If a loss needs what a dense network does not give, a name is taken, a band is unknown, a tap does
            not exist, shapes do not fit, or a preprocessor changes the geometry of its batches.
        CheckpointError: If the teacher's checkpoint is of another network.
    """

    def __init__(self, student, teacher, losses, teacher_checkpoint=None, bands=None, taps=None, task_weight=1.,
                 image_size=64, init_cfg=None):
        taps = {} if taps is None else taps
        if not isinstance(taps, Mapping) or not set(taps) <= {'student', 'teacher'}:
            raise ValueError(f'taps are given as dict(student=..., teacher=...), not {taps!r}')
        student = MODELS.build(student)
        _check_dense(student, 'student')
        with torch.random.fork_rng(devices=[]):
            transfer_losses = {name: TRANSFER_LOSSES.build(config) for name, config in losses.items()}
        for name, loss in transfer_losses.items():
            if not set(loss.needs) <= set(OUTPUTS):
                raise ValueError(f"loss '{name}': {type(loss).__name__} compares {', '.join(loss.needs)}, but of a "
                                 f'segmentor or detector there are {" and ".join(OUTPUTS)} alone, such as CWD takes')
        outputs = {name for loss in transfer_losses.values() for name in loss.needs}
        teacher = FrozenNetwork(teacher, teacher_checkpoint, outputs, taps.get('teacher'),
                                partial(_check_dense, side='teacher'))
        super().__init__(_Preprocessor(student.data_preprocessor, teacher.data_preprocessor, bands), init_cfg)
        self.student, self.teacher, self.task_weight = student, teacher, task_weight
        self.transfer_losses = nn.ModuleDict(transfer_losses)
        self.taps = FeatureTaps(student, outputs, taps.get('student'), 'student')
        self._prepare(image_size)

    def _prepare(self, image_size):
        """Show every loss the shapes of both sides, so that its trainable parts exist before the optimizer does."""
        counts, maps = self.data_preprocessor.counts, []
        with torch.random.fork_rng(devices=[]):
            for side, network, taps in (('student', self.student, self.taps),
                                        ('teacher', self.teacher.network, self.teacher.taps)):
                training = network.training
                try:
                    maps.append(_maps(network.eval(), taps, torch.zeros(2, counts[side], image_size, image_size)))
                except RuntimeError as error:
                    raise ValueError(f'the {side} cannot read images of {counts[side]} bands and {image_size} x '
                                     f'{image_size} pixels: {error}. See bands and image_size') from error
                network.train(training)
            for name, loss in self.transfer_losses.items():
                try:
                    loss.prepare(*maps)
                except ValueError as error:
                    raise ValueError(f"loss '{name}': {error}") from error

    def forward(self, inputs, data_samples=None, mode='tensor'):
        """Run in one of mmengine's modes.

        Args:
            inputs (dict): ``student`` and, for a loss, ``teacher``: images (B, C, H, W), of which C may differ.
            data_samples (list, optional): One per image, as the student takes them.
            mode (str): ``loss`` (see :meth:`loss`); ``predict`` and ``tensor`` are the student's.
        """
        if mode == 'loss':
            return self.loss(inputs, data_samples)
        return self.student(inputs['student'], data_samples, mode=mode)

    def loss(self, inputs, data_samples):
        """The losses of one batch: the student's own, and ``loss_<name>`` for every transfer loss.

        Raises:
            ValueError: If a transfer loss has the name of one of the student's own.
        """
        with self.taps.recording() as student:
            losses = self.student.loss(inputs['student'], data_samples)
        taken = [name for name in self.transfer_losses if f'loss_{name}' in losses]
        if taken:
            raise ValueError(f"'loss_{taken[0]}' is a loss of the student's own; call the transfer loss otherwise")
        losses = {name: _scaled(value, self.task_weight) if 'loss' in name else value
                  for name, value in losses.items()}
        teacher, progress = _maps(self.teacher.network, self.teacher.taps, inputs['teacher']), training_progress()
        return losses | {f'loss_{name}': loss(student, teacher, progress=progress)
                         for name, loss in self.transfer_losses.items()}

    def _apply(self, function, recurse=True):
        super()._apply(function, recurse)
        self.teacher.apply(function)
        return self


class _Preprocessor(BaseDataPreprocessor):
    """Prepares the images of both sides, each with its own bands and statistics."""

    def __init__(self, student, teacher, bands):
        super().__init__()
        self.student, self.teacher = student, teacher
        for side, part in (('student', student), ('teacher', teacher)):
            if getattr(part, 'batch_augments', None):
                raise ValueError(f"batch_augments of the {side}'s data_preprocessor would show it other images than "
                                 'the other side; augment in the pipeline of the data set instead')
        self.rows = {side: _rows(bands, side) for side in ('student', 'teacher')}
        self.bands = None if bands is None else tuple(bands['images'])

    @property
    def counts(self):
        """dict[str, int]: How many channels each side reads."""
        return {side: 3 if rows is None else len(rows) for side, rows in self.rows.items()}

    def forward(self, data, training=False):
        batch = self.student(self._chosen(data, 'student'), training)
        inputs = {'student': batch['inputs']}
        if training:
            # A copy, as preprocessors pad the truth along with the images.
            data = {**data, 'data_samples': copy.deepcopy(data['data_samples'])}
            inputs['teacher'] = self.teacher(self._chosen(data, 'teacher'), training)['inputs']
            sizes = [tuple(inputs[side].shape[2:]) for side in ('student', 'teacher')]
            if sizes[0] != sizes[1]:
                raise ValueError(f'the data_preprocessor of the student makes batches of {sizes[0]} pixels and that of '
                                 f'the teacher of {sizes[1]}; give both the same size, so that they see the same')
        return {'inputs': inputs, 'data_samples': batch['data_samples']}

    def _chosen(self, data, side):
        rows = self.rows[side]
        if rows is None:
            return data
        for image, sample in zip(data['inputs'], data.get('data_samples') or [{}] * len(data['inputs'])):
            if len(image) != len(self.bands):
                raise ValueError(f"the image '{sample.get('img_path', '')}' has {len(image)} channels; bands.images "
                                 f'names {len(self.bands)}: {", ".join(self.bands)}')
        return {**data, 'inputs': [image[rows] for image in data['inputs']]}


def _check_dense(network, side):
    missing = [name for name in ('backbone', 'extract_feat', 'loss') if not hasattr(network, name)]
    if missing:
        raise ValueError(f'the {side} must be a segmentor or detector, got {type(network).__name__}, which has no '
                         f'{missing[0]}')


def _rows(bands, side):
    """The channels of the images that a side reads, or None for all of them as they are."""
    if bands is None:
        return None
    if set(bands) != {'images', 'student', 'teacher'}:
        raise ValueError(f'bands are given as dict(images=..., student=..., teacher=...), not {bands!r}')
    images = list(bands['images'])
    if len(set(images)) != len(images):
        raise ValueError(f'bands.images names one twice: {", ".join(images)}')
    for name in bands[side]:
        if name not in images:
            raise ValueError(f"the {side} reads the band '{name}'{nearest(name, images)}, but the images have "
                             f'{", ".join(images)}')
    return [images.index(name) for name in bands[side]]


@torch.no_grad()
def _maps(network, taps, images):
    """The tapped outputs of a network; heads run only where one is tapped, as some take more than images."""
    with taps.recording() as outputs:
        if all(path.partition('.')[0] in ('backbone', 'neck') for path in taps.paths.values()):
            network.extract_feat(images)
        else:
            network(images, mode='tensor')
    return outputs


def _scaled(value, factor):
    return [part * factor for part in value] if isinstance(value, (list, tuple)) else value * factor
