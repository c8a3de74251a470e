"""Losses that also compare class scores across the batch: DIST and MLKD.

Both take a batch as a whole: batches drawn in another way give other values, and several processes compare within
their own part. Logits are read as those of softmax heads; multi-label (sigmoid) logits would need the probabilities of
each class by itself in place of the softmax.
"""

import torch

from rstoolbox.registry import TRANSFER_LOSSES

from .base import TransferLoss, check_not_negative, check_positive, check_same_classes, divergence, full_precision


@TRANSFER_LOSSES.register_module()
class DIST(TransferLoss):
    r"""Correlation in place of equality: of a sample's classes, and of a class over the samples.

    Huang, You, Wang, Qian and Xu, "Knowledge Distillation from A Stronger Teacher", NeurIPS 2022. With the
    probabilities P (B, C) at temperature :math:`\tau` and Pearson's correlation :math:`\rho`,

    .. math:: \tau^2 \left[ \beta \left(1 - \tfrac1B \sum_i \rho(P_s^{i,:}, P_t^{i,:})\right)
              + \gamma \left(1 - \tfrac1C \sum_c \rho(P_s^{:,c}, P_t^{:,c})\right) \right].

    A row or column that is constant on either side correlates with nothing: it counts as 0. So the second part of a
    single sample is ``gamma`` and has no gradient.

    Args:
        beta (float): Weight of the relation between the classes of a sample, at least 0.
        gamma (float): Weight of the relation between the samples of a class, at least 0.
        tau (float): Temperature, above 0.
        epsilon (float): Added to the product of the norms, above 0. A student that gives every sample the same scores
            gets gradients of size 1 / epsilon; the published 1e-8 then asks for gradient clipping.
        loss_weight (float): Factor on the loss.
    """

    needs = ('logits',)

    def __init__(self, beta=1., gamma=1., tau=1., epsilon=1e-8, loss_weight=1.):
        super().__init__(loss_weight)
        check_not_negative(self, beta=beta, gamma=gamma)
        check_positive(self, tau=tau, epsilon=epsilon)
        self.beta = beta
        self.gamma = gamma
        self.tau = tau
        self.epsilon = epsilon

    def build(self, student, teacher):
        check_same_classes(self, student, teacher, least=2)

    def compare(self, student, teacher, labels, progress):
        student, teacher = ((full_precision(side['logits']) / self.tau).softmax(dim=1) for side in (student, teacher))
        between_classes = 1 - self._correlation(student, teacher, dim=1).mean()
        between_samples = 1 - self._correlation(student, teacher, dim=0).mean()
        return self.tau ** 2 * (self.beta * between_classes + self.gamma * between_samples)

    def _correlation(self, student, teacher, dim):
        student, teacher = (side - side.mean(dim=dim, keepdim=True) for side in (student, teacher))
        norms = torch.linalg.vector_norm(student, dim=dim) * torch.linalg.vector_norm(teacher, dim=dim)
        return (student * teacher).sum(dim=dim) / (norms + self.epsilon)


@TRANSFER_LOSSES.register_module()
class MLKD(TransferLoss):
    r"""Multi-level logit distillation: of samples, of the batch and of the classes, at several temperatures.

    Jin, Wang and Lin, "Multi-Level Logit Distillation", CVPR 2023. With the probabilities :math:`P^\tau` (B, C),

    .. math:: \sum_\tau \left[ w_i \, \tfrac{\tau^2}{B} \sum_b \mathrm{KL}(P_t^{\tau,b} \,\|\, P_s^{\tau,b})
              + w_b \, \tfrac1B \| P_t P_t^\top - P_s P_s^\top \|_F^2
              + w_c \, \tfrac1C \| P_t^\top P_t - P_s^\top P_s \|_F^2 \right].

    The publication adds a strongly augmented view of each image; samples here have one view. Its code multiplies
    values that are averaged already by masks for unsure samples and rare classes, which only scales them by about a
    half; here, as in the paper, every sample and class counts.

    Args:
        taus (Sequence[float]): Temperatures, each above 0, at least one.
        instance_weight (float): :math:`w_i`, at least 0.
        batch_weight (float): :math:`w_b`, at least 0.
        class_weight (float): :math:`w_c`, at least 0.
        loss_weight (float): Factor on the loss.
    """

    needs = ('logits',)

    def __init__(self, taus=(2., 3., 4., 5., 6.), instance_weight=1., batch_weight=1., class_weight=1., loss_weight=1.):
        super().__init__(loss_weight)
        if not isinstance(taus, (list, tuple)) or not taus:
            raise ValueError(f'taus of MLKD are one temperature or more in a list, got {taus!r}')
        check_positive(self, **{f'taus[{index}]': tau for index, tau in enumerate(taus)})
        check_not_negative(self, instance_weight=instance_weight, batch_weight=batch_weight, class_weight=class_weight)
        self.taus = tuple(taus)
        self.instance_weight = instance_weight
        self.batch_weight = batch_weight
        self.class_weight = class_weight

    def build(self, student, teacher):
        check_same_classes(self, student, teacher)

    def compare(self, student, teacher, labels, progress):
        student, teacher = full_precision(student['logits']), full_precision(teacher['logits'])
        # Autocast would take the matrix products in half precision, and of equal ones only the difference counts.
        with torch.autocast(student.device.type, enabled=False):
            return sum(self._at(tau, student, teacher) for tau in self.taus)

    def _at(self, tau, student, teacher):
        student_log, teacher_log = ((side / tau).log_softmax(dim=1) for side in (student, teacher))
        student, teacher = student_log.exp(), teacher_log.exp()
        # Sums of squares over rows and columns, divided by the number of rows: 1/B and 1/C of the formula.
        batch = (student @ student.T - teacher @ teacher.T).square().sum(dim=1).mean()
        classes = (student.T @ student - teacher.T @ teacher).square().sum(dim=1).mean()
        instance = tau ** 2 * divergence(student_log, teacher_log).mean()
        return self.instance_weight * instance + self.batch_weight * batch + self.class_weight * classes
