"""Relations of samples on surfaces of three curvatures, within the student and between both networks."""

from functools import partial

import torch
import torch.nn.functional as F
from torch import nn

from rstoolbox.registry import TRANSFER_LOSSES

from .base import TransferLoss, check_not_negative, check_positive, check_ranks, full_precision, unit_length
from .relations import angle_loss, distances, mean_of_one, squared_distances


@TRANSFER_LOSSES.register_module()
class DistilVPR(TransferLoss):
    r"""Relations of samples in Euclidean, spherical and hyperbolic geometry, within and across the two networks.

    Wang et al., "DistilVPR: Cross-Modal Knowledge Distillation for Visual Place Recognition", AAAI 2024. The sum of

    - ``relation_weight`` times the distance and the angle term of :class:`RKD`, unweighted, and its distance term with
      geodesic distances;
    - for Euclidean distance, cosine and geodesic distance of features of unit length, each times its weight,
      :math:`\mathrm{MSE}(M_{ss}, M_{st}) + \mathrm{MSE}(M_{st}, M_{tt})`, where :math:`M_{ss}`, :math:`M_{st}` and
      :math:`M_{tt}` (B, B) hold the relation of student to student, student to teacher and teacher to teacher. In the
      first :math:`M_{st}` counts as a constant.

    Geodesics are those of the Poincare ball of curvature -c, where a feature is
    :math:`\tanh(\sqrt c \|x\|) / \sqrt c` from the origin:
    :math:`d(x, y) = \frac{2}{\sqrt c} \mathrm{artanh}(\sqrt c \, \|(-x) \oplus y\|)`.

    Where the widths differ a learned linear map brings the student to the teacher's for the second group; the first
    needs none. The mean distance of the geodesic term is taken over pairs of two samples: the released code counts a
    sample's distance to itself, or does not, as rounding has it.

    Args:
        relation_weight (float): Factor on the three terms of the first group, at least 0.
        distance_weight (float): Factor on the Euclidean part of the second group, at least 0.
        cosine_weight (float): Factor on its spherical part, at least 0.
        geodesic_weight (float): Factor on its hyperbolic part, at least 0.
        curvature (float): c, above 0. Features much longer than 1 / sqrt(c) all lie at the rim of the ball.
        loss_weight (float): Factor on the sum.
    """

    needs = ('embedding',)

    def __init__(self, relation_weight=10., distance_weight=0.1, cosine_weight=0.1, geodesic_weight=0.1, curvature=0.1,
                 loss_weight=1.):
        super().__init__(loss_weight)
        check_not_negative(self, relation_weight=relation_weight, distance_weight=distance_weight,
                           cosine_weight=cosine_weight, geodesic_weight=geodesic_weight)
        check_positive(self, curvature=curvature)
        self.relation_weight = relation_weight
        self.geodesic = partial(geodesic_distances, curvature=curvature)
        agents = (distance_weight, euclidean), (cosine_weight, cosine), (geodesic_weight, self.geodesic)
        self.agents = [(weight, relation) for weight, relation in agents if weight]

    def build(self, student, teacher):
        check_ranks(self, student, teacher)
        student_width, teacher_width = student['embedding'].shape[1], teacher['embedding'].shape[1]
        # A map that no term uses would have no gradient, which distributed training takes for an error.
        needed = self.agents and student_width != teacher_width
        self.projection = nn.Linear(student_width, teacher_width) if needed else nn.Identity()

    def compare(self, student, teacher, labels, progress):
        student, teacher = full_precision(student['embedding']), full_precision(teacher['embedding'])
        with torch.autocast(student.device.type, enabled=False):
            value = student.new_zeros((), dtype=torch.float64)
            if self.relation_weight:
                value = value + self.relation_weight * self._relational_loss(student, teacher)
            unit_student, unit_teacher = (unit_length(side.double()) for side in (self.projection(student), teacher))
            for weight, relation in self.agents:
                value = value + weight * _agents_loss(relation, unit_student, unit_teacher)
        return value.to(student.dtype)

    def _relational_loss(self, student, teacher):
        squared = squared_distances(student), squared_distances(teacher)
        geodesic = self.geodesic(student.double()), self.geodesic(teacher.double())
        return (F.smooth_l1_loss(*(mean_of_one(distances(side)) for side in squared))
                + F.smooth_l1_loss(*map(mean_of_one, geodesic)) + angle_loss(*squared, student.dtype))


def _agents_loss(relation, student, teacher):
    across = relation(student, teacher)
    return F.mse_loss(relation(student), across.detach()) + F.mse_loss(across, relation(teacher))


def euclidean(x, y=None):
    """Distances (B, M) of the rows of two matrices, or of one to itself."""
    return distances(squared_distances(x)) if y is None else squared_distances(x, y).clamp(min=1e-12).sqrt()


def cosine(x, y=None):
    """Cosines (B, M) of the rows, of unit length, of two matrices, or of one to itself."""
    return x @ (x if y is None else y).T


def geodesic_distances(x, y=None, curvature=0.1):
    r"""Distances in the Poincare ball of the rows of two matrices, or of one to itself.

    With :math:`m = 1 - 2c \langle x, y \rangle + c^2 \|x\|^2 \|y\|^2` the length of the Moebius sum is
    :math:`\|(-x) \oplus y\| = \|x - y\| / \sqrt m`, here with the margins of the published code.

    Args:
        x (Tensor): (B, D) in double precision: distances near the rim are of numbers that are almost equal.
        y (Tensor, optional): (M, D). Default: x.
        curvature (float): c, above 0; the ball has curvature -c and radius 1 / sqrt(c).

    Returns:
        Tensor: (B, M), at least 0.
    """
    root = curvature ** 0.5
    x, y = _in_ball(x, root), None if y is None else _in_ball(y, root)
    straight = euclidean(x, y)
    y = x if y is None else y
    lengths = x.square().sum(dim=1)[:, None] * y.square().sum(dim=1)
    denominator = (1 - 2 * curvature * (x @ y.T) + curvature ** 2 * lengths).clamp(min=1e-12)
    moebius = straight * denominator.sqrt() / (denominator + 1e-5)
    return 2 / root * (root * moebius).clamp(max=1 - 1e-5).atanh()


def _in_ball(x, root):
    """The points of the ball that the exponential map at its centre makes of tangent vectors, short of the rim."""
    length = torch.linalg.vector_norm(x, dim=1, keepdim=True)
    return unit_length(x) * ((root * length).tanh().clamp(max=1 - 1e-3) / root)
