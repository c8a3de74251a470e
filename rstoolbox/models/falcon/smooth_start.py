"""Random weights of a new network in which near coordinates, and near cells of an image, begin alike."""

import math

import torch

from .tokenizer import COORDINATES

TOKEN_FREQUENCY, CELL_FREQUENCY = 3., 1.  # standard deviations, in cycles from one side of an image to the other


@torch.no_grad()
def start_smoothly(network, tokenizer, cells):
    """Set the embeddings of coordinate tokens and of the image's rows and columns to random Fourier features.

    Where each of 1,001 coordinates is a token of its own, independent random embeddings would have to be learnt one by
    one, each from few examples. The inner product of Fourier features with normally distributed frequencies is a
    Gaussian of the distance instead, so that what is learnt of one coordinate holds for its neighbours at once. Rows
    and columns get such features with a mean square of 1, so that the image's own do not drown them.

    Source: Rahimi and Recht, "Random Features for Large-Scale Kernel Machines", NeurIPS 2007.

    Args:
        network (Florence2ForConditionalGeneration): With random weights; changed in place.
        tokenizer (transformers.PreTrainedTokenizerFast): Coordinates that it spells in several tokens stay as they are.
        cells (tuple[int, int]): Columns and rows of the image encoder's last map.
    """
    place = network.model.multi_modal_projector.image_position_embed
    for table, count in zip((place.column_embeddings, place.row_embeddings), cells):
        table.weight.copy_(_fourier(*table.weight.shape, CELL_FREQUENCY, count))
    added = tokenizer.get_added_vocab()
    if added.keys() >= set(COORDINATES):
        embedding, count = network.get_input_embeddings().weight, len(COORDINATES)
        embedding[[added[name] for name in COORDINATES]] = network.config.text_config.init_std * _fourier(
            count, embedding.shape[1], TOKEN_FREQUENCY, count - 1)


def _fourier(count, width, frequency, span):
    """Features (count, width) of unit mean square of 0, 1, ..., of which ``span`` make a side of the image."""
    half = (width + 1) // 2
    angles = 2 * math.pi * (torch.arange(count)[:, None] / span * frequency * torch.randn(half) + torch.rand(half))
    return math.sqrt(2) * torch.cat([angles.sin(), angles.cos()], 1)[:, :width]
