"""Losses between maps whose channels are distributions over the places of an image."""

import torch
import torch.nn.functional as F
from torch import nn

from rstoolbox.registry import TRANSFER_LOSSES

from .base import TransferLoss, check_places, check_positive, divergence, same_size
from .regression import check_stage, maps_at


@TRANSFER_LOSSES.register_module()
class CWD(TransferLoss):
    r"""Channel-wise distillation: each channel of the student's map looks where the teacher's does.

    Shu et al., "Channel-wise Knowledge Distillation for Dense Prediction", ICCV 2021. A channel c becomes a
    distribution over the HW places, :math:`p_c = \mathrm{softmax}(map_c / \tau)`; the loss, of which the mean over the
    batch is taken, is

    .. math:: \frac{\tau^2}{C} \sum_c \mathrm{KL}(p^t_c \,\|\, p^s_c).

    Where the numbers of channels differ, a 1x1 convolution, which trains with the student and is no part of it, brings
    the student's to the teacher's; where sizes do, the larger map is average-pooled to the smaller.

    Args:
        tau (float): Temperature; the larger, the more of the places count.
        stage (int): Which of ``feats``, counted from 0 at the shallowest or from -1 at the deepest.
        loss_weight (float): Factor on the loss; the default is the paper's for features. It takes 3 for the maps of
            class scores, which ``taps`` finds at a segmentor's ``decode_head.conv_seg``.
    """

    needs = ('feats',)

    def __init__(self, tau=4., stage=-1, loss_weight=50.):
        super().__init__(loss_weight)
        check_positive(self, tau=tau)
        check_stage(self, stage)
        self.tau, self.stage = tau, stage

    def build(self, student, teacher):
        maps = maps_at(self, student, teacher)
        check_places(self, [maps])
        widths = [map_.shape[1] for map_ in maps]
        self.connector = nn.Identity() if widths[0] == widths[1] else nn.Conv2d(*widths, kernel_size=1)

    def compare(self, student, teacher, labels, progress):
        maps = student['feats'][self.stage], teacher['feats'][self.stage]
        with torch.autocast(maps[0].device.type, enabled=False):
            student, teacher = same_size(*maps)
            places = [F.log_softmax(map_.flatten(0, 1).flatten(1) / self.tau, dim=1)
                      for map_ in (self.connector(student), teacher)]
            return self.tau ** 2 * divergence(*places).mean()
