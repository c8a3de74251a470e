"""Distillation of classes one by one, for teachers of several labels: BinaryKD."""

import torch.nn.functional as F

from rstoolbox.registry import TRANSFER_LOSSES

from .base import TransferLoss, check_positive, check_same_classes, full_precision


@TRANSFER_LOSSES.register_module()
class BinaryKD(TransferLoss):
    r"""Is this class present? The student's answer for every class is drawn to the teacher's.

    The logit part (MLD) of Yang, Xie, Zong, Feng, Niu, Sugiyama and Huang, "Multi-Label Knowledge Distillation", ICCV
    2023, with a temperature. With :math:`\sigma` the sigmoid,

    .. math:: \frac{\tau^2}{B} \sum_{b, c} \mathrm{KL}\big(\mathrm{Bernoulli}(\sigma(z_t / \tau)) \,\|\,
              \mathrm{Bernoulli}(\sigma(z_s / \tau))\big).

    **A student of a single label** (softmax head) may learn from a teacher of several this way. Let classes be present
    independently with the odds :math:`e^{z_c}`, as a sigmoid head has it. That c is present and no other has the
    probability :math:`\sigma(z_c) \prod_{k \ne c} (1 - \sigma(z_k)) = e^{z_c} \prod_k (1 - \sigma(z_k))`, hence

    .. math:: p(c \mid \text{exactly one class is present}) = \mathrm{softmax}(z)_c.

    So the student's softmax answers "which, if it is one?" and its sigmoids "which are there?" with the same logits:
    the task loss trains the former on the label, this loss the latter on the teacher, and the level of the logits,
    which a softmax leaves open, is set by it. A softmax over the teacher's logits, as in :class:`KD`, would instead
    condition the teacher on an event that it may hold impossible: where it is sure of three classes (logits 9, 7, 6:
    all above 0.997) it would pass on 0.84, 0.11 and 0.04.

    Logarithms are log-sigmoids. The published code clamps probabilities to 1e-8, where the gradient ends: a student
    that is wrong and sure learns nothing.

    Args:
        tau (float): Temperature, above 0. Published: 1.
        loss_weight (float): Factor on the loss.
    """

    needs = ('logits',)
    multi_label = True

    def __init__(self, tau=1., loss_weight=1.):
        super().__init__(loss_weight)
        check_positive(self, tau=tau)
        self.tau = tau

    def build(self, student, teacher):
        check_same_classes(self, student, teacher)

    def compare(self, student, teacher, labels, progress):
        student, teacher = (full_precision(side['logits']) / self.tau for side in (student, teacher))
        target = teacher.sigmoid()
        # From logits it is finite where a probability is 0 or 1; less the target's own, it is a divergence.
        of_student, of_teacher = (F.binary_cross_entropy_with_logits(side, target, reduction='none')
                                  for side in (student, teacher))
        return self.tau ** 2 / len(target) * (of_student - of_teacher).sum()
