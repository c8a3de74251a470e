"""Batches of several processes as one."""

import torch
import torch.distributed as dist
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
    return _Gather.apply(rows.contiguous())


class _Gather(torch.autograd.Function):
    """All ranks' rows; torch's own function for it is deprecated, and what takes its place is not public."""

    @staticmethod
    def forward(ctx, rows):
        parts = [torch.empty_like(rows) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, rows)
        return torch.cat(parts)

    @staticmethod
    def backward(ctx, grad):
        grad = grad.clone(memory_format=torch.contiguous_format)  # autograd may use its own elsewhere
        dist.all_reduce(grad)
        return grad.chunk(dist.get_world_size())[dist.get_rank()]
