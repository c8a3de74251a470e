"""Low-rank adaptation."""

import pytest
import torch

from rstoolbox.models import Falcon
from rstoolbox.models.checkpoint import CheckpointError

from .test_falcon import loss_of, trained


@pytest.fixture
def folder(build, tmp_path):
    build().save_pretrained(tmp_path / 'base')
    return tmp_path / 'base'


def test_only_low_rank_matrices_are_trained_and_saved(build, batch, folder, logged):
    model = build(pretrained=folder, lora=dict(r=4, lora_alpha=8))
    frozen = {name: value.clone() for name, value in model.named_parameters() if not value.requires_grad}
    start = loss_of(model, batch())
    assert start == pytest.approx(float(loss_of(build(pretrained=folder), batch())), rel=1e-5)
    trained(model, batch(), steps=20)
    assert loss_of(model, batch()) < start * 0.9
    assert all(torch.equal(value, frozen[name]) for name, value in model.named_parameters() if name in frozen)
    # 8 attention projections of 128 x 128 in the encoder and 16 in the decoder, each with 2 matrices of 4 x 128
    assert any(f'{24 * 2 * 4 * 128:,} of ' in line for line in logged)

    state = model.state_dict()
    assert sum(value.numel() for value in state.values()) == 24 * 2 * 4 * 128 + 24 + 32 + 32  # scales and fingerprints
    again = build(pretrained=folder, lora=dict(r=4, lora_alpha=8))
    again.load_state_dict(state)
    assert loss_of(again, batch()) == loss_of(model, batch())


def test_low_rank_matrices_of_another_base_are_refused(build, folder, tmp_path):
    state = build(pretrained=folder, lora=dict(r=4)).state_dict()
    other = build()
    next(other.network.parameters()).data[0] += 1e-3
    other.save_pretrained(tmp_path / 'other')
    with pytest.raises(CheckpointError, match='trained upon other weights than those of pretrained'):
        build(pretrained=tmp_path / 'other', lora=dict(r=4)).load_state_dict(state)


@pytest.mark.parametrize('other', [dict(lora_alpha=16), dict(lora_alpha=8, use_rslora=True)])
def test_low_rank_matrices_of_another_scale_are_refused(build, folder, other):
    state = build(pretrained=folder, lora=dict(r=4, lora_alpha=8)).state_dict()
    build(pretrained=folder, lora=dict(r=4, lora_alpha=8)).load_state_dict(state)
    with pytest.raises(CheckpointError, match='another lora_alpha or use_rslora: multiplied by 2, and here by 4'):
        build(pretrained=folder, lora=dict(r=4, **other)).load_state_dict(state)


def test_merged_it_is_an_ordinary_model_with_the_same_loss(build, batch, folder, tmp_path):
    model = build(pretrained=folder, lora=dict(r=4, lora_alpha=8))
    trained(model, batch(), steps=5)
    expected = loss_of(model, batch())
    model.save_pretrained(tmp_path / 'merged')
    assert loss_of(Falcon.from_pretrained(tmp_path / 'merged'), batch()) == pytest.approx(float(expected), rel=1e-5)
    assert loss_of(model, batch()) == expected
    model.merge()
    assert loss_of(model, batch()) == pytest.approx(float(expected), rel=1e-5)
    assert model.state_dict().keys() == build().state_dict().keys()
    assert all(value.requires_grad for value in model.parameters())


@pytest.mark.parametrize('lora, message', [
    (dict(target_modules=['q_proj', 'qproj']), "no module is called 'qproj'; the nearest are .*q_proj"),
    (dict(target_modules=['decoder.layers.9.fc1']), 'nearest are .*decoder.layers.1.fc1'),
    (dict(target_modules=['norm1']), "'norm1' is a LayerNorm"),
    (dict(target_modules=['lm_head']), 'shares its matrix with the token embedding'),
    (dict(rank=4), 'rank.*peft.LoraConfig'),
    (dict(r=0), 'r. should be a positive integer.*peft.LoraConfig'),
    (dict(lora_alpha=0), 'lora_alpha is 0, but what scales'),
    (dict(lora_alpha='8'), "lora_alpha is '8', but what scales"),
])
def test_wrong_targets_are_explained(build, folder, lora, message):
    with pytest.raises(ValueError, match=message):
        build(pretrained=folder, lora=lora)


def test_random_weights_that_no_checkpoint_would_hold_are_not_adapted(build):
    with pytest.raises(ValueError, match="geometry='tiny' are random and would be lost. Give pretrained"):
        build(lora=dict(r=4))
