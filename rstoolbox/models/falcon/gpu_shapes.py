"""Kernels of a GPU that take any number of images and any length at once, without planning each shape anew."""

import torch


def take_any_shape(network):
    """Keep a network from the kernels of cuDNN that are planned, and compiled, for every shape.

    A batch of records holds another number of images and other lengths than the one before. Depthwise convolutions,
    and attention in half precision, then wait for cuDNN instead of computing: with them a training step of the base
    geometry takes seconds on a new shape, and hundreds of steps pass until most shapes have been met.

    Args:
        network (Florence2ForConditionalGeneration): Its depthwise convolutions become :class:`DepthwiseConv2d`.
            Attention is left to torch's own kernels in the whole process, as only that holds in a backward pass too.
    """
    torch.backends.cuda.enable_cudnn_sdp(False)
    for module in network.modules():
        if type(module) is torch.nn.Conv2d and 1 < module.groups == module.in_channels:
            module.__class__ = DepthwiseConv2d


class DepthwiseConv2d(torch.nn.Conv2d):
    """``torch.nn.Conv2d`` that computes with torch's own kernel on a GPU, which takes float32 and channels first."""

    def forward(self, image):
        """Convolve (B, C, H, W)."""
        return self.planless(image) if image.is_cuda else super().forward(image)

    def planless(self, image):
        """The same as of ``torch.nn.Conv2d``, computed in float32 and rounded to the type of ``image``."""
        with torch.autocast(image.device.type, enabled=False):
            bias = None if self.bias is None else self.bias.float()
            return self._conv_forward(image.float().contiguous(), self.weight.float(), bias).to(image.dtype)
