"""Teaches new encoders to see: which cells of the image hold what a prompt asks for."""

import numpy as np
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

from rstoolbox.heads import head_for
from rstoolbox.heads.shapes import BoxHead, PolygonHead, QuadHead

START = -3.  # logit of a cell before training: few cells hold an object's centre


class CellLoss(nn.Module):
    r"""Binary cross entropy of the cells of an image, of which those that hold an object's centre are right.

    The loss of the answer reaches both encoders through the decoder, which is new itself where all weights are random:
    it takes long until it looks at a cell, and until then its gradient tells the encoders nothing. This loss tells them
    at once. The text encoder reads the image's cells together with the prompt, so its state :math:`h_c` of a cell can
    say whether what is asked for is there:

    .. math:: L = \mathrm{BCE}\bigl(w \cdot h_c + b,\; [c \text{ holds a centre}]\bigr).

    Records whose answer is boxes, quads or polygons count, those of an absent class included; those of a pair by the
    cells of its canvas, where changes are drawn in the image before. It is no part of the network: nothing of it is
    left in use.

    Args:
        width (int): Of the text encoder's states.
        cells (tuple[int, int]): Columns and rows of the image encoder's last map.
    """

    def __init__(self, width, cells):
        super().__init__()
        self.cells = cells
        self.read = nn.Linear(width, 1)
        nn.init.constant_(self.read.bias, START)

    def forward(self, hidden, data_samples):
        """Compute the loss.

        Args:
            hidden (Tensor): (B, S, D), the text encoder's states: the image's mean first, then its cells row by row,
                then the prompt.
            data_samples (list[FalconDataSample]): With ``gt_answer``, ``task`` and ``image_size``.

        Returns:
            Tensor: (), the mean over all cells of the records that count; 0 where none does.
        """
        rows, targets = self._targets(data_samples)
        logits = self.read(hidden[rows, 1:1 + targets.shape[1]].float()).squeeze(2)
        if not rows:
            return 0. * (logits.sum() + self.read.weight.sum() + self.read.bias.sum())
        return binary_cross_entropy_with_logits(logits, targets.to(logits))

    @torch.compiler.disable  # annotations are no work for a compiler
    def _targets(self, data_samples):
        """Rows of the records that count, and (rows, cells) 1 where a cell holds the centre of one of their objects."""
        located = [row for row, sample in enumerate(data_samples) if _is_located(sample)]
        columns, rows = self.cells
        targets = torch.zeros(len(located), rows, columns)
        for target, number in zip(targets, located):
            sample = data_samples[number]
            frames = head_for(sample.task).num_images  # along a side of the canvas
            answer, size = sample.gt_answer, frames * np.array(sample.image_size)
            for corners in (*answer.bboxes.reshape(-1, 2, 2), *answer.quads.reshape(-1, 4, 2),
                            *(np.concatenate(rings) for rings in answer.polygons)):
                x, y = (corners.min(0) + corners.max(0)) / 2 / size * self.cells
                target[min(int(y), rows - 1), min(int(x), columns - 1)] = 1
        return located, targets.flatten(1)


def _is_located(sample):
    """Whether the record's answer says where something is."""
    task = sample.get('task')
    return (task is not None and sample.get('gt_answer') is not None
            and isinstance(head_for(task), (BoxHead, QuadHead, PolygonHead)))
