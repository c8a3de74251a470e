"""Any backbone with N channels; pretrained weights inflated by band name."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.registry import DefaultScope
from mmpretrain.models import ImageClassifier
from torch import nn

from rstoolbox.models.stem import find_stems, inflate, inflating_checkpoints, set_input_channels
from rstoolbox.registry import MODELS

TEN_BANDS = ('B02', 'B03', 'B04', 'B05', 'B06', 'B07', 'B08', 'B8A', 'B11', 'B12')
POOL = dict(type='GlobalAveragePooling')
BACKBONES = {
    'ResNet': (dict(type='ResNet', depth=18, stem_channels=8, base_channels=8), POOL, 64),
    'ResNetV1d': (dict(type='ResNetV1d', depth=50, stem_channels=8, base_channels=8), POOL, 256),
    'MobileNetV2': (dict(type='MobileNetV2', widen_factor=0.1), POOL, 1280),
    'MobileNetV3': (dict(type='MobileNetV3', arch='small_050'), POOL, 288),
    'ShuffleNetV2': (dict(type='ShuffleNetV2', widen_factor=0.5), POOL, 1024),
    'SwinTransformer': (dict(type='SwinTransformer', img_size=64, window_size=2,
                             arch=dict(embed_dims=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 2, 2])), POOL, 64),
    'ConvNeXt': (dict(type='ConvNeXt', arch=dict(depths=[1, 1, 1, 1], channels=[8, 8, 16, 16])), None, 16),
    'VisionTransformer': (dict(type='VisionTransformer', img_size=64, patch_size=16,
                               arch=dict(embed_dims=16, num_layers=1, num_heads=2, feedforward_channels=16)), None, 16),
    'T2T_ViT': (dict(type='T2T_ViT', img_size=64, embed_dims=16, num_layers=1, out_type='featmap', t2t_cfg=dict(
        token_dims=8, use_performer=False), layer_cfgs=dict(num_heads=2, feedforward_channels=16)), POOL, 16),
    'EfficientNet': (dict(type='EfficientNet', arch='b0'), POOL, 1280),
    'RepVGG': (dict(type='RepVGG', arch=dict(num_blocks=[1, 1, 1, 1], width_factor=[.125, .125, .125, .125],
                                             group_layer_map=None, se_cfg=None)), POOL, 64),
    'timm ResNet': (dict(type='TIMMBackbone', model_name='resnet10t'), POOL, 512),
    'timm EfficientNet': (dict(type='TIMMBackbone', model_name='efficientnet_lite0', features_only=True), POOL, 320),
    'timm ViT': (dict(type='TIMMBackbone', model_name='vit_tiny_patch16_224', features_only=True, img_size=64), POOL,
                 192),
}


@pytest.fixture(params=BACKBONES)
def parts(request):
    backbone, neck, width = copy.deepcopy(BACKBONES[request.param])
    kind = 'VisionTransformerClsHead' if request.param == 'VisionTransformer' else 'LinearClsHead'
    return dict(backbone=backbone, neck=neck, head=dict(type=kind, num_classes=5, in_channels=width))


def test_backbone_runs_forward_and_backward_with_ten_bands(parts):
    model = MODELS.build(dict(type='SceneClassifier', bands=TEN_BANDS, **copy.deepcopy(parts)))
    model.init_weights()
    nn.init.normal_(next(model.head.parameters()))  # some heads start from zero and pass no gradient on
    images = torch.randn(2, 10, 64, 64, requires_grad=True)
    logits = model(images, mode='tensor')
    logits.pow(2).sum().backward()
    assert logits.shape == (2, 5)
    reaching = images.grad.abs().sum((0, 2, 3))
    assert torch.isfinite(reaching).all()
    assert (reaching > 0).all(), 'a band has no way to the logits'
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        plain = ImageClassifier(**parts)
    assert list(model.state_dict()) == list(plain.state_dict())
    assert [name for name, _ in model.backbone.named_modules()] == [name for name, _ in plain.backbone.named_modules()]


def test_looking_for_the_stem_changes_nothing():
    backbone = MODELS.build(dict(type='mmpretrain.ResNet', depth=18, frozen_stages=1, base_channels=8, stem_channels=8))
    backbone.train()
    before, modes = copy.deepcopy(backbone.state_dict()), [module.training for module in backbone.modules()]
    assert list(find_stems(backbone)) == ['conv1']
    assert [module.training for module in backbone.modules()] == modes
    assert all(torch.equal(value, before[name]) for name, value in backbone.state_dict().items())
    assert not any(module._forward_pre_hooks for module in backbone.modules())


def test_order_of_use_counts_not_order_of_definition():

    class Backwards(nn.Module):

        def __init__(self):
            super().__init__()
            self.deep = nn.Conv2d(4, 3, 1)
            self.first = nn.Conv2d(3, 4, 1)

        def forward(self, images):
            return self.deep(self.first(images))

    assert list(find_stems(Backwards())) == ['first']


@pytest.mark.parametrize('backbone', [
    nn.Sequential(nn.Flatten(), nn.Linear(3 * 64 * 64, 4)), nn.Sequential(nn.Conv2d(3, 3, 3, groups=3))])
def test_a_backbone_that_does_not_start_with_a_convolution_is_refused(backbone):
    with pytest.raises(ValueError, match=r"Sequential starts with '\d'.* take the 10 bands; .*ungrouped Conv2d"):
        set_input_channels(backbone, TEN_BANDS)


def test_inflation_takes_red_green_blue_by_name_and_the_mean_for_the_rest(logged):
    weight = torch.arange(3.).reshape(1, 3, 1, 1)
    inflated = inflate(weight, TEN_BANDS).flatten() * 10 / 3
    assert inflated.tolist() == pytest.approx([2, 1, 0] + [1] * 7)
    assert '3 -> 10 channels, scaled by 3/10: B02 <- B, B03 <- G, B04 <- R, B05 <- mean of R, G, B' in logged[-1]
    named = inflate(weight, ('blue', 'nir', 'red'), rgb_bands=('red', 'green', 'blue'))
    assert named.flatten().tolist() == pytest.approx([2, 1, 0])
    assert inflate(weight, ('G', 'B', 'R')).flatten().tolist() == [1, 2, 0]


@settings(max_examples=30, deadline=None)
@given(extra=st.integers(0, 12), seed=st.integers(0, 1000), first=st.booleans())
def test_inflation_keeps_the_activation_of_an_image_equal_in_all_bands(extra, seed, first):
    random = torch.Generator().manual_seed(seed)
    weight, grey = torch.randn(4, 3, 3, 3, generator=random), torch.randn(1, 1, 8, 8, generator=random)
    others = tuple(f'X{index}' for index in range(extra))
    bands = (*others, 'R', 'G', 'B') if first else ('B', *others, 'R', 'G')
    before = nn.functional.conv2d(grey.expand(-1, 3, -1, -1), weight)
    after = nn.functional.conv2d(grey.expand(-1, len(bands), -1, -1), inflate(weight, bands))
    torch.testing.assert_close(after, before, atol=1e-5, rtol=1e-4)


def test_weights_that_a_backbone_brings_are_inflated(logged):
    backbone = nn.Sequential(nn.Conv2d(3, 4, 3))
    backbone.is_init = True
    weight = backbone[0].weight.detach().clone()
    set_input_channels(backbone, ('B04', 'B08'))
    assert torch.equal(backbone[0].weight[:, 0], weight[:, 0] * 1.5)
    torch.testing.assert_close(backbone[0].weight[:, 1], weight.mean(1) * 1.5)
    backbone[0] = nn.Conv2d(4, 4, 3)
    with pytest.raises(ValueError, match="pretrained '0' reads 4 channels"):
        set_input_channels(backbone, ('B04', 'B08'))


def test_checkpoints_are_inflated_within_the_context_only():
    backbone = nn.Sequential(nn.Conv2d(2, 4, 3))
    weights = nn.Sequential(nn.Conv2d(3, 4, 3)).state_dict()
    with inflating_checkpoints(backbone, ('B04', 'B08')):
        backbone.load_state_dict(weights)
        with pytest.raises(ValueError, match=r'reads 13 channels; the model has 2 bands \(B04, B08\)'):
            backbone.load_state_dict(nn.Sequential(nn.Conv2d(13, 4, 3)).state_dict())
    with pytest.raises(RuntimeError, match='size mismatch'):
        backbone.load_state_dict(weights)
