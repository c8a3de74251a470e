"""Which kernels of a GPU compute a network whose batches are never of one shape."""

import torch


def avoid_planned_kernels(network):
    """Keep depthwise convolutions and attention from cuDNN, which plans and compiles them for every new shape.

    A batch of records holds another number of images and other lengths than the one before, so that a training step
    takes seconds until most shapes have been met. Attention is kept from it in the whole process: layers that gradient
    checkpointing computes again, in the backward pass, would leave a context.

    Args:
        network (Florence2ForConditionalGeneration): Its depthwise convolutions become :class:`DepthwiseConv2d`.
    """
    torch.backends.cuda.enable_cudnn_sdp(False)
    for module in network.modules():
        if type(module) is torch.nn.Conv2d and 1 < module.groups == module.in_channels:
            module.__class__ = DepthwiseConv2d


class DepthwiseConv2d(torch.nn.Conv2d):
    """``torch.nn.Conv2d`` that leaves depthwise convolutions on a GPU to torch's own kernel."""

    def forward(self, image):
        """Convolve (B, C, H, W)."""
        # peft makes layers of this class that are not depthwise.
        return self.unplanned(image) if image.is_cuda and self.groups > 1 else super().forward(image)

    def unplanned(self, image):
        """Convolve channels first and in float32 under any autocast, and round to the type of ``image``.

        torch gives depthwise convolutions to cuDNN where channels come last, and those in float16.
        """
        with torch.autocast(image.device.type, enabled=False):
            bias = None if self.bias is None else self.bias.float()
            return self._conv_forward(image.float().contiguous(), self.weight.float(), bias).to(image.dtype)
