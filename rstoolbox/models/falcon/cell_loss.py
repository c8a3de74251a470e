"""Teaches a new image encoder to see: which cells of the image hold what a prompt asks for."""

import numpy as np
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

from rstoolbox.heads import head_for
from rstoolbox.heads.shapes import BoxHead, PolygonHead, QuadHead

START = -3.  # logit of a cell before training: few cells hold an object's centre


class CellLoss(nn.Module):
    r"""Binary cross entropy of the cells of an image, of which those that hold an object's centre are right.

    The loss of the answer reaches the image encoder through the decoder and the text encoder, both of which are new
    themselves where all weights are random: it takes long until they look at a cell, and until then their gradient
    tells the image encoder nothing. This loss tells it at once. For the cell's feature :math:`f_c` and the words
    :math:`t` of the prompt,

    .. math:: L = \mathrm{BCE}\bigl(b + \textstyle\sum_t w_t \cdot f_c,\; [c \text{ holds a centre}]\bigr),

    so that each word has a linear classifier of its own. Records of one image whose answer is boxes, quads or polygons
    count, those of an absent class included. It is no part of the network: nothing of it is left in use.

    Args:
        vocabulary (int): Number of tokens.
        width (int): Of the image's features.
        cells (tuple[int, int]): Columns and rows of the image encoder's last map.
    """

    def __init__(self, vocabulary, width, cells):
        super().__init__()
        self.cells = cells
        self.words = nn.Embedding(vocabulary, width)
        self.bias = nn.Parameter(torch.tensor(START))
        nn.init.normal_(self.words.weight, std=0.02)

    def forward(self, features, inputs, data_samples):
        """Compute the loss.

        Args:
            features (Tensor): (U, 1 + cells, D) of the different images, their mean first, then row by row.
            inputs (dict[str, Tensor]): Of :class:`~rstoolbox.models.falcon.FalconPreprocessor`.
            data_samples (list[FalconDataSample]): With ``gt_answer``, ``task``, ``img_path`` and ``image_size``.

        Returns:
            Tensor: (), the mean over all cells of the records that count; 0 where none does.
        """
        rows, targets = self._targets(data_samples)
        if not rows:
            return 0. * (self.words.weight.sum() + self.bias)
        start = features.shape[1]
        told = inputs['attention_mask'][rows, start:, None]
        words = (self.words(inputs['input_ids'][rows, start:]) * told).sum(1)
        images = features[rows if inputs.get('image_rows') is None else inputs['image_rows'][rows], 1:]
        logits = torch.einsum('rcd,rd->rc', images.float(), words.float()) + self.bias
        return binary_cross_entropy_with_logits(logits, targets.to(logits))

    @torch.compiler.disable  # annotations are no work for a compiler
    def _targets(self, data_samples):
        """Rows of the records that count, and (rows, cells) 1 where a cell holds the centre of one of their objects."""
        located = [row for row, sample in enumerate(data_samples) if _is_located(sample)]
        columns, rows = self.cells
        targets = torch.zeros(len(located), rows, columns)
        for target, number in zip(targets, located):
            size, answer = data_samples[number].image_size, data_samples[number].gt_answer
            for corners in (*answer.bboxes.reshape(-1, 2, 2), *answer.quads.reshape(-1, 4, 2),
                            *(np.concatenate(rings) for rings in answer.polygons)):
                x, y = (corners.min(0) + corners.max(0)) / 2 / size * self.cells
                target[min(int(y), rows - 1), min(int(x), columns - 1)] = 1
        return located, targets.flatten(1)


def _is_located(sample):
    """Whether the record's answer says where something is in its one image."""
    task = sample.get('task')
    return (task is not None and isinstance(sample.get('img_path'), str) and sample.get('gt_answer') is not None
            and isinstance(head_for(task), (BoxHead, QuadHead, PolygonHead)))
