"""Losses that read the teacher's maps out of the student's by a small network of their own."""

import math

import torch
import torch.nn.functional as F
from torch import nn

from rstoolbox.registry import TRANSFER_LOSSES

from .base import TransferLoss, check_not_negative, check_positive, check_ranks, paired_maps, unit_length


@TRANSFER_LOSSES.register_module()
class VID(TransferLoss):
    r"""Variational information distillation: a bound on what the student's maps say about the teacher's.

    Ahn et al., "Variational Information Distillation for Knowledge Transfer", CVPR 2019. For each pair of maps a
    network of three 1x1 convolutions predicts the teacher's t as :math:`\mu(s)`, with one variance :math:`v_c` for
    every channel of the teacher; the loss is the sum over pairs of the mean of
    :math:`\frac{(t - \mu(s))^2}{2 v_c} + \frac{1}{2} \ln v_c`, which may be negative. The variances are trained with
    the rest; in code that is commonly compared with they never are.

    Maps are paired from the deepest on, as many as both sides have; the larger of a pair is average-pooled.

    Args:
        initial_variance (float): What variances start from, above ``minimum_variance``.
        minimum_variance (float): What they cannot fall below, above 0.
        loss_weight (float): Factor on the sum over pairs.
    """

    needs = ('feats',)

    def __init__(self, initial_variance=5., minimum_variance=1e-5, loss_weight=1.):
        super().__init__(loss_weight)
        check_positive(self, initial_variance=initial_variance, minimum_variance=minimum_variance)
        if initial_variance <= minimum_variance:
            raise ValueError(f'initial_variance of VID must be above its minimum_variance, got {initial_variance} and '
                             f'{minimum_variance}')
        self.initial_variance, self.minimum_variance = initial_variance, minimum_variance

    def build(self, student, teacher):
        check_ranks(self, student, teacher)
        widths = [(student_map.shape[1], map_.shape[1]) for student_map, map_ in paired_maps(student, teacher)]
        self.regressors = nn.ModuleList(_regressor(*pair) for pair in widths)
        # The inverse of the softplus in compare().
        excess = self.initial_variance - self.minimum_variance
        start = excess + math.log(-math.expm1(-excess))
        self.log_scales = nn.ParameterList(torch.full((width,), start) for _, width in widths)

    def compare(self, student, teacher, labels, progress):
        total = 0
        with torch.autocast(student['feats'][-1].device.type, enabled=False):
            pairs = paired_maps(student, teacher)
            for (map_, target), regressor, log_scale in zip(pairs, self.regressors, self.log_scales, strict=True):
                variance = (F.softplus(log_scale) + self.minimum_variance)[:, None, None]
                difference = regressor(map_) - target
                total = total + 0.5 * (difference.square() / variance + variance.log()).mean()
        return total


@TRANSFER_LOSSES.register_module()
class FactorTransfer(TransferLoss):
    r"""Factor transfer: the student's last map, translated, is the teacher's, paraphrased.

    Kim, Park and Kwak, "Paraphrasing Complex Network: Network Compression via Factor Transfer", NeurIPS 2018. A
    paraphraser brings the teacher's map t to a factor :math:`P(t)` of fewer channels from which a decoder D makes t
    again; a translator T brings the student's map s to as many channels. With bars for division by a sample's length,

    ``transfer_weight`` * mean of :math:`|\bar T(s) - \bar P(t)|` + ``reconstruction_weight`` * mean of
    :math:`(D(P(t)) - t)^2`.

    In the paper the paraphraser is trained beforehand. Here both terms train together, but the first takes the factor
    as a constant: the paraphraser learns from its reconstruction alone and cannot come to meet the student. All three
    networks are three 3x3 convolutions with leaky rectifiers, without batch norms, so that a batch of one works.

    The larger of both maps is average-pooled to the smaller.

    Args:
        rate (float): Channels of a factor per channel of the teacher, above 0.
        transfer_weight (float): Factor on the first term, at least 0; the default is that of the paper's code.
        reconstruction_weight (float): Factor on the second term, above 0. No gradient of it reaches the student.
        loss_weight (float): Factor on the sum.
    """

    needs = ('feats',)

    def __init__(self, rate=0.5, transfer_weight=500., reconstruction_weight=1., loss_weight=1.):
        super().__init__(loss_weight)
        check_positive(self, rate=rate, reconstruction_weight=reconstruction_weight)
        check_not_negative(self, transfer_weight=transfer_weight)
        self.rate = rate
        self.transfer_weight, self.reconstruction_weight = transfer_weight, reconstruction_weight

    def build(self, student, teacher):
        check_ranks(self, student, teacher)
        student_width, teacher_width = student['feats'][-1].shape[1], teacher['feats'][-1].shape[1]
        width = max(round(self.rate * teacher_width), 1)
        self.paraphraser = _leaky_stack(nn.Conv2d, teacher_width, teacher_width, width, width)
        self.decoder = _leaky_stack(nn.ConvTranspose2d, width, width, teacher_width, teacher_width)
        self.translator = _leaky_stack(nn.Conv2d, student_width, student_width, width, width)

    def compare(self, student, teacher, labels, progress):
        with torch.autocast(student['feats'][-1].device.type, enabled=False):
            student, teacher = paired_maps(student, teacher)[-1]
            factor = self.paraphraser(teacher)
            translated, target = (unit_length(side.flatten(1)) for side in (self.translator(student), factor.detach()))
            return (self.transfer_weight * F.l1_loss(translated, target)
                    + self.reconstruction_weight * F.mse_loss(self.decoder(factor), teacher))


def _regressor(student_width, teacher_width):
    widths = (student_width, teacher_width, teacher_width, teacher_width)
    layers = [nn.Conv2d(*pair, kernel_size=1, bias=False) for pair in zip(widths, widths[1:])]
    return nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2])


def _leaky_stack(convolution, *widths):
    layers = [convolution(*pair, kernel_size=3, padding=1) for pair in zip(widths, widths[1:])]
    return nn.Sequential(*(part for layer in layers for part in (layer, nn.LeakyReLU(0.1))))
