"""Pretrained weights for R, G, B made into weights for N bands, by name."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from rstoolbox.models.inflation import inflate, inflating
from rstoolbox.registry import MODELS

TEN_BANDS = ('B02', 'B03', 'B04', 'B05', 'B06', 'B07', 'B08', 'B8A', 'B11', 'B12')


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


def test_checkpoints_are_inflated_within_the_context_only():
    backbone = nn.Sequential(nn.Conv2d(2, 4, 3))
    weights = nn.Sequential(nn.Conv2d(3, 4, 3)).state_dict()
    with inflating({'0': backbone[0]}, ('B04', 'B08')):
        backbone.load_state_dict(weights)
        with pytest.raises(ValueError, match=r'reads 13 channels; the model has 2 bands \(B04, B08\)'):
            backbone.load_state_dict(nn.Sequential(nn.Conv2d(13, 4, 3)).state_dict())
    with pytest.raises(RuntimeError, match='size mismatch'):
        backbone.load_state_dict(weights)


@pytest.fixture
def t2t_vit():
    backbone = dict(type='T2T_ViT', img_size=64, embed_dims=16, num_layers=1,
                    t2t_cfg=dict(token_dims=8, use_performer=False),
                    layer_cfgs=dict(num_heads=2, feedforward_channels=16))
    head = dict(type='VisionTransformerClsHead', num_classes=5, in_channels=16)

    def build(bands, **settings):
        model = MODELS.build(dict(type='SceneClassifier', bands=bands, backbone=backbone, head=head, **settings))
        model.init_weights()
        return model.eval()

    return build


def test_weights_of_overlapping_patches_are_inflated(t2t_vit, tmp_path, logged):
    plain = t2t_vit(('R', 'G', 'B'))
    first = plain.backbone.tokens_to_token.attention1
    nn.init.normal_(first.ln1.weight), nn.init.normal_(first.ln1.bias)
    torch.save(plain.state_dict(), tmp_path / 'rgb.pth')
    wide = t2t_vit(TEN_BANDS, pretrained=str(tmp_path / 'rgb.pth'))
    assert any("'tokens_to_token.attention1.attn.qkv.weight', 3 -> 10 channels, scaled by 3/10" in line
               for line in logged)
    inflated = wide.backbone.tokens_to_token.attention1
    scales = first.ln1.weight.reshape(3, 49)
    for index, source in enumerate((scales[2], scales[1], scales[0], scales.mean(0))):
        assert torch.equal(inflated.ln1.weight.reshape(10, 49)[index], source)
    seven_of_a_row = first.attn.qkv.weight.reshape(-1, 3, 7, 7)
    torch.testing.assert_close(inflated.attn.qkv.weight.reshape(-1, 10, 7, 7)[:, 2], seven_of_a_row[:, 0] * 0.3)
    # Everything else came along unchanged.
    own, given = wide.state_dict(), plain.state_dict()
    assert {name for name in own if own[name].shape != given[name].shape} == {
        f'backbone.tokens_to_token.attention1.{name}' for name in ('ln1.weight', 'ln1.bias', 'attn.qkv.weight')}
    assert all(torch.equal(own[name], given[name]) for name in own if own[name].shape == given[name].shape)


def test_patches_of_an_image_equal_in_all_bands_give_the_activation_they_gave(t2t_vit, tmp_path):
    plain = t2t_vit(('R', 'G', 'B'))
    torch.save(plain.state_dict(), tmp_path / 'rgb.pth')
    wide = t2t_vit(TEN_BANDS, pretrained=str(tmp_path / 'rgb.pth'))
    grey = torch.randn(1, 1, 64, 64)
    projected = []
    for model, bands in ((plain, 3), (wide, 10)):
        unfold, first = model.backbone.tokens_to_token.soft_split0, model.backbone.tokens_to_token.attention1
        projected.append(first.attn.qkv(first.ln1(unfold(grey.expand(-1, bands, -1, -1)).transpose(1, 2))))
    torch.testing.assert_close(projected[0], projected[1], atol=1e-5, rtol=1e-4)


def test_patches_of_another_number_of_channels_are_refused(t2t_vit, tmp_path):
    torch.save(t2t_vit(TEN_BANDS[:4]).state_dict(), tmp_path / 'four.pth')
    with pytest.raises(ValueError, match=r"ln1.weight' reads 4 channels; the model has 10 bands"):
        t2t_vit(TEN_BANDS, pretrained=str(tmp_path / 'four.pth'))
