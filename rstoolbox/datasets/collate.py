"""From the samples of a loader to a batch."""

from collections.abc import Mapping

import torch
from mmengine.dataset import pseudo_collate
from torch.utils.data import default_collate

from rstoolbox.registry import FUNCTIONS


@FUNCTIONS.register_module()
def stack_images(samples):
    """Put samples together, and stack their images where they have one shape.

    A worker process hands every tensor over by a file descriptor of its own: for small images that takes longer than
    what is in them, and one stack of a batch travels at once. Images of several shapes stay a list, as with mmengine's
    ``pseudo_collate``; data samples always do.

    Args:
        samples (list[dict]): What a data set gives: ``inputs``, an image or a mapping of images, and ``data_samples``.

    Returns:
        dict: The same keys; images are (B, ...) or a list.
    """
    batch = pseudo_collate(samples)
    return {**batch, 'inputs': _stack(batch['inputs'])}


def _stack(images):
    if isinstance(images, Mapping):
        return {name: _stack(values) for name, values in images.items()}
    alike = all(isinstance(image, torch.Tensor) and image.shape == images[0].shape for image in images)
    return default_collate(images) if alike else images
