"""Distillation between modalities of those samples alone on which both sides agree: C2KD."""

import torch

from rstoolbox.registry import TRANSFER_LOSSES

from .base import (
    TransferLoss,
    check_positive,
    check_same_classes,
    divergence,
    full_precision,
    is_number,
    target_classes,
)
from .decoupled import split_target

# Pairs of classes compared at once: 4 MiB for each side, which a processor's cache holds.
PAIRS_AT_ONCE = 2 ** 20


@TRANSFER_LOSSES.register_module()
class C2KD(TransferLoss):
    r"""Cross-modal distillation of the non-target classes where both sides rank the classes alike.

    Huo, Xu, Guo, Wang and Guo, "C2KD: Bridging the Modality Gap for Cross-Modal Knowledge Distillation", CVPR 2024.
    From it come the selection of samples in every batch (on-the-fly selection distillation), by Kendall's rank
    correlation of both sides' scores over all classes, and the loss over the classes other than the label y:

    .. math:: \frac{\tau^2}{B} \sum_{i:\, \tau_b(z_s^i, z_t^i) > \text{threshold}} \mathrm{KL}(\hat p_t^i \,\|\, \hat
              p_s^i), \quad \hat p(c) = \mathrm{softmax}_{c \ne y}(z / \tau).

    A sample whose ranking disagrees adds nothing and still counts in B. Not from it: there the teacher is trained
    along, and proxy heads of both sides, each tied to its own network in both directions, stand between teacher and
    student. A teacher here is frozen, so the networks' own logits are compared, in one direction. The published code
    sets the label's logit to 0, which leaves it in the distribution; here it is left out.

    Logits are those of softmax heads. For multi-label (sigmoid) logits the selection holds as it is, the loss over
    the other classes would be a sum of binary divergences.

    Args:
        threshold (float): Kendall's tau-b, from -1 to 1, above which a sample is distilled. A side whose scores are all
            equal ranks nothing, its correlation counts as 0.
        tau (float): Temperature, above 0.
        loss_weight (float): Factor on the loss.
    """

    needs = ('logits',)

    def __init__(self, threshold=0., tau=1., loss_weight=1.):
        super().__init__(loss_weight)
        if not (is_number(threshold) and -1 <= threshold <= 1):
            raise ValueError(f'threshold of C2KD is a rank correlation from -1 to 1, got {threshold!r}')
        check_positive(self, tau=tau)
        self.threshold = threshold
        self.tau = tau

    def build(self, student, teacher):
        # With two classes a single one is left beside the label, and its share is 1 on both sides.
        check_same_classes(self, student, teacher, least=3)

    def compare(self, student, teacher, labels, progress):
        target = target_classes(self, labels, student['logits'])
        student, teacher = full_precision(student['logits']), full_precision(teacher['logits'])
        chosen = rank_correlation(student.detach(), teacher) > self.threshold
        student_rest, teacher_rest = (split_target(side / self.tau, target)[1].log_softmax(dim=1)
                                      for side in (student, teacher))
        return self.tau ** 2 * (chosen * divergence(student_rest, teacher_rest)).mean()


def rank_correlation(first, second):
    """Kendall's tau-b between the rows of two matrices (B, C), shape (B,); 0 where a row is constant.

    Time grows with B C^2; memory does not, as rows are taken block by block.
    """
    rows = max(PAIRS_AT_ONCE // first.shape[1] ** 2, 1)
    # Autocast would count in half precision.
    with torch.autocast(first.device.type, enabled=False):
        return torch.cat([_block(*blocks) for blocks in zip(first.split(rows), second.split(rows))])


def _block(first, second):
    first, second = ((side[:, :, None] - side[:, None, :]).sign_().flatten(1) for side in (first, second))
    # Squared signs count the pairs that are no tie; without one the concordance is 0.
    pairs = torch.linalg.vecdot(first, first) * torch.linalg.vecdot(second, second)
    return torch.linalg.vecdot(first, second) / pairs.sqrt().clamp_(min=1)
