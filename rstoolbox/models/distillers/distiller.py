"""One student, one frozen teacher, any number of named transfer losses."""

from collections.abc import Mapping

import torch
from mmengine.logging import MessageHub
from mmengine.model import BaseModel
from mmpretrain.structures import label_to_onehot
from torch import nn

from rstoolbox.registry import DISTILLERS, MODELS, TRANSFER_LOSSES

from ..finite import check_finite
from ..loading import load_rgb_encoder
from ..preprocessors import DistillPreprocessor
from ..transfer.base import TooFewMapsError
from .taps import FORMS, FeatureTaps, how_to_get_maps
from .teacher import FrozenTeacher, GalleryTeacher, check_classifier


@DISTILLERS.register_module()
class Distiller(BaseModel):
    """Train a student on its own task and on what a teacher puts out for matched samples.

    The teacher is frozen by construction: always in evaluation mode, without gradients, and outside of this module's
    parameters, modules and state dict, though it follows it from device to device. With a ``gallery`` there is no
    teacher network at all: its outputs are read from the row that each sample's ``teacher_index`` names.

    Predicting and testing is the student's alone.

    Args:
        student (dict): Config of a :class:`SceneClassifier`.
        losses (dict[str, dict]): Name -> config of a transfer loss, ``loss_weight`` included. Each is logged as
            ``loss_<name>``, the student's own as ``loss_task``.
        teacher (dict, optional): Config of a :class:`SceneClassifier`. Not built beside a gallery.
        teacher_checkpoint (str, optional): The teacher's weights.
        gallery (str, optional): Folder of the teacher's outputs (:class:`rstoolbox.models.sembridge.gallery.Gallery`).
        task_weight (float): Factor on the student's own loss.
        start (str, optional): Checkpoint of a :class:`~rstoolbox.models.SceneMatcher`; the student's backbone starts
            from its RGB encoder, which has learned without labels what the teacher tells apart.
        taps (dict, optional): ``dict(student=dict(embedding='backbone.layer4', ...), teacher=...)``: where the outputs
            are that are not where a plain classifier has them (:class:`FeatureTaps`).
        image_size (int | dict): Height and width of the images, or ``dict(student=64, teacher=120)``; blank images of
            this size go through both sides once, so that every mismatch of shapes shows at the start.
        init_cfg (dict, optional): As in mmengine.

    Raises:
        ValueError: If losses are named without a teacher, a name is taken, a tap or the image size is malformed, a loss
            needs what a side does not give, shapes do not fit, or a loss of softmax logits meets a teacher of several
            labels.
        CheckpointError: If the teacher's checkpoint or the start is of another network.
    """

    def __init__(self, student, losses, teacher=None, teacher_checkpoint=None, gallery=None, task_weight=1., start=None,
                 taps=None, image_size=64, init_cfg=None):
        if losses and teacher is None and gallery is None:
            raise ValueError(f'the losses {", ".join(losses)} need a teacher or a gallery of its outputs')
        if 'task' in losses:
            raise ValueError("'task' is the name of the student's own loss; name the transfer loss otherwise")
        taps = {} if taps is None else taps
        if not isinstance(taps, Mapping) or not set(taps) <= {'student', 'teacher'}:
            raise ValueError(f'taps are given as dict(student=..., teacher=...), not {taps!r}')
        sizes = image_size if isinstance(image_size, Mapping) else dict(student=image_size, teacher=image_size)
        if set(sizes) != {'student', 'teacher'}:
            raise ValueError(f'image_size is one number or dict(student=..., teacher=...) with both, not {sizes!r}')
        student = MODELS.build(student)
        check_classifier(student, 'student', sizes['student'])
        # A student starts from the same weights whatever parts its losses have.
        with torch.random.fork_rng(devices=[]):
            transfer_losses = {name: TRANSFER_LOSSES.build(config) for name, config in losses.items()}
        outputs = {name for loss in transfer_losses.values() for name in loss.needs}
        if gallery is not None:
            source = GalleryTeacher(gallery, outputs, taps.get('teacher'))
        elif teacher is not None:
            source = FrozenTeacher(teacher, teacher_checkpoint, outputs, taps.get('teacher'), sizes['teacher'])
        else:
            source = None
        if source is not None and source.multi_label:
            _check_multi_label(transfer_losses)
        super().__init__(DistillPreprocessor(student.data_preprocessor, source and source.data_preprocessor), init_cfg)
        self.student = student
        self.transfer_losses = nn.ModuleDict(transfer_losses)
        self.teacher = source
        self.task_weight, self.start = task_weight, start
        self.taps = FeatureTaps(student, outputs, taps.get('student'), 'student')
        if transfer_losses:
            with torch.random.fork_rng(devices=[]):
                self._prepare(sizes['student'])

    def _prepare(self, image_size):
        """Show every loss the shapes of both sides, so that its trainable parts exist before the optimizer does."""
        training = self.student.training
        self.student.eval()
        with torch.no_grad(), self.taps.recording() as student:
            self.student(self.student.example(2, image_size), mode='tensor')
        self.student.train(training)
        teacher = self.teacher.example()
        for name, loss in self.transfer_losses.items():
            try:
                loss.prepare(student, teacher)
            except TooFewMapsError as error:
                sides = dict(student=self.student, teacher=self.teacher.network)  # a gallery keeps no maps
                raise ValueError(f"loss '{name}': {error}. Here: "
                                 + ', '.join(map(how_to_get_maps, sides, sides.values()))) from error
            except ValueError as error:
                raise ValueError(f"loss '{name}': {error}") from error

    def init_weights(self):
        """Draw the student's weights, and read those of its backbone where it has a ``start``."""
        super().init_weights()
        if self.start is not None:
            load_rgb_encoder(self.student.backbone, self.start)

    def forward(self, inputs, data_samples=None, mode='tensor'):
        """Run in one of mmengine's modes.

        Args:
            inputs (dict | Tensor): ``dict(student=(B, C, H, W)[, teacher=(B, C', H', W')])``, or the student's batch.
            data_samples (list[DataSample], optional): One per image of the student.
            mode (str): ``loss`` (see :meth:`loss`); ``predict`` and ``tensor`` are the student's.
        """
        if mode == 'loss':
            return self.loss(inputs, data_samples)
        return self.student(_student_images(inputs), data_samples, mode=mode)

    def loss(self, inputs, data_samples):
        """The losses of one batch.

        Returns:
            dict[str, Tensor]: ``loss_task``, ``loss_<name>`` for every transfer loss, weights included, and whatever
            else the student's head logs.

        Raises:
            NonFiniteLossError: If one is NaN or infinite, with the ids of the batch's samples.
        """
        images = _student_images(inputs)
        with self.taps.recording() as student:
            task = self.student.head.loss(self.student.extract_feat(images), data_samples)
        losses = {'loss_task': self.task_weight * sum(value for name, value in task.items() if 'loss' in name)}
        if self.transfer_losses:
            teacher = self.teacher(inputs, data_samples)
            labels, progress = _labels(data_samples, self.student.num_classes), training_progress()
            for name, loss in self.transfer_losses.items():
                try:
                    losses[f'loss_{name}'] = loss(student, teacher, labels=labels, progress=progress)
                except ValueError:
                    # A loss may refuse what a student gone astray puts out; then the batch is what to report.
                    check_finite(losses, data_samples, images)
                    raise
        check_finite(losses, data_samples, images)
        return {**losses, **{name: value for name, value in task.items() if 'loss' not in name}}

    def student_state_dict(self):
        """The student's weights under the names that plain mmpretrain gives them."""
        return self.student.state_dict()

    def _apply(self, function, recurse=True):
        super()._apply(function, recurse)
        if self.teacher is not None:
            self.teacher.apply(function)
        return self


