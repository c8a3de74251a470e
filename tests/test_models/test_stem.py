"""Any backbone with N channels."""

import copy

import pytest
import torch
from mmengine.registry import DefaultScope
from mmpretrain.models import ImageClassifier
from torch import nn

from rstoolbox.models.stem import find_patch_layers, find_stems, set_input_channels
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


def test_layers_that_read_patches_end_where_the_next_patches_are_cut():
    backbone = nn.Sequential(nn.Unfold(4, stride=4), Transposed(), nn.LayerNorm(48), nn.Linear(48, 5), nn.Linear(5, 48),
                             nn.Linear(48, 5))
    assert list(find_patch_layers(backbone, 3)) == ['2', '3']
    assert find_patch_layers(nn.Sequential(nn.Conv2d(3, 48, 1), Transposed(), nn.Linear(48, 5)), 3) == {}


class Transposed(nn.Module):

    def forward(self, features):
        return features.flatten(2).transpose(1, 2)
