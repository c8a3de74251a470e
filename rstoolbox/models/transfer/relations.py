"""Losses between the relations of a batch's samples: their distances, angles and similarities.

None of them compares a student's feature with a teacher's, so the two sides may have any widths and sizes.
"""

import math

import torch
import torch.nn.functional as F

from rstoolbox.registry import TRANSFER_LOSSES

from .base import TransferLoss, check_not_negative, check_positive, check_ranks, full_precision, unit_length

# Angles are held for this many triples of samples at a time: 16 MB a tensor in single precision.
TRIPLES_AT_ONCE = 2 ** 22


@TRANSFER_LOSSES.register_module()
class RKD(TransferLoss):
    r"""Relational knowledge distillation: distances of all pairs and angles of all triples are the teacher's.

    Park, Kim, Lu and Cho, "Relational Knowledge Distillation", CVPR 2019. With :math:`\mu` the mean distance of a
    side's pairs and :math:`\ell` the Huber loss (smooth L1),

    - distance: mean of :math:`\ell(\|s_i - s_j\| / \mu_s, \|t_i - t_j\| / \mu_t)` over all (i, j);
    - angle: mean of :math:`\ell(\cos\angle s_j s_i s_k, \cos\angle t_j t_i t_k)` over all (i, j, k).

    Angles follow from the distances by the law of cosines, block by block, so that time and memory do not grow with the
    width of the features and no tensor of B^3 entries is held. Samples at one point have no direction between them:
    their angles count as 0 and give no gradient, where the released code gives one of about 1e10.

    Args:
        distance_weight (float): Factor on the distance term, at least 0.
        angle_weight (float): Factor on the angle term, at least 0.
        loss_weight (float): Factor on the sum.
    """

    needs = ('embedding',)

    def __init__(self, distance_weight=25., angle_weight=50., loss_weight=1.):
        super().__init__(loss_weight)
        check_not_negative(self, distance_weight=distance_weight, angle_weight=angle_weight)
        self.distance_weight, self.angle_weight = distance_weight, angle_weight

    def build(self, student, teacher):
        check_ranks(self, student, teacher)

    def compare(self, student, teacher, labels, progress):
        student, teacher = student['embedding'], teacher['embedding']
        with torch.autocast(student.device.type, enabled=False):
            squared = squared_distances(student), squared_distances(teacher)
            value = self.distance_weight * F.smooth_l1_loss(*(mean_of_one(distances(side)) for side in squared))
            if self.angle_weight:
                value = value + self.angle_weight * angle_loss(*squared, full_precision(student).dtype)
        return value.to(full_precision(student).dtype)


@TRANSFER_LOSSES.register_module()
class PKT(TransferLoss):
    r"""Probabilistic knowledge transfer: each sample's similarities to the batch, as a distribution, are the teacher's.

    Passalis and Tefas, "Learning Deep Representations with Probabilistic Knowledge Transfer", ECCV 2018. With
    :math:`q_{ij} = (1 + \cos(x_i, x_j)) / \sum_k (1 + \cos(x_i, x_k))` on either side, the mean of
    :math:`q^t_{ij} \ln (q^t_{ij} / q^s_{ij})` over all (i, j). The paper sums over pairs and leaves a sample's
    similarity to itself out; the mean, with it, and its weight are those of the code that is commonly compared with.

    Args:
        loss_weight (float): Factor on the loss; the mean over pairs shrinks with the square of the batch.
    """

    needs = ('embedding',)

    def __init__(self, loss_weight=30000.):
        super().__init__(loss_weight)

    def build(self, student, teacher):
        check_ranks(self, student, teacher)

    def compare(self, student, teacher, labels, progress):
        student, teacher = student['embedding'], teacher['embedding']
        with torch.autocast(student.device.type, enabled=False):
            student, teacher = (_shares_of_similarity(full_precision(side)) for side in (student, teacher))
            difference = teacher - student
            # The differences sum to nothing, but with them no term is below 0 (the 1e-7 apart): a small divergence does
            # not drown in the rounding of large terms of either sign. Opposite features have a share of 0.
            return (teacher * torch.log1p(difference / (student + 1e-7)) - difference).mean()


@TRANSFER_LOSSES.register_module()
class SP(TransferLoss):
    r"""Similarity-preserving distillation: samples that excite the teacher alike do so in the student.

    Tung and Mori, "Similarity-Preserving Knowledge Distillation", ICCV 2019. With :math:`G` (B, B) the matrix of scalar
    products of a side's last maps, each row divided by its length: :math:`\|G_s - G_t\|_F^2 / B^2`.

    Args:
        loss_weight (float): Factor on the loss; the default is the paper's.
    """

    needs = ('feats',)

    def __init__(self, loss_weight=3000.):
        super().__init__(loss_weight)

    def build(self, student, teacher):
        check_ranks(self, student, teacher)

    def compare(self, student, teacher, labels, progress):
        student, teacher = (full_precision(side['feats'][-1]).flatten(1) for side in (student, teacher))
        with torch.autocast(student.device.type, enabled=False):
            return F.mse_loss(unit_length(student @ student.T), unit_length(teacher @ teacher.T))