def training_progress():
    """How far the running training is, from 0 to 1; 1 outside of one, where no schedule goes on."""
    hub = MessageHub.get_current_instance()
    total = hub.get_info('max_iters') or 0
    return min(hub.get_info('iter', 0) / total, 1.) if total else 1.


def _check_multi_label(losses):
    """Raise a ValueError that names every loss of softmax logits, and those to take instead."""
    wrong = [f"loss '{name}': {type(loss).__name__}" for name, loss in losses.items()
             if 'logits' in loss.needs and not loss.multi_label]
    if wrong:
        takers = sorted(kind for kind, loss in TRANSFER_LOSSES.module_dict.items()
                        if 'logits' in loss.needs and loss.multi_label)
        raise ValueError(
            f'{", ".join(wrong)} {"takes" if len(wrong) == 1 else "take"} a teacher of one label an image, reading '
            "logits as those of a softmax head. This teacher's answer every class for itself. Losses of such logits "
            f'are {", ".join(takers)}; those of {", ".join(output for output in FORMS if output != "logits")} take '
            'any teacher')


def _student_images(inputs):
    return inputs['student'] if isinstance(inputs, Mapping) else inputs


def _labels(data_samples, num_classes):
    """Class indices (B,), or the scores (B, C) of several labels or of mixed images."""
    if 'gt_score' in data_samples[0]:
        return torch.stack([sample.gt_score for sample in data_samples])
    labels = [sample.gt_label for sample in data_samples]
    if all(len(label) == 1 for label in labels):
        return torch.cat(labels)
    return torch.stack([label_to_onehot(label, num_classes) for label in labels])
