"""Losses that tell a sample's own class from the others: DKD, NKD and WSLD.

All three read logits as those of a softmax head and take one label for each sample. For multi-label (sigmoid) logits
"the own class against the rest" is what every class is anyway; see :class:`BinaryKD`.
"""

import torch
import torch.nn.functional as F

from rstoolbox.registry import TRANSFER_LOSSES

from .base import (
    TransferLoss,
    check_not_negative,
    check_positive,
    check_same_classes,
    check_share,
    divergence,
    full_precision,
    risen,
    target_classes,
)


@TRANSFER_LOSSES.register_module()
class DKD(TransferLoss):
    r"""Decoupled knowledge distillation: the own class against the rest, and the rest among themselves.

    Zhao, Cui, Song, Qiu and Liang, "Decoupled Knowledge Distillation", CVPR 2022. With the distributions at
    temperature :math:`\tau`, :math:`b = (p_y, 1 - p_y)` and :math:`\hat p` over the classes other than the label y,

    .. math:: \tau^2 \left[ \alpha \, \mathrm{KL}(b_t \,\|\, b_s)
              + \beta \, \mathrm{KL}(\hat p_t \,\|\, \hat p_s) \right], \quad \text{mean over the batch.}

    The label is left out of :math:`\hat p` exactly and all sums are log-sum-exp. The published code subtracts 1000 from
    its logit and takes logarithms of summed probabilities, which goes wrong or infinite for very large logits.

    Args:
        alpha (float): Weight of the first part, at least 0.
        beta (float): Weight of the second part, at least 0.
        tau (float): Temperature, above 0.
        warmup (float): Share of the training, from 0 to 1, over which the loss rises linearly from 0. The default is
            the published 20 of 240 epochs.
        loss_weight (float): Factor on the loss.
    """

    needs = ('logits',)

    def __init__(self, alpha=1., beta=8., tau=4., warmup=20 / 240, loss_weight=1.):
        super().__init__(loss_weight)
        check_not_negative(self, alpha=alpha, beta=beta)
        check_positive(self, tau=tau)
        check_share(self, warmup=warmup)
        self.alpha = alpha
        self.beta = beta
        self.tau = tau
        self.warmup = warmup

    def build(self, student, teacher):
        check_same_classes(self, student, teacher, least=2)

    def compare(self, student, teacher, labels, progress):
        target = target_classes(self, labels, student['logits'])
        student_own, student_rest = split_target(full_precision(student['logits']) / self.tau, target)
        teacher_own, teacher_rest = split_target(full_precision(teacher['logits']) / self.tau, target)
        own = divergence(_against_rest(student_own, student_rest), _against_rest(teacher_own, teacher_rest))
        rest = divergence(student_rest.log_softmax(dim=1), teacher_rest.log_softmax(dim=1))
        return risen(progress, self.warmup) * self.tau ** 2 * (self.alpha * own + self.beta * rest).mean()


@TRANSFER_LOSSES.register_module()
class NKD(TransferLoss):
    r"""Normalised knowledge distillation: the teacher weighs the label's cross entropy; the other classes are matched.

    Yang, Zeng, Li, Zhang, Yuan and Li, "From Knowledge Distillation to Self-Knowledge Distillation: A Unified Approach
    with Normalized Loss and Customized Soft Labels", ICCV 2023. With p at temperature 1 and :math:`\hat p` over the
    classes other than the label y at temperature :math:`\tau`,

    .. math:: -p_t(y) \ln p_s(y) - \gamma \, \tau^2 \sum_{c \ne y} \hat p_t(c) \ln \hat p_s(c),
              \quad \text{mean over the batch.}

    Cross entropies, as published: the value does not vanish for equal logits, and its first part draws the student to
    the label however sure the teacher is.

    Args:
        gamma (float): Weight of the second part, at least 0.
        tau (float): Temperature of the second part, above 0.
        loss_weight (float): Factor on the loss.
    """

    needs = ('logits',)

    def __init__(self, gamma=1.5, tau=1., loss_weight=1.):
        super().__init__(loss_weight)
        check_not_negative(self, gamma=gamma)
        check_positive(self, tau=tau)
        self.gamma = gamma
        self.tau = tau

    def build(self, student, teacher):
        check_same_classes(self, student, teacher, least=2)

    def compare(self, student, teacher, labels, progress):
        target = target_classes(self, labels, student['logits'])
        student, teacher = full_precision(student['logits']), full_precision(teacher['logits'])
        own = cross_entropy_of(teacher, target).neg().exp() * cross_entropy_of(student, target)
        student_rest, teacher_rest = split_target(student, target)[1], split_target(teacher, target)[1]
        rest = F.cross_entropy(student_rest / self.tau, (teacher_rest / self.tau).softmax(dim=1))
        return own.mean() + self.gamma * self.tau ** 2 * rest


@TRANSFER_LOSSES.register_module()
class WSLD(TransferLoss):
    r"""Weighted soft labels: distillation counts most where the student is worse on the label than the teacher.

    Zhou, Song, Chen, Zhou, Wang, Yuan and Zhang, "Rethinking Soft Labels for Knowledge Distillation: A Bias-Variance
    Tradeoff Perspective", ICLR 2021. With the cross entropies :math:`L_s, L_t` of the label at temperature 1 and p at
    temperature :math:`\tau`,

    .. math:: -\tau^2 \left(1 - e^{-L_s / L_t}\right) \sum_c p_t(c) \ln p_s(c), \quad \text{mean over the batch.}

    The weight is a constant for the gradient, as published: the student is not to grow worse on the label in order to
    be weighed less.

    Args:
        tau (float): Temperature, above 0.
        loss_weight (float): Factor on the loss; the default is that of the publication, on ImageNet.
    """

    needs = ('logits',)

    def __init__(self, tau=2., loss_weight=2.5):
        super().__init__(loss_weight)
        check_positive(self, tau=tau)
        self.tau = tau

    def build(self, student, teacher):
        check_same_classes(self, student, teacher)

    def compare(self, student, teacher, labels, progress):
        target = target_classes(self, labels, student['logits'])
        student, teacher = full_precision(student['logits']), full_precision(teacher['logits'])
        with torch.no_grad():
            # The floor is the published one; a teacher without error weighs every error of the student fully.
            ratio = cross_entropy_of(student, target) / (cross_entropy_of(teacher, target) + 1e-7)
            soft, weight = (teacher / self.tau).softmax(dim=1), torch.expm1(-ratio)
        cross_entropy = (soft * (student / self.tau).log_softmax(dim=1)).sum(dim=1)
        # By torch.dot: autocast would take the operator @ in half precision.
        return self.tau ** 2 / len(target) * torch.dot(cross_entropy, weight)


def cross_entropy_of(logits, target):
    """Cross entropy of every sample, (B,)."""
    return F.cross_entropy(logits, target, reduction='none')


def split_target(logits, target):
    """The logit of each sample's class, (B, 1), and those of the other classes in their order, (B, C - 1)."""
    target = target[:, None]
    others = torch.arange(logits.shape[1] - 1, device=logits.device)
    return logits.gather(1, target), logits.gather(1, others + (others >= target))


def _against_rest(own, rest):
    """Logarithms of the probabilities of the own class and of all others together, (B, 2)."""
    return torch.cat((own, rest.logsumexp(dim=1, keepdim=True)), dim=1).log_softmax(dim=1)
