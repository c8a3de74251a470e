"""Losses between the class scores of both sides."""

import torch.nn.functional as F

from rstoolbox.registry import TRANSFER_LOSSES

from .base import TransferLoss, check_positive, check_same_classes, full_precision


@TRANSFER_LOSSES.register_module()
class KD(TransferLoss):
    r"""Knowledge distillation: the student's softened class distribution is drawn to the teacher's.

    Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network", 2015:
    :math:`\tau^2 \, \mathrm{KL}(\mathrm{softmax}(z_t / \tau) \,\|\, \mathrm{softmax}(z_s / \tau))`, mean over batch.

    Both sides' logits are read as softmax logits. Those of a multi-label teacher (trained with a sigmoid per class)
    are not, and mean something else here: :class:`BinaryKD` distils them.

    Args:
        tau (float): Temperature, above 0; higher spreads the teacher's mass over more classes.
        scale_by_tau (bool): Multiply by tau^2, which keeps the size of the gradient the same at any temperature.
        loss_weight (float): Factor on the loss.
    """

    needs = ('logits',)

    def __init__(self, tau=4., scale_by_tau=True, loss_weight=1.):
        super().__init__(loss_weight)
        check_positive(self, tau=tau)
        self.tau = tau
        self.scale = tau ** 2 if scale_by_tau else 1.

    def build(self, student, teacher):
        check_same_classes(self, student, teacher)

    def compare(self, student, teacher, labels, progress):
        return self.scale * softened_divergence(student, teacher, self.tau)


@TRANSFER_LOSSES.register_module()
class LogitsMSE(TransferLoss):
    """Mean squared difference of the logits, over batch and classes.

    Ba and Caruana, "Do Deep Nets Really Need to be Deep?", 2014. Unlike :class:`KD` it does compare the logits of a
    multi-label teacher class by class. The publication takes half the sum over classes, which is C / 2 times as much.

    Args:
        loss_weight (float): Factor on the loss.
    """

    needs = ('logits',)
    multi_label = True

    def build(self, student, teacher):
        check_same_classes(self, student, teacher)

    def compare(self, student, teacher, labels, progress):
        return F.mse_loss(full_precision(student['logits']), full_precision(teacher['logits']))


def softened_divergence(student, teacher, tau):
    """Mean over the batch of KL(teacher || student) between the softmax distributions at temperature ``tau``."""
    student_log, teacher_log = (F.log_softmax(full_precision(side['logits']) / tau, dim=1)
                                for side in (student, teacher))
    return F.kl_div(student_log, teacher_log, reduction='batchmean', log_target=True)
