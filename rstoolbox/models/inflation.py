"""Weights for R, G, B made into weights for N bands, by name.

- The bands that are red, green and blue take the weights of R, G and B;
- every other band takes the mean of the three;
- what is summed over the channels (not the scale and shift of a normalisation) is multiplied by 3 / N, so that an image
  that is equal in all bands gives the activation it gave before.

T2T-ViT goes on to divide its first attention by the root of the patch's length, N k^2, as published.
"""

import contextlib

import torch
from mmengine.logging import print_log
from torch import nn

RGB = ('R', 'G', 'B')
# Sentinel-2 and Landsat 8/9 number red, green and blue alike.
RGB_NAMES = (RGB, ('B04', 'B03', 'B02'))


@contextlib.contextmanager
def inflating(layers, bands, rgb_bands=None):
    """Within this context, three-channel weights that are loaded into ``layers`` are inflated first.

    Outside of it a checkpoint of another number of channels remains what it usually is: a mismatch.

    Args:
        layers (dict[str, nn.Module]): Module path -> layer that reads the image: a convolution, or a linear layer or
            layer normalisation of patches, in which the k^2 values of a channel stand side by side.
        bands (Sequence[str]): Names of the N channels that they read, in order.
        rgb_bands (Sequence[str], optional): See :func:`inflate`.

    Raises:
        ValueError: On loading weights of neither three channels nor as many as there are bands.
    """
    handles = [layer.register_load_state_dict_pre_hook(_hook(name, bands, rgb_bands))
               for name, layer in layers.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def inflate(weight, bands, rgb_bands=None, name='weight', summed=True):
    """Turn weights for R, G, B into weights for any bands, and log what each band got.

    Args:
        weight (Tensor): (O, 3, ...), channels in the order R, G, B.
        bands (Sequence[str]): Names of the N channels wanted, in order.
        rgb_bands (Sequence[str], optional): Names of the red, green and blue band; one that is not among ``bands``
            is passed over. By default those called R, G, B, or B04, B03, B02 as with Sentinel-2 and Landsat 8/9.
        name (str): The weights' path, for the log.
        summed (bool): Whether the layer sums over the channels, so that the weights are scaled by 3 / N.

    Returns:
        Tensor: (O, N, ...).
    """
    if rgb_bands is None:
        rgb_bands = next((names for names in RGB_NAMES if set(names) & set(bands)), RGB)
    source = {band: index for index, band in enumerate(rgb_bands)}
    mean = weight.mean(1)
    inflated = torch.stack([weight[:, source[band]] if band in source else mean for band in bands], 1)
    taken = ', '.join(f'{band} <- {RGB[source[band]] if band in source else "mean of R, G, B"}' for band in bands)
    scaled = f', scaled by 3/{len(bands)}' if summed else ''
    print_log(f"Pretrained weights of '{name}', 3 -> {len(bands)} channels{scaled}: {taken}", logger='current')
    return inflated * (3 / len(bands)) if summed else inflated


def _hook(name, bands, rgb_bands):

    def hook(layer, state_dict, prefix, *_):
        normalises = isinstance(layer, nn.LayerNorm)  # with a scale and a shift per value, where others sum them up
        axis = 0 if normalises else 1
        for part in ('weight', 'bias') if normalises else ('weight',):
            saved = state_dict.get(f'{prefix}{part}')
            if saved is None:
                continue
            size = 1 if saved.ndim > 2 else getattr(layer, part).shape[axis] // len(bands)  # of a channel in a patch
            if saved.shape[axis] == 3 * size:
                rows = saved.reshape(*saved.shape[:axis] or (1,), 3, -1)
                inflated = inflate(rows, bands, rgb_bands, f'{name}.{part}', summed=not normalises)
                state_dict[f'{prefix}{part}'] = inflated.reshape(*saved.shape[:axis], -1, *saved.shape[axis + 1:])
            elif saved.shape[axis] != len(bands) * size:
                raise ValueError(f"the checkpoint's '{prefix}{part}' reads {saved.shape[axis] / size:g} channels; the "
                                 f'model has {len(bands)} bands ({", ".join(bands)}). Only weights for R, G, B can be '
                                 'inflated')

    return hook
