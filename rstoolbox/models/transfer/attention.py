"""Losses between what maps attend to: the places, the channels' patterns and the main directions of both sides.

None of them has trainable parts; the two sides may have any numbers of channels and, as the larger map is
average-pooled to the smaller, any sizes. Maps are paired from the deepest on, as many as both sides have.
"""

import torch
import torch.nn.functional as F

from rstoolbox.registry import TRANSFER_LOSSES

from .base import (
    TooFewMapsError,
    TransferLoss,
    check_places,
    check_ranks,
    full_precision,
    paired_maps,
    unit_length,
)

# Of a student's singular vectors this many may stand for the teacher's first.
CANDIDATES = 4
# Squared singular values that are nearer than this share of the largest count as one: their vectors may turn freely.
SAME_VALUE = 1e-6


@TRANSFER_LOSSES.register_module()
class AT(TransferLoss):
    r"""Attention transfer: the student attends to the places that the teacher attends to.

    Zagoruyko and Komodakis, "Paying More Attention to Attention: Improving the Performance of Convolutional Neural
    Networks via Attention Transfer", ICLR 2017. With :math:`q` (B, HW) the mean square of a map's channels at every
    place, each sample's brought to length 1, the sum over pairs of maps of the mean of :math:`(q_s - q_t)^2`. A map of
    zeros attends nowhere: its q is 0.

    Args:
        loss_weight (float): Factor on the sum; the default is that of the paper's code.
    """

    needs = ('feats',)

    def __init__(self, loss_weight=1000.):
        super().__init__(loss_weight)

    def build(self, student, teacher):
        check_ranks(self, student, teacher)
        check_places(self, paired_maps(student, teacher))

    def compare(self, student, teacher, labels, progress):
        with torch.autocast(student['feats'][-1].device.type, enabled=False):
            return sum(F.mse_loss(*(unit_length(map_.square().mean(dim=1).flatten(1)) for map_ in pair))
                       for pair in paired_maps(student, teacher))


@TRANSFER_LOSSES.register_module()
class NST(TransferLoss):
    r"""Neuron selectivity transfer: the student's channels answer to patterns as the teacher's do, as a population.

    Huang and Wang, "Like What You Like: Knowledge Distill via Neuron Selectivity Transfer", 2017. A channel's pattern
    is its map, flattened and brought to length 1. The patterns of a sample, x of the student and y of the teacher, are
    compared by the squared maximum mean discrepancy of the kernel :math:`k(x, y) = (x \cdot y)^2`: mean of
    :math:`k(x, x')` plus mean of :math:`k(y, y')` minus twice the mean of :math:`k(x, y)`; then the mean over the batch
    and the sum over pairs of maps.

    With X (C, HW) the patterns of a side this is :math:`\|X_s^T X_s / C_s - X_t^T X_t / C_t\|_F^2`. Whichever form has
    the smaller matrices is taken, and they never outgrow the maps.

    Args:
        loss_weight (float): Factor on the sum; the default is that of the code that is commonly compared with.
    """

    needs = ('feats',)

    def __init__(self, loss_weight=50.):
        super().__init__(loss_weight)

    def build(self, student, teacher):
        check_ranks(self, student, teacher)
        check_places(self, paired_maps(student, teacher))

    def compare(self, student, teacher, labels, progress):
        with torch.autocast(student['feats'][-1].device.type, enabled=False):
            return sum(mean_discrepancy(*(unit_length(map_.flatten(2), dim=2) for map_ in pair))
                       for pair in paired_maps(student, teacher))


