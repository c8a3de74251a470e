"""What every transfer loss shares: its weight, its view of both networks and its one call."""

import math

import torch
import torch.nn.functional as F
from torch import nn

FORMS = dict(logits='(batch, classes)', embedding='(batch, width)', tokens='(batch, tokens, width)',
             feats='(batch, channels, height, width)')


class TooFewMapsError(ValueError):
    """A loss needs more feature maps than a side puts out."""


class TransferLoss(nn.Module):
    """A loss between what a student and a frozen teacher put out for the same batch.

    A subclass names the outputs it ``needs`` and implements :meth:`compare`; one with trainable parts (projections,
    a learned temperature) creates them in :meth:`build`, where the shapes of both sides are known. One that compares
    logits class by class says ``multi_label = True``; the others that need logits take no teacher of several labels.

    ``student`` and ``teacher`` are mappings with any of

    - ``logits``: (B, C), as the head gives them, before any softmax or sigmoid;
    - ``embedding``: (B, D), the pooled feature;
    - ``tokens``: (B, N, D), the last feature map as a sequence of positions;
    - ``feats``: list of (B, D_i, H_i, W_i), the feature maps from shallow to deep (a single map is also taken).

    Args:
        loss_weight (float): Factor on the value that a call returns.
    """

    needs = ('logits',)
    multi_label = False  # whether logits may be those of a sigmoid head, one binary answer for every class

    def __init__(self, loss_weight=1.):
        super().__init__()
        if not is_number(loss_weight):
            raise ValueError(f'loss_weight of {type(self).__name__} is a finite number, got {loss_weight!r}')
        self.loss_weight = loss_weight
        self.prepared = False

    def build(self, student, teacher):
        """Create trainable parts and check widths; ``student`` and ``teacher`` are outputs for some batch.

        Called once, by :meth:`prepare`. The default needs nothing.
        """

    def compare(self, student, teacher, labels, progress):
        """Return the unweighted loss, a scalar tensor. Arguments as in :meth:`forward`, the teacher's detached."""
        raise NotImplementedError(f'{type(self).__name__} does not implement compare()')

    def prepare(self, student, teacher):
        """Build what depends on the shapes of both sides; further calls do nothing.

        The distiller calls it before the optimizer is built. Where nobody did, the first :meth:`forward` does.

        Raises:
            ValueError: If either side lacks an output in ``needs``, or they disagree in a way the loss cannot bridge.
        """
        if self.prepared:
            return
        student, teacher = self._view(student, 'student'), self._view(teacher, 'teacher')
        self.build(student, teacher)
        reference = student[self.needs[0]]
        reference = reference[-1] if isinstance(reference, list) else reference
        # Outputs in half precision do not make half-precision weights.
        self.to(reference.device, full_precision(reference).dtype)
        self.prepared = True

    def forward(self, student, teacher, labels=None, progress=1.):
        """Compare the two sides.

        Args:
            student (Mapping): The student's outputs; gradients flow into them.
            teacher (Mapping): The teacher's outputs for the matched samples, row by row; no gradient flows into them.
            labels (Tensor, optional): Class indices (B,), or a multi-hot (B, C), of the student's samples.
            progress (float): How far training is, from 0 to 1, for losses with a schedule; by default at its end.

        Returns:
            Tensor: A scalar, ``loss_weight`` included.

        Raises:
            ValueError: If either side lacks an output in ``needs``, or they are of different numbers of samples.
        """
        if not self.prepared:
            self.prepare(student, teacher)
        student, teacher = self._view(student, 'student'), self._view(teacher, 'teacher')
        check_same_rows(self, student, teacher)
        return self.loss_weight * self.compare(student, teacher, labels, progress)

    def _view(self, outputs, side):
        """The outputs in ``needs``: feature maps as a list, the teacher's without history."""
        view = {}
        for name in self.needs:
            value = outputs.get(name)
            if value is None:
                raise ValueError(f'{type(self).__name__} needs {name!r} of the {side}, which gives '
                                 f'{", ".join(sorted(outputs)) or "nothing"}')
            if name == 'feats':
                value = [value] if isinstance(value, torch.Tensor) else list(value)
            if side == 'teacher':
                value = [map_.detach() for map_ in value] if name == 'feats' else value.detach()
            view[name] = value
        return view

    def extra_repr(self):
        return f'loss_weight={self.loss_weight}'


def full_precision(values):
    """``values`` in float32 where they are in half precision: sums of exponentials need its range."""
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values


def risen(progress, share):
    """How far a schedule over the first ``share`` of the training is at ``progress``, from 0 to 1."""
    return min(progress / share, 1.) if share else 1.


def divergence(student_log, teacher_log):
    """Kullback-Leibler divergence of the teacher's distribution from the student's in every row, (B,)."""
    return F.kl_div(student_log, teacher_log, reduction='none', log_target=True).sum(dim=1)


def unit_length(values, dim=1):
    """``values`` divided by their Euclidean length along ``dim``; those of no length stay zero and get no gradient.

    ``torch.nn.functional.normalize`` gives them the gradient of a division by 1e-12.
    """
    length = torch.linalg.vector_norm(values, dim=dim, keepdim=True)
    return values / length.masked_fill(length <= torch.finfo(values.dtype).tiny ** 0.5, torch.inf)


def paired_maps(student, teacher):
    """The last maps that both sides have, deepest with deepest, as pairs of one height and width.

    The larger of a pair is average-pooled to the smaller; both are in full precision.
    """
    return [same_size(*maps) for maps in zip(reversed(student['feats']), reversed(teacher['feats']))][::-1]


def same_size(first, second):
    """Two maps in full precision and at one height and width: the larger is average-pooled to the smaller."""
    maps = full_precision(first), full_precision(second)
    size = [min(lengths) for lengths in zip(*(map_.shape[2:] for map_ in maps))]
    return tuple(map_ if list(map_.shape[2:]) == size else average_pool(map_, size) for map_ in maps)


