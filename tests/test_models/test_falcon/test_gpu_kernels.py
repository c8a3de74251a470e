"""Kernels that are not planned for each shape."""

import pytest
import torch

from rstoolbox.models.falcon.gpu_kernels import DepthwiseConv2d
from rstoolbox.models.falcon.network import build_network, network_config


@pytest.fixture
def network():
    return build_network(network_config('tiny', 300))


def depthwise(network):
    return [module for module in network.modules() if isinstance(module, DepthwiseConv2d)]


def test_all_depthwise_convolutions_of_the_image_encoder_and_no_others(network):
    expected = [name for name, module in network.named_modules()
                if isinstance(module, torch.nn.Conv2d) and module.groups > 1]
    assert expected == [name for name, module in network.named_modules() if isinstance(module, DepthwiseConv2d)]
    assert len(expected) == 4 * 2 * 2  # stages, blocks by place and by channel, convolutions of each
    assert not torch.backends.cuda.cudnn_sdp_enabled()


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
@pytest.mark.parametrize('autocast', [False, True])
def test_computes_what_the_plain_one_does(network, dtype, autocast):
    conv = depthwise(network)[0].to(dtype)
    rows = torch.randn(2, 9 * 7, conv.in_channels).to(dtype)
    # The network hands over tokens that are seen as an image, so channels lie side by side.
    image = rows.transpose(1, 2).view(2, -1, 9, 7).requires_grad_()
    plain = torch.nn.functional.conv2d(image.double(), conv.weight.double(), conv.bias.double(), padding=1,
                                       groups=conv.groups)
    with torch.autocast('cpu', torch.bfloat16, enabled=autocast):
        found = conv.unplanned(image)
    assert found.dtype == dtype
    torch.testing.assert_close(found.double(), plain, rtol=8e-3 if dtype is torch.bfloat16 else 1e-5, atol=1e-5)
    gradient, expected = (torch.autograd.grad(value.double().square().sum(), image)[0] for value in (found, plain))
    torch.testing.assert_close(gradient, expected.to(dtype), rtol=3e-2 if dtype is torch.bfloat16 else 1e-4, atol=0.03)


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
def test_on_a_gpu_features_are_the_same_and_no_kernel_is_planned(network):
    image = torch.rand(2, 3, 64, 48)
    with torch.no_grad(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        expected = network.get_image_features(image)
        torch.testing.assert_close(network.cuda().get_image_features(image.cuda()).cpu(), expected,
                                   rtol=1e-3, atol=1e-3)
    with torch.profiler.profile() as profile, torch.autocast('cuda', torch.bfloat16):
        network.get_image_features(image.cuda()).float().sum().backward()
    called = {event.key for event in profile.key_averages()}
    assert 'aten::_conv_depthwise2d' in called and not any('cudnn_attention' in name for name in called)