@TRANSFER_LOSSES.register_module()
class CC(TransferLoss):
    r"""Correlation congruence: the batch's kernel matrix of the student is the teacher's.

    Peng et al., "Correlation Congruence for Knowledge Distillation", ICCV 2019. The kernel is a Gaussian between
    features of unit length, :math:`\exp(-\gamma \|x - y\|^2)`, as its Taylor polynomial
    :math:`e^{-2\gamma} \sum_{p=0}^{P} \frac{(2\gamma)^p}{p!} (x \cdot y)^p`; the loss is the mean squared difference of
    the two matrices. This is CC alone: the paper adds :class:`KD`. What some collections call CC, a product of the
    differences of samples that are neighbours in the batch, depends on the batch's order and is not this loss. Kernel
    matrices are of one size whatever the widths, so the learned maps to 128 features are left out that such code has.

    Args:
        gamma (float): Sharpness of the kernel, above 0.
        order (int): Degree P of the polynomial, at least 1; the paper finds 2 to be best.
        loss_weight (float): Factor on the loss.
    """

    needs = ('embedding',)

    def __init__(self, gamma=0.4, order=2, loss_weight=1.):
        super().__init__(loss_weight)
        check_positive(self, gamma=gamma)
        if not isinstance(order, int) or order < 1:
            raise ValueError(f'order of CC is a whole number of at least 1, got {order!r}')
        self.coefficients = [math.exp(-2 * gamma) * (2 * gamma) ** p / math.factorial(p) for p in range(order + 1)]

    def build(self, student, teacher):
        check_ranks(self, student, teacher)

    def compare(self, student, teacher, labels, progress):
        student, teacher = full_precision(student['embedding']), full_precision(teacher['embedding'])
        with torch.autocast(student.device.type, enabled=False):
            return F.mse_loss(self._kernel(student), self._kernel(teacher))

    def _kernel(self, features):
        features = unit_length(features)
        cosine = features @ features.T
        return sum(coefficient * cosine ** p for p, coefficient in enumerate(self.coefficients))


def squared_distances(x, y=None):
    """Squared Euclidean distances of the rows of two matrices, or of one to itself, in double precision.

    As ``|x|^2 + |y|^2 - 2 xy``, which costs the least; what it loses where points are close is double precision's.

    Args:
        x (Tensor): (B, D).
        y (Tensor, optional): (M, D). Default: x.

    Returns:
        Tensor: (B, M) in float64, at least 0; the diagonal of a matrix to itself is exactly 0.
    """
    x = x.double()
    if y is None:
        # Distances do not change with the origin, rounding does.
        x = x - x.mean(dim=0)
        products = x @ x.T
        rows = columns = products.diagonal()
    else:
        y = y.double()
        products, rows, columns = x @ y.T, x.square().sum(dim=1), y.square().sum(dim=1)
    return (rows[:, None] + columns - 2 * products).clamp(min=0)


def distances(squared):
    """The roots of squared distances (B, B) of samples to themselves; at least 1e-6 except on the diagonal, 0 there."""
    same = torch.eye(len(squared), dtype=torch.bool, device=squared.device)
    # A root has no gradient at 0.
    return squared.clamp(min=1e-12).sqrt().masked_fill(same, 0)


def mean_of_one(values):
    """Distances (B, B) in units of their mean over all pairs of two samples; zeros for a single sample."""
    pairs = max(len(values) * (len(values) - 1), 1)
    return values / (values.sum() / pairs).clamp(min=torch.finfo(values.dtype).tiny)


def angle_loss(student_squared, teacher_squared, dtype):
    """Mean Huber difference of the cosines of all angles (B, B, B), from squared distances (B, B) of either side.

    Args:
        student_squared (Tensor): (B, B).
        teacher_squared (Tensor): (B, B).
        dtype (torch.dtype): In which the cosines are held.
    """
    # Angles do not change with the scale, and single precision's range is not that of double.
    student, teacher = ((squared / squared.detach().amax().clamp(min=torch.finfo(squared.dtype).tiny)).to(dtype)
                        for squared in (student_squared, teacher_squared))
    return _SummedAngleLoss.apply(student, teacher) / len(student) ** 3


class _SummedAngleLoss(torch.autograd.Function):
    """The sum over triples and its gradient, block by block: autograd would keep every block or compute it twice."""

    @staticmethod
    def forward(ctx, student, teacher):
        total, gradient = student.new_zeros(()), torch.zeros_like(student)
        step = max(TRIPLES_AT_ONCE // len(student) ** 2, 1)
        for anchors in (slice(start, start + step) for start in range(0, len(student), step)):
            cosines, inverse = _cosines(student, anchors)
            difference = cosines - _cosines(teacher, anchors)[0]
            slope = difference.clamp(-1, 1)
            total += (slope * (difference - 0.5 * slope)).sum()
            # d cos_jk / d d_jk^2 = -w and d cos_jk / d d_ij^2 = w - cos_jk / (2 d_ij^2) with w = 1 / (2 d_ij d_ik); an
            # anchor's matrix is symmetric in j and k, and so each d_ij^2 counts twice.
            slope_cosines = (slope * cosines).sum(dim=2)
            weighted = slope.mul_(0.5 * inverse[:, :, None]).mul_(inverse[:, None, :])
            gradient -= weighted.sum(dim=0)
            gradient[anchors] += 2 * weighted.sum(dim=2) - inverse.square() * slope_cosines
        ctx.save_for_backward(gradient)
        return total

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, upstream):
        return upstream * ctx.saved_tensors[0], None


def _cosines(squared, anchors):
    """Cosines (b, B, B) of the angles at some anchors and their inverse distances (b, B) to all.

    ``(d_ij^2 + d_ik^2 - d_jk^2) / (2 d_ij d_ik)``, from squared distances (B, B) of which the largest is 1.
    """
    to_others = squared[anchors]
    # Closer pairs have a direction of rounding errors in single precision.
    inverse = to_others.masked_fill(to_others <= 1e-10, torch.inf).rsqrt()
    cosines = to_others[:, :, None] + to_others[:, None, :]
    return cosines.sub_(squared).mul_(0.5 * inverse[:, :, None]).mul_(inverse[:, None, :]), inverse


def _shares_of_similarity(features):
    features = unit_length(features)
    similarity = (features @ features.T + 1) / 2
    return similarity / similarity.sum(dim=1, keepdim=True)