@TRANSFER_LOSSES.register_module()
class KDSVD(TransferLoss):
    r"""Distillation by singular vectors: how a map's main direction turns from stage to stage is the teacher's.

    Lee, Kim and Song, "Self-supervised Knowledge Distillation Using Singular Value Decomposition", ECCV 2018. With
    :math:`t_i` the first right singular vector of the teacher's i-th map as a matrix (C H, W), and :math:`s_i` that of
    the student's first four which is nearest to it in angle, turned to its side, the sum over the second map and on of

    .. math:: \sum_{a, b} \left( e^{-(s_i[a] - s_{i-1}[b])^2 / 8} - e^{-(t_i[a] - t_{i-1}[b])^2 / 8} \right)^2,

    mean over the batch. A singular vector's sign is arbitrary and decides on the value; here the teacher's have a sum
    of at least 0, so that the value does not depend on the machine. Nor does a vector get an endless gradient where two
    singular values meet: what turns freely there gets none.

    The paper takes maps as (H W, C), which ties both sides to one number of channels. As (C H, W), the form of the code
    that is commonly compared with, a vector describes the columns of the image, summed over rows and channels.

    Args:
        loss_weight (float): Factor on the sum.
    """

    needs = ('feats',)

    def build(self, student, teacher):
        check_ranks(self, student, teacher)
        fewest = min(len(student['feats']), len(teacher['feats']))
        if fewest < 2:
            raise TooFewMapsError('KDSVD follows maps from stage to stage and needs at least two of both sides, '
                                  f'got {len(student["feats"])} of the student and {len(teacher["feats"])} of the '
                                  'teacher; let the backbone put out more, as with out_indices=(0, 1, 2, 3)')

    def compare(self, student, teacher, labels, progress):
        total, previous = 0, None
        with torch.autocast(student['feats'][-1].device.type, enabled=False):
            for student_map, teacher_map in paired_maps(student, teacher):
                target = right_vectors(teacher_map, 1)
                target = target * _sign(target.sum(dim=1, keepdim=True))
                vectors = nearest(right_vectors(student_map, CANDIDATES), target), target
                if previous is not None:
                    kernels = [(-(now - before.mT).square() / 8).exp() for now, before in zip(vectors, previous)]
                    total = total + (kernels[0] - kernels[1]).square().sum() / len(student_map)
                previous = vectors
        return total.to(full_precision(student['feats'][-1]).dtype)


def mean_discrepancy(x, y):
    """Mean over the batch of the squared maximum mean discrepancy of two populations, with the kernel (x . y)^2.

    Args:
        x (Tensor): (B, M, D), M members of length 1 in each sample.
        y (Tensor): (B, N, D).
    """
    if x.shape[2] <= max(x.shape[1], y.shape[1]):
        x, y = (side.mT @ side / side.shape[1] for side in (x, y))
        return (x - y).square().sum() / len(x)
    return (x @ x.mT).square().mean() + (y @ y.mT).square().mean() - 2 * (x @ y.mT).square().mean()


def right_vectors(maps, most):
    """The first right singular vectors of maps (B, C, H, W) as matrices (C H, W): (B, W, n), n at most ``most``.

    In double precision; their first derivatives are exact but for those between vectors of one singular value, which
    are left out. There are no second derivatives.
    """
    matrices = maps.flatten(1, 2)
    gram = (matrices.mT @ matrices).double()
    constant = gram.detach()
    # A map that is not finite makes the loss so, not the decomposition fail.
    values, vectors = torch.linalg.eigh(constant.nan_to_num(0, 0, 0))
    found = vectors.flip(2)[:, :, :min(most, *matrices.shape[1:])]
    gaps = values.flip(1)[:, None, :found.shape[2]] - values[:, :, None]
    distinct = gaps.abs() > SAME_VALUE * values[:, -1, None, None]
    turns = vectors.mT @ (gram - constant) @ found
    return found + vectors @ (turns * distinct / gaps.masked_fill(~distinct, 1))


def nearest(vectors, target):
    """Of vectors (B, W, n) the one that is nearest in angle to ``target`` (B, W, 1), and on its side."""
    cosines = vectors.detach().mT @ target
    chosen = cosines.abs().argmax(dim=1, keepdim=True)
    return vectors.take_along_dim(chosen, dim=2) * _sign(cosines.take_along_dim(chosen, dim=1))


def _sign(values):
    return torch.where(values < 0, -1., 1.).to(values.dtype)