def average_pool(maps, size):
    """Maps (B, C, H, W) averaged over the cells of a grid of ``size``, which is no finer."""
    lengths = list(zip(maps.shape[2:], size))
    if any(length % cells for length, cells in lengths):
        return F.adaptive_avg_pool2d(maps, size)
    # The same, but its gradient is deterministic on a GPU.
    return F.avg_pool2d(maps, [length // cells for length, cells in lengths])


class BatchNorm(nn.BatchNorm2d):
    """A batch norm that a batch of one can train: one value per channel is normed by the statistics so far."""

    def forward(self, maps):
        if self.training and maps.numel() == maps.shape[1]:
            return F.batch_norm(maps, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        return super().forward(maps)


def check_ranks(loss, student, teacher):
    """Raise a ``ValueError`` that names the tap unless every output in ``needs`` has the rank of its name."""
    for side, outputs in (('student', student), ('teacher', teacher)):
        for name in loss.needs:
            expected = FORMS[name]
            values = outputs[name] if name == 'feats' else [outputs[name]]
            if not values or any(value.ndim != expected.count(',') + 1 for value in values):
                shapes = ', '.join(str(tuple(value.shape)) for value in values) or 'no map'
                raise ValueError(f'{type(loss).__name__} takes {name} of shape {expected}, but the {side} gives '
                                 f'{shapes}; tap another module: taps=dict({side}=dict({name}=...))')


def check_places(loss, pairs):
    """Raise a ``ValueError`` if no two maps share more than one place: a loss of where they are strong is always 0."""
    if all(min(map_.shape[2:].numel() for map_ in pair) == 1 for pair in pairs):
        raise ValueError(f'{type(loss).__name__} compares where maps are strong, but those of student and teacher have '
                         'one place in common (1x1); take those of an earlier stage, or give the image_size that is '
                         'trained with')


def check_same_rows(loss, student, teacher):
    """Raise a ``ValueError`` unless both sides hold as many samples; a single row would be compared with all."""
    name = loss.needs[0]  # all outputs of a side are of one batch
    own, matched = student[name], teacher[name]
    if name == 'feats':
        own, matched = own[-1], matched[-1]
    if own.shape[0] != matched.shape[0]:
        raise ValueError(f'{type(loss).__name__} compares row by row, but the student gives {own.shape[0]} rows of '
                         f'{name} and the teacher {matched.shape[0]}; give the matched teacher sample of every student '
                         'sample')


def check_same_classes(loss, student, teacher, least=1):
    """Raise a ``ValueError`` unless both sides' logits are (B, C) with the same C, of at least ``least``."""
    check_ranks(loss, student, teacher)
    classes = student['logits'].shape[1]
    if classes != teacher['logits'].shape[1]:
        raise ValueError(f'{type(loss).__name__} compares class by class, but the student has '
                         f'{classes} classes and the teacher {teacher["logits"].shape[1]}; '
                         'give both the same classes in the same order')
    if classes < least:
        raise ValueError(f'{type(loss).__name__} needs at least {least} classes, got {classes}')


def is_number(value):
    """Whether a hyper-parameter is a finite number."""
    return isinstance(value, (int, float)) and math.isfinite(value)


def check_positive(loss, **values):
    """Raise a ``ValueError`` unless every named hyper-parameter is a finite number above 0."""
    for name, value in values.items():
        if not (is_number(value) and value > 0):
            raise ValueError(f'{name} of {type(loss).__name__} must be above 0 and finite, got {value!r}')


def check_not_negative(loss, **values):
    """Raise a ``ValueError`` unless every named hyper-parameter is a finite number of at least 0."""
    for name, value in values.items():
        if not (is_number(value) and value >= 0):
            raise ValueError(f'{name} of {type(loss).__name__} must be at least 0 and finite, got {value!r}')


def check_share(loss, **values):
    """Raise a ``ValueError`` unless every named hyper-parameter lies from 0 to 1."""
    for name, value in values.items():
        if not (is_number(value) and 0 <= value <= 1):
            raise ValueError(f'{name} of {type(loss).__name__} is a share from 0 to 1, got {value!r}')


def target_classes(loss, labels, logits):
    """The one class of every sample, (B,), from class indices or from scores (B, C), for ``logits`` (B, C).

    Scores that sum to about 1 are those of a mixed image; the larger part counts.

    Raises:
        ValueError: If there are no labels, one is out of range, or a sample has no label or several.
    """
    name, (batch, classes) = type(loss).__name__, logits.shape
    if labels is None:
        raise ValueError(f"{name} tells the sample's own class from the others and needs labels, but got none")
    if tuple(labels.shape) not in ((batch,), (batch, classes)):
        raise ValueError(f'{name} takes labels of shape ({batch},) or ({batch}, {classes}) beside logits of shape '
                         f'({batch}, {classes}), got {tuple(labels.shape)}')
    if labels.ndim == 1:
        if labels.is_floating_point():
            raise ValueError(f'{name} takes whole numbers as labels of one class each, got {labels.dtype}')
        low, high = torch.stack(labels.aminmax()).tolist() if batch else (0, 0)
        if low < 0 or high >= classes:
            raise ValueError(f'{name} got the label {low if low < 0 else high}, expected 0 to {classes - 1}')
        return labels.long()
    scores = labels.float()
    totals = scores.sum(dim=1)
    if ((totals - 1).abs() > 0.01).any():
        raise ValueError(f'{name} takes one label for each sample, but in this batch they have '
                         f'{totals.min().item():g} to {totals.max().item():g}; distil several labels with BinaryKD')
    return scores.argmax(dim=1)
