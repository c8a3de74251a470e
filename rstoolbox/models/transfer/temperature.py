"""Distillation whose temperature is learned (CTKD) or set by every sample's own spread of logits (LSKD)."""

import math

import torch
from torch import nn

from rstoolbox.registry import TRANSFER_LOSSES

from .base import TransferLoss, check_positive, check_same_classes, check_share, full_precision, is_number, risen
from .logits import softened_divergence


@TRANSFER_LOSSES.register_module()
class CTKD(TransferLoss):
    r"""Curriculum temperature: one learned temperature that makes distillation harder while training goes on.

    Li, Li, Yang, Zhao, Song, Luo, Li and Yang, "Curriculum Temperature for Knowledge Distillation", AAAI 2023 (its
    global temperature). The loss is that of :class:`KD`,
    :math:`\tau^2 \, \mathrm{KL}(\mathrm{softmax}(z_t / \tau) \,\|\, \mathrm{softmax}(z_s / \tau))`, at

    .. math:: \tau = \text{start} + (\text{end} - \text{start}) \, \sigma(\theta).

    :math:`\theta` starts at 1, learns with the student and *raises* the loss: its gradient is multiplied by a factor
    that goes as a cosine from 0 to -1 over the first ``ramp`` of the training and then stays. The student's gradient
    is the plain one. The publication writes ``start`` 1 and a range of 20, hence ``end`` 21 here.

    Both sides' logits are read as softmax logits. With multi-label (sigmoid) logits the same temperature would divide
    the logits of a divergence for each class.

    Args:
        start (float): Lower end of the temperature, above 0.
        end (float): Upper end of the temperature, above ``start``.
        ramp (float): Share of the training, from 0 to 1, until the gradient is fully reversed. The default is the
            published 10 of 240 epochs.
        scale_by_tau (bool): Multiply by tau^2. Without, a lower temperature mostly means a higher loss, and the learned
            one falls towards ``start``.
        loss_weight (float): Factor on the loss.
    """

    needs = ('logits',)

    def __init__(self, start=1., end=21., ramp=10 / 240, scale_by_tau=True, loss_weight=1.):
        super().__init__(loss_weight)
        check_positive(self, start=start)
        if not (is_number(end) and start < end):
            raise ValueError(f'end of CTKD must be above its start {start} and finite, got {end!r}')
        check_share(self, ramp=ramp)
        self.start = start
        self.end = end
        self.ramp = ramp
        self.scale_by_tau = scale_by_tau

    def build(self, student, teacher):
        check_same_classes(self, student, teacher)
        self.theta = nn.Parameter(torch.ones(()))

    def compare(self, student, teacher, labels, progress):
        fixed = self.theta.detach()
        # Its value is that of theta, its derivative the factor.
        tau = self._temperature(fixed + self.reversal(progress) * (self.theta - fixed))
        value = softened_divergence(student, teacher, tau)
        return tau ** 2 * value if self.scale_by_tau else value

    @property
    def temperature(self):
        """The present temperature, a float; known once the loss is prepared."""
        return self._temperature(self.theta.detach()).item()

    def reversal(self, progress):
        """Factor on the gradient of theta, from 0 to -1."""
        return (math.cos(math.pi * risen(progress, self.ramp)) - 1) / 2

    def _temperature(self, theta):
        return self.start + (self.end - self.start) * theta.sigmoid()


@TRANSFER_LOSSES.register_module()
class LSKD(TransferLoss):
    r"""Logit standardisation: any loss between logits, of z-scores, so that ranges and variances need not match.

    Sun, Ren, Li, Wang and Cao, "Logit Standardization in Knowledge Distillation", CVPR 2024. Each sample's logits on
    each side become :math:`(z - \bar z) / (s + \epsilon)`, with mean and standard deviation (n - 1) over its classes,
    before the inner loss takes them; other outputs that it needs pass through. With two classes nothing but the sign
    is left, and no gradient.

    Logits are those of softmax heads, whatever the inner loss: of sigmoid heads the z-score would take away how many
    classes are present, so that a teacher of several labels is refused.

    Args:
        loss (dict): Config of a transfer loss that needs ``logits``; its own ``loss_weight`` counts too. Default: KD at
            temperature 2 and weight 9, as published.
        epsilon (float): Added to the standard deviation, above 0. A student whose logits are all equal, as from a head
            that starts at zero, gets gradients of size 1 / epsilon; the published 1e-7 then asks for gradient clipping.
        loss_weight (float): Factor on the loss.
    """

    def __init__(self, loss=None, epsilon=1e-7, loss_weight=1.):
        super().__init__(loss_weight)
        check_positive(self, epsilon=epsilon)
        loss = dict(type='KD', tau=2., loss_weight=9.) if loss is None else loss
        if not isinstance(loss, dict) or 'type' not in loss:
            raise ValueError("loss of LSKD is the config of a transfer loss between logits, as in dict(type='KD', "
                             f'tau=2.), got {loss!r}')
        self.loss = TRANSFER_LOSSES.build(loss)
        if 'logits' not in self.loss.needs:
            raise ValueError(f'LSKD standardises logits, but {type(self.loss).__name__} compares '
                             f'{", ".join(self.loss.needs)}; give it a loss between logits')
        self.needs = self.loss.needs
        self.epsilon = epsilon

    def build(self, student, teacher):
        check_same_classes(self, student, teacher, least=2)
        self.loss.prepare(self._standardise(student), self._standardise(teacher))

    def compare(self, student, teacher, labels, progress):
        return self.loss(self._standardise(student), self._standardise(teacher), labels, progress)

    def _standardise(self, outputs):
        logits = full_precision(outputs['logits'])
        scores = (logits - logits.mean(dim=1, keepdim=True)) / (logits.std(dim=1, keepdim=True) + self.epsilon)
        return {**outputs, 'logits': scores}
