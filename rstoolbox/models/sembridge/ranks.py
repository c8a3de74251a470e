"""Batches of several processes as one."""

import torch
import torch.distributed.nn.functional as collectives
from mmengine.dist import get_world_size, is_distributed


def of_all_ranks(rows):
    """The rows of all ranks; gradients reach each rank's own from the loss of every rank, which DDP then averages.

    Args:
        rows (Tensor): (B, ...), the same B on every rank.

    Returns:
        Tensor: (B x ranks, ...); ``rows`` itself where there is one process.
    """
    if not is_distributed() or get_world_size() == 1:
        return rows
    return torch.cat(collectives.all_gather(rows.contiguous()))
