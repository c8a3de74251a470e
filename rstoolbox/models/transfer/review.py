"""Review of knowledge: deep maps of the student join its shallower ones before these are compared."""

import torch
import torch.nn.functional as F
from torch import nn

from rstoolbox.registry import TRANSFER_LOSSES

from .base import BatchNorm, TransferLoss, average_pool, check_ranks, check_share, full_precision, risen

# Sides of the coarser grids of the hierarchical loss; each counts half as much as the one before.
GRIDS = (4, 2, 1)


@TRANSFER_LOSSES.register_module()
class ReviewKD(TransferLoss):
    r"""Knowledge review: every stage of the teacher teaches that stage of the student together with all deeper ones.

    Chen, Liu, Zhao and Jia, "Distilling Knowledge via Knowledge Review", CVPR 2021. From the embedding, as a map of one
    place, up to the shallowest map, a fusion block brings the student's map to a common width, adds what came from the
    deeper block (both weighted by learned attention at every place) and hands the sum on; at the teacher's size, a 3x3
    convolution and a batch norm make of it what is compared with the teacher's map. The loss is the sum over stages and
    the embedding of the hierarchical mean squared error: that of the full maps, weighted 1, and of maps averaged over
    4x4, 2x2 and 1 place where these are coarser, weighted 1/2, 1/4 and 1/8, divided by the sum of the weights used.

    Maps are paired from the deepest on, as many as both sides have; sizes are matched by nearest neighbour within the
    blocks, as published.

    Published results compare with the teacher's maps from before a rectifier, which needs a tap that gives them; maps
    from behind one are taken as well.

    Args:
        max_width (int): Most channels within the fusion blocks, at least 1; fewer if the student's embedding has fewer.
        warmup (float): Share of the training, from 0 to 1, over which the loss rises linearly from 0. The default is
            the published 20 of 240 epochs.
        loss_weight (float): Factor on the sum over the embedding and the maps.
    """

    needs = ('feats', 'embedding')

    def __init__(self, max_width=512, warmup=20 / 240, loss_weight=1.):
        super().__init__(loss_weight)
        if not isinstance(max_width, int) or max_width < 1:
            raise ValueError(f'max_width of ReviewKD is a whole number of at least 1, got {max_width!r}')
        check_share(self, warmup=warmup)
        self.max_width, self.warmup = max_width, warmup

    def build(self, student, teacher):
        check_ranks(self, student, teacher)
        pairs = _deepest_first(student, teacher)
        width = min(self.max_width, student['embedding'].shape[1])
        self.blocks = nn.ModuleList(FusionBlock(map_.shape[1], width, target.shape[1], fuse=depth > 0)
                                    for depth, (map_, target) in enumerate(pairs))

    def compare(self, student, teacher, labels, progress):
        total, deeper = 0, None
        with torch.autocast(student['embedding'].device.type, enabled=False):
            for block, (map_, target) in zip(self.blocks, _deepest_first(student, teacher), strict=True):
                fused, deeper = block(map_, deeper, target.shape[2:])
                total = total + hierarchical_loss(fused, target)
        return risen(progress, self.warmup) * total


class FusionBlock(nn.Module):
    """Attention-based fusion of a map with what came from the deeper block.

    Args:
        channels (int): Of the student's map.
        width (int): Channels of what is handed on.
        out_channels (int): Of the teacher's map.
        fuse (bool): Whether there is a deeper block.
    """

    def __init__(self, channels, width, out_channels, fuse):
        super().__init__()
        self.reduce = nn.Sequential(nn.Conv2d(channels, width, kernel_size=1, bias=False), BatchNorm(width))
        self.attend = nn.Sequential(nn.Conv2d(2 * width, 2, kernel_size=1), nn.Sigmoid()) if fuse else None
        self.restore = nn.Sequential(nn.Conv2d(width, out_channels, kernel_size=3, padding=1, bias=False),
                                     BatchNorm(out_channels))
        for layers in (self.reduce, self.restore):
            nn.init.kaiming_uniform_(layers[0].weight, a=1)

    def forward(self, maps, deeper, size):
        """Return what is compared with the teacher, (B, out_channels, *size), and what is handed on.

        Args:
            maps (Tensor): (B, channels, H, W).
            deeper (Tensor, optional): (B, width, H', W').
            size (Sequence[int]): The teacher's height and width.
        """
        maps = self.reduce(maps)
        if self.attend is not None:
            deeper = F.interpolate(deeper, maps.shape[2:], mode='nearest')
            own, others = self.attend(torch.cat((maps, deeper), dim=1)).split(1, dim=1)
            maps = own * maps + others * deeper
        if maps.shape[2:] != size:
            maps = F.interpolate(maps, size, mode='nearest')
        return self.restore(maps), maps


def hierarchical_loss(maps, target):
    """Weighted mean of the mean squared errors of two maps (B, C, H, W) at full size and on coarser grids."""
    total, weights, weight = F.mse_loss(maps, target), 1., 1.
    for grid in GRIDS:
        if grid < min(maps.shape[2:]):
            weight /= 2
            total = total + weight * F.mse_loss(*(average_pool(side, (grid, grid)) for side in (maps, target)))
            weights += weight
    return total / weights


def _deepest_first(student, teacher):
    """Pairs of maps in full precision, the embeddings as maps of one place and then the maps from deep to shallow."""
    maps = ([side['embedding'][:, :, None, None], *reversed(side['feats'])] for side in (student, teacher))
    return [tuple(full_precision(map_) for map_ in pair) for pair in zip(*maps)]
