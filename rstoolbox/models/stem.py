"""Where a backbone reads the image: found by running it, so that any backbone can be given N input channels.

Most start with a convolution, which is widened in place. One that reads the image otherwise, such as T2T-ViT in
overlapping patches, must have been built for N channels. Weights for three channels are inflated, see inflation.py.
"""

import contextlib
import math

import torch
from mmengine.utils import to_2tuple
from torch import nn

from .inflation import inflate

LAYERS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)
IMAGE_SIZE = 64  # of the blank image that a backbone is shown


class _Reached(Exception):
    """Ends a forward pass at the layer it carries."""

    def __init__(self, name, layer):
        super().__init__(name)
        self.name, self.layer = name, layer


def find_stems(backbone, image_size=IMAGE_SIZE):
    """Find the convolutions that read the image: the first one, and those beside it where a backbone has branches.

    The backbone is run up to the first deeper layer, in evaluation mode and without gradient; nothing in it changes.

    Args:
        backbone (nn.Module): Takes images (B, C, H, W).
        image_size (int): Height and width of the image it is shown.

    Returns:
        dict[str, nn.Conv2d]: Module path -> convolution; empty if the backbone does not start with an ungrouped
        two-dimensional convolution.

    Raises:
        ValueError: If the backbone has no layer with weights.
    """
    _, layer = _first_layer(backbone, image_size)
    if not isinstance(layer, nn.Conv2d) or layer.groups != 1:
        return {}
    stems, channels = {layer: None}, layer.in_channels

    def is_deeper(layer):
        reads_image = isinstance(layer, nn.Conv2d) and layer.in_channels == channels
        if reads_image:
            stems[layer] = None
        return not reads_image

    with _stopping_at(backbone, is_deeper):
        _run(backbone, torch.zeros(1, channels, image_size, image_size))
    return {name: module for name, module in backbone.named_modules() if module in stems}


def set_input_channels(backbone, bands, rgb_bands=None):
    """Give a backbone one input channel per band; its modules and their names stay what they are.

    Weights that a backbone already holds as pretrained (``is_init``, as mmpretrain's timm wrapper sets it) are
    inflated; others are drawn anew.

    Args:
        backbone (nn.Module): Changed in place.
        bands (Sequence[str]): Names of the input channels, in order.
        rgb_bands (Sequence[str], optional): Which of them are red, green and blue; see :func:`inflate`.

    Raises:
        ValueError: If no convolution reads the image and the backbone was built for another number of channels, or its
            pretrained weights are for neither three channels nor as many as there are bands.
    """
    pretrained = getattr(backbone, 'is_init', False)
    stems = find_stems(backbone)
    if not stems and _run(backbone, torch.zeros(1, len(bands), IMAGE_SIZE, IMAGE_SIZE)) is None:
        name, layer = _first_layer(backbone, IMAGE_SIZE)
        raise ValueError(f"{type(backbone).__name__} starts with '{name}', {layer}, and does not take the {len(bands)} "
                         'bands; the number of its input channels can only be changed where it starts with an '
                         'ungrouped Conv2d. Choose another backbone, or one whose config takes in_channels')
    for name, conv in stems.items():
        weight = conv.weight.detach()
        if pretrained and conv.in_channels == 3:
            weight = inflate(weight, bands, rgb_bands, f'{name}.weight')
        elif pretrained and conv.in_channels != len(bands):
            raise ValueError(f"the pretrained '{name}' reads {conv.in_channels} channels; only three (R, G, B) can be "
                             f'inflated to the {len(bands)} bands: leave in_channels out of the config')
        elif conv.in_channels != len(bands):
            weight = weight.new_empty(conv.out_channels, len(bands), *weight.shape[2:])
        else:
            continue
        conv.in_channels = len(bands)
        conv.weight = nn.Parameter(weight)
        if not pretrained:
            conv.reset_parameters()


def find_patch_layers(backbone, channels, image_size=IMAGE_SIZE):
    """Find the layers that read the image cut into patches, each a row of C k^2 values, channel by channel.

    Args:
        backbone (nn.Module): Takes images (B, C, H, W).
        channels (int): C.
        image_size (int): Height and width of the image it is shown.

    Returns:
        dict[str, nn.Module]: Module path -> linear layer or layer normalisation of C k^2 values; empty if the backbone
        does not start with :class:`torch.nn.Unfold`.
    """
    width, readers = None, {}

    def is_deeper(layer):
        nonlocal width
        if width is None and isinstance(layer, nn.Unfold):
            width = channels * math.prod(to_2tuple(layer.kernel_size))
            return False
        reads_patches = width is not None and width in (getattr(layer, 'in_features', None),
                                                        *getattr(layer, 'normalized_shape', ()))
        if reads_patches:
            readers[layer] = None
        return not reads_patches

    with _stopping_at(backbone, is_deeper, (*LAYERS, nn.LayerNorm, nn.Unfold)):
        _run(backbone, torch.zeros(1, channels, image_size, image_size))
    return {name: module for name, module in backbone.named_modules() if module in readers}


def _first_layer(backbone, image_size):
    """Path and layer of the first convolution or linear layer that an image meets."""
    with _stopping_at(backbone, lambda layer: True):
        stop = _run(backbone, torch.zeros(1, 3, image_size, image_size))
    if isinstance(stop, _Reached):
        return stop.name, stop.layer
    # Some transformers refuse an image of another size than their own before any layer sees it; they, like nearly
    # all networks, hold their modules in the order of use.
    for name, module in backbone.named_modules():
        if isinstance(module, LAYERS):
            return name, module
    raise ValueError(f'{type(backbone).__name__} has no convolution or linear layer')


@contextlib.contextmanager
def _stopping_at(backbone, wanted, kinds=LAYERS):
    """Raise :class:`_Reached` at the first layer of these kinds that is ``wanted``."""

    def watch(name):

        def hook(layer, args):
            if wanted(layer):
                raise _Reached(name, layer)

        return hook

    handles = [module.register_forward_pre_hook(watch(name)) for name, module in backbone.named_modules()
               if isinstance(module, kinds)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@torch.no_grad()
def _run(backbone, image):
    """Show the backbone an image; return what it gives, or where it stopped, or None where it refused the image."""
    modes = {module: module.training for module in backbone.modules()}
    backbone.eval()
    try:
        return backbone(image.to(next(backbone.parameters()).device))
    except _Reached as stop:
        return stop
    except (AssertionError, RuntimeError, ValueError):
        return None
    finally:
        # Module by module, as a backbone's own train() may freeze some of its stages again.
        for module, mode in modes.items():
            module.training = mode
