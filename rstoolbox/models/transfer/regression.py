"""Losses that draw the student's maps, led through layers of their own, to the teacher's: FitNet, SimKD, MGD and OFD.

Where sizes differ the larger map is average-pooled to the smaller; numbers of channels are bridged by the layers, which
train with the student and are not part of it.
"""

import torch
import torch.nn.functional as F
from mmengine.dist import all_reduce
from torch import nn

from rstoolbox.registry import TRANSFER_LOSSES

from .base import (
    BatchNorm,
    TooFewMapsError,
    TransferLoss,
    check_ranks,
    check_share,
    full_precision,
    paired_maps,
    same_size,
)


@TRANSFER_LOSSES.register_module()
class FitNet(TransferLoss):
    r"""Hints: one of the student's maps, through a convolutional regressor r, is one of the teacher's.

    Romero et al., "FitNets: Hints for Thin Deep Nets", ICLR 2015: the mean of :math:`(r(s) - t)^2`. The paper trains up
    to the hint with this loss before all else; here it acts all along, as one term.

    The regressor is a convolution, a batch norm and, if the teacher's map has been through one, a rectifier. For a
    student's map of twice the teacher's height and width it is a 3x3 convolution of stride 2, for one of half of them a
    4x4 transposed convolution of stride 2, else a 1x1 convolution after pooling. Published code takes a kernel as large
    as the difference of the sizes there, and refuses a student's smaller map.

    Args:
        stage (int, optional): Which of ``feats``, counted from 0 at the shallowest or from -1 at the deepest. Default:
            the one in the middle, as published; of an even number the deeper one.
        relu (bool, optional): Whether r ends in a rectifier. Default: if the teacher's first map has no negative value.
        loss_weight (float): Factor on the loss; the default is that of the code that is commonly compared with.
    """

    needs = ('feats',)

    def __init__(self, stage=None, relu=None, loss_weight=100.):
        super().__init__(loss_weight)
        if stage is not None:
            check_stage(self, stage)
        self.stage, self.relu = stage, relu

    def build(self, student, teacher):
        if self.stage is None:
            self.stage = -((min(len(student['feats']), len(teacher['feats'])) + 1) // 2)
        student, teacher = maps_at(self, student, teacher)
        sizes, channels = (student.shape[2:], teacher.shape[2:]), (student.shape[1], teacher.shape[1])
        self.strided = True
        if sizes[0] == tuple(2 * length for length in sizes[1]):
            convolution = nn.Conv2d(*channels, kernel_size=3, stride=2, padding=1, bias=False)
        elif sizes[1] == tuple(2 * length for length in sizes[0]):
            convolution = nn.ConvTranspose2d(*channels, kernel_size=4, stride=2, padding=1, bias=False)
        else:
            self.strided, convolution = False, nn.Conv2d(*channels, kernel_size=1, bias=False)
        self.regressor = nn.Sequential(convolution, BatchNorm(channels[1]), *_rectifier(self.relu, teacher))

    def compare(self, student, teacher, labels, progress):
        maps = student['feats'][self.stage], teacher['feats'][self.stage]
        with torch.autocast(maps[0].device.type, enabled=False):
            student, teacher = map(full_precision, maps) if self.strided else same_size(*maps)
            return F.mse_loss(*same_size(self.regressor(student), teacher))


@TRANSFER_LOSSES.register_module()
class SimKD(TransferLoss):
    r"""The alignment of SimKD: the student's last map, through a bottleneck p, is the teacher's.

    Chen et al., "Knowledge Distillation with the Reused Teacher Classifier", CVPR 2022: the mean of
    :math:`(p(s) - t)^2`, where p is a 1x1, a 3x3 and a 1x1 convolution, each with a batch norm and a rectifier; the
    last rectifier is that of :class:`FitNet`.

    The paper trains by this loss alone and then predicts with p and the teacher's classifier on top of the student.
    Here p stays out of the student, which keeps its own head and learns that from its task: its checkpoint is a plain
    classifier, and the accuracy is not that of the reused classifier.

    Args:
        reduction (int): The teacher's channels per channel of the bottleneck, at least 1.
        relu (bool, optional): Whether p ends in a rectifier. Default: if the teacher's first map has no negative value.
        loss_weight (float): Factor on the loss.
    """

    needs = ('feats',)

    def __init__(self, reduction=2, relu=None, loss_weight=1.):
        super().__init__(loss_weight)
        if not isinstance(reduction, int) or reduction < 1:
            raise ValueError(f'reduction of SimKD is a whole number of at least 1, got {reduction!r}')
        self.reduction, self.relu = reduction, relu

    def build(self, student, teacher):
        check_ranks(self, student, teacher)
        student, teacher = student['feats'][-1], teacher['feats'][-1]
        width = max(teacher.shape[1] // self.reduction, 1)
        self.projector = nn.Sequential(
            nn.Conv2d(student.shape[1], width, kernel_size=1, bias=False), BatchNorm(width), nn.ReLU(),
            nn.Conv2d(width, width, kernel_size=3, padding=1, bias=False), BatchNorm(width), nn.ReLU(),
            nn.Conv2d(width, teacher.shape[1], kernel_size=1, bias=False), BatchNorm(teacher.shape[1]),
            *_rectifier(self.relu, teacher))

    def compare(self, student, teacher, labels, progress):
        with torch.autocast(student['feats'][-1].device.type, enabled=False):
            student, teacher = same_size(student['feats'][-1], teacher['feats'][-1])
            return F.mse_loss(self.projector(student), teacher)


@TRANSFER_LOSSES.register_module()
class MGD(TransferLoss):
    r"""Masked generative distillation: the teacher's map is to be made from what a mask leaves of the student's.

    Yang et al., "Masked Generative Distillation", ECCV 2022. With M a new random mask in every call, g a 3x3
    convolution, a rectifier and a 3x3 convolution, and f a 1x1 convolution where the numbers of channels differ, the
    sum of :math:`(g(f(s) \odot M) - t)^2` over channels and places, mean over the batch.

    Args:
        mask (str): What is masked as a whole: ``'channels'``, as in the paper's code for classification, or
            ``'places'``, as in its text and its code for detection and segmentation.
        mask_ratio (float): Probability that a channel, or a place, is masked, from 0 to 1. Published: 0.15 for
            classification, 0.45 to 0.75 otherwise.
        stage (int): Which of ``feats``, counted from 0 at the shallowest or from -1 at the deepest.
        loss_weight (float): Factor on the loss; the default is that of classification and goes with the sum.
    """

    needs = ('feats',)

    def __init__(self, mask='channels', mask_ratio=0.15, stage=-1, loss_weight=7e-5):
        super().__init__(loss_weight)
        if mask not in ('channels', 'places'):
            raise ValueError(f"mask of MGD is 'channels' or 'places', got {mask!r}")
        check_share(self, mask_ratio=mask_ratio)
        check_stage(self, stage)
        self.mask, self.mask_ratio, self.stage = mask, mask_ratio, stage

    def build(self, student, teacher):
        student, teacher = maps_at(self, student, teacher)
        width = teacher.shape[1]
        equal = student.shape[1] == width
        self.align = nn.Identity() if equal else nn.Conv2d(student.shape[1], width, kernel_size=1)
        self.generator = nn.Sequential(nn.Conv2d(width, width, kernel_size=3, padding=1), nn.ReLU(),
                                       nn.Conv2d(width, width, kernel_size=3, padding=1))

    def compare(self, student, teacher, labels, progress):
        maps = student['feats'][self.stage], teacher['feats'][self.stage]
        with torch.autocast(maps[0].device.type, enabled=False):
            student, teacher = same_size(*maps)
            aligned = self.align(student)
            batch, channels, height, width = aligned.shape
            shape = (batch, channels, 1, 1) if self.mask == 'channels' else (batch, 1, height, width)
            kept = torch.rand(shape, dtype=aligned.dtype, device=aligned.device) >= self.mask_ratio
            return F.mse_loss(self.generator(aligned * kept), teacher, reduction='sum') / batch


@TRANSFER_LOSSES.register_module()
class OFD(TransferLoss):
    r"""The overhaul of feature distillation: the student's maps are the teacher's where that matters to a rectifier.

    Heo et al., "A Comprehensive Overhaul of Feature Distillation", ICCV 2019. With x the student's map through a 1x1
    convolution and a batch norm, t the teacher's and :math:`m_c \le 0` the margin of a channel, the partial distance of
    a value is :math:`(x - t)^2` where t > 0 and :math:`\max(x - \max(t, m_c), 0)^2` elsewhere: what the teacher's
    rectifier cuts off need only be low. The loss is the sum over channels and places, mean over the batch, times
    1, 1/2, 1/4, ... from the deepest pair of maps on.

    The margin is the mean of a channel's negative values. Published code derives it from the weights of the batch norm
    before the rectifier; here it is the mean over all maps seen in training so far, which is the paper's definition and
    needs no such layer. It needs maps from before a rectifier: set ``taps`` to a module that gives them. On maps from
    behind one, as a ResNet's are, nothing is negative, margins are 0, and where the teacher is off the student is drawn
    to 0 or below. Several processes share the margins of all their samples. A teacher's map that is smaller than the
    student's is not repeated to its size, as in published code: the student's is pooled.

    Args:
        margins (list[list[float]], optional): One for each channel of the teacher's, of every pair of maps from shallow
            to deep, at most 0. Default: they are estimated.
        loss_weight (float): Factor on the loss; the default is that of the paper's code and goes with the sum.
    """

    needs = ('feats',)

    def __init__(self, margins=None, loss_weight=1e-3):
        super().__init__(loss_weight)
        try:
            self.margins = None if margins is None else [[float(value) for value in channels] for channels in margins]
        except (TypeError, ValueError):
            raise ValueError('margins of OFD are numbers in lists, a list for each pair of maps and in it a number for '
                             f'each channel of the teacher, got {margins!r}') from None
        above = [value for channels in self.margins or () for value in channels if not value <= 0]
        if above:
            raise ValueError(f'margins of OFD are means of negative values and at most 0, got {above[0]}')

    def build(self, student, teacher):
        check_ranks(self, student, teacher)
        channels = [(map_.shape[1], target.shape[1]) for map_, target in paired_maps(student, teacher)]
        widths = [width for _, width in channels]
        if self.margins is not None and [len(margin) for margin in self.margins] != widths:
            raise ValueError(f'OFD got margins for {[len(margin) for margin in self.margins]} channels, but the '
                             f"teacher's maps that it compares have {widths}; give one for each, from shallow to deep")
        self.connectors = nn.ModuleList(
            nn.Sequential(nn.Conv2d(*pair, kernel_size=1, bias=False), BatchNorm(pair[1])) for pair in channels)
        self.estimates = nn.ModuleList(map(_Margin, widths, self.margins or [None] * len(widths)))

    def compare(self, student, teacher, labels, progress):
        total = 0
        with torch.autocast(student['feats'][-1].device.type, enabled=False):
            pairs = paired_maps(student, teacher)
            for (map_, target), connector, margin in zip(pairs, self.connectors, self.estimates, strict=True):
                difference = connector(map_) - torch.maximum(target, margin(target))
                partial = torch.where(target > 0, difference, difference.clamp(min=0))
                total = total / 2 + partial.square().sum() / len(target)
        return total


class _Margin(nn.Module):
    """The mean negative value of every channel over the maps seen in training, or given numbers: (C, 1, 1)."""

    def __init__(self, width, given=None):
        super().__init__()
        self.given = given is not None
        self.register_buffer('mean', torch.tensor(given) if self.given else torch.zeros(width))
        self.register_buffer('count', torch.zeros(width, dtype=torch.int64))

    def forward(self, maps):
        if self.training and not self.given:
            seen = (maps < 0).sum(dim=(0, 2, 3))
            # The sum of what this batch adds to the mean: that of (value - mean) / count.
            excess = maps.clamp(max=0).sum(dim=(0, 2, 3)) - seen * self.mean
            # Sums and counts of all ranks, who then agree: the averaging of buffers would count each rank the same.
            for of_all in (seen, excess):
                all_reduce(of_all)
            self.count += seen
            self.mean += excess / self.count.clamp(min=1)
        return self.mean[:, None, None]


def maps_at(loss, student, teacher):
    """Both sides' map of the loss's ``stage``.

    Raises:
        ValueError: If what is tapped are no maps, or one side has no such stage.
    """
    check_ranks(loss, student, teacher)
    counts = [len(side['feats']) for side in (student, teacher)]
    if any(not -count <= loss.stage < count for count in counts):
        raise TooFewMapsError(
            f'stage {loss.stage} of {type(loss).__name__} is not among the maps, of which the student has {counts[0]} '
            f'and the teacher {counts[1]}; count them from 0, or from -1 at the deepest, or let the backbone put out '
            'more, as with out_indices=(0, 1, 2, 3)')
    return student['feats'][loss.stage], teacher['feats'][loss.stage]


def check_stage(loss, stage):
    """Raise a ``ValueError`` unless a stage is a whole number."""
    if not isinstance(stage, int):
        raise ValueError(f'stage of {type(loss).__name__} is a whole number, got {stage!r}')


def _rectifier(wanted, teacher):
    """A rectifier, or none, as wanted; undecided, one if the teacher's map has no negative value."""
    return [nn.ReLU()] if (not (teacher < 0).any() if wanted is None else wanted) else []
