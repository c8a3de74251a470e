"""ReviewKD against published numbers, and its parts by themselves."""

import json

import numpy as np
import pytest
import torch

from rstoolbox.models.transfer.review import FusionBlock, hierarchical_loss
from rstoolbox.registry import TRANSFER_LOSSES

CASES = ['a_same_shapes', 'b_wider_teacher', 'c_student_larger_maps']


def parameter_name(published):
    for old, new in {'abfs': 'blocks', 'conv1': 'reduce', 'conv2': 'restore', 'att_conv': 'attend'}.items():
        published = published.replace(old, new)
    return published


@pytest.mark.parametrize('case', CASES)
def test_equals_the_published_value_and_gradients(shared, case):
    folder = shared('golden/kd')
    expected = json.loads((folder / 'feature_losses.json').read_text())[case]
    arrays = np.load(folder / 'feature_losses.npz', allow_pickle=False)

    def side(name, maps):
        return dict(feats=[torch.from_numpy(arrays[f'{case}/{name}_{maps}{stage}']).double() for stage in (1, 2, 3)],
                    embedding=torch.from_numpy(arrays[f'{case}/{name}_pooled']).double())

    student, teacher = side('student', 'feats'), side('teacher', 'preact')
    leaves = dict(zip(('feats1', 'feats2', 'feats3', 'pooled'), (*student['feats'], student['embedding'])))
    for leaf in leaves.values():
        leaf.requires_grad_()
    # 20 of 200 epochs.
    loss = TRANSFER_LOSSES.build(dict(type='ReviewKD', warmup=0.1))
    loss.prepare(student, teacher)
    start = f'{case}/ReviewKD/param/'
    loss.load_state_dict({parameter_name(name.removeprefix(start)): torch.from_numpy(arrays[name])
                          for name in arrays.files if name.startswith(start)})
    value = loss(student, teacher, progress=expected['reviewkd_epoch'] / 200)
    value.backward()
    assert value.item() == pytest.approx(expected['losses']['ReviewKD']['f64'], rel=1e-6)
    for name, leaf in leaves.items():
        np.testing.assert_allclose(leaf.grad.numpy(), arrays[f'{case}/ReviewKD/grad/{name}'], rtol=1e-6, atol=1e-12)
    parameters, start = dict(loss.named_parameters()), f'{case}/ReviewKD/grad_param/'
    published = [name for name in arrays.files if name.startswith(start)]
    assert len(published) == len(parameters)
    for name in published:
        gradient = parameters[parameter_name(name.removeprefix(start))].grad.numpy()
        np.testing.assert_allclose(gradient, arrays[name], rtol=1e-6, atol=1e-12)


def test_hierarchical_loss_of_a_checkerboard_and_a_shift():
    board = torch.tensor([[1., -1.], [-1., 1.]]).repeat(4, 4)[None, None]
    # At full size 1; gone on every coarser grid; the weights are 1, 1/2, 1/4 and 1/8.
    assert hierarchical_loss(board, torch.zeros_like(board)).item() == pytest.approx(1 / 1.875)
    # A shift is the same on all grids; a 4x4 map has two coarser ones, one place has none.
    for size in (8, 4, 1):
        maps = torch.randn(2, 3, size, size)
        assert hierarchical_loss(maps, maps + 3).item() == pytest.approx(9, rel=1e-5)
    # 6x3 places, averaged over 2x2 and one: rows 0 to 2 against rows 3 to 5.
    maps = torch.zeros(1, 1, 6, 3)
    maps[:, :, :3] = 1.
    assert hierarchical_loss(maps, torch.zeros_like(maps)).item() == pytest.approx(
        (0.5 + 0.5 * 0.5 + 0.25 * 0.25) / 1.75)


def test_fusion_adds_what_attention_weighs():
    block = FusionBlock(channels=2, width=3, out_channels=5, fuse=True)
    with torch.no_grad():
        block.attend[0].weight.zero_()
        block.attend[0].bias.copy_(torch.tensor([0., 100.]))    # half of its own, all of the deeper
    maps, deeper = torch.randn(4, 2, 6, 4), torch.randn(4, 3, 3, 2)
    fused, handed = block(maps, deeper, (3, 2))
    weight = block.reduce[0].weight[:, :, 0, 0]
    reduced = torch.einsum('oc,bchw->bohw', weight, maps)
    mean, variance = reduced.mean(dim=(0, 2, 3), keepdim=True), reduced.var(dim=(0, 2, 3), correction=0, keepdim=True)
    own = (reduced - mean) / (variance + 1e-5).sqrt()
    np.testing.assert_allclose(handed.detach().numpy(), (own[:, :, ::2, ::2] / 2 + deeper).detach().numpy(), atol=1e-5)
    assert fused.shape == (4, 5, 3, 2)


def test_rises_over_the_warm_up_and_width_is_bounded_by_the_embedding():
    side = dict(feats=[torch.randn(2, 7, 4, 4)], embedding=torch.randn(2, 6))
    loss = TRANSFER_LOSSES.build(dict(type='ReviewKD', warmup=0.2))
    full = loss(side, side, progress=0.5).item()
    assert loss(side, side, progress=0.05).item() == pytest.approx(full / 4)
    assert loss(side, side, progress=0.).item() == 0
    assert TRANSFER_LOSSES.build(dict(type='ReviewKD'))(side, side, progress=0.).item() == 0  # 20 of 240 epochs
    assert loss.blocks[0].reduce[0].out_channels == 6
    narrow = TRANSFER_LOSSES.build(dict(type='ReviewKD', max_width=4, warmup=0.))
    assert narrow(side, side, progress=0.).item() > 0
    assert narrow.blocks[0].reduce[0].out_channels == 4


@pytest.mark.parametrize('config, message', [
    (dict(warmup=1.5), 'warmup of ReviewKD is a share from 0 to 1, got 1.5'),
    (dict(max_width=0), 'max_width of ReviewKD is a whole number of at least 1, got 0'),
    (dict(max_width=2.5), 'max_width of ReviewKD'),
])
def test_arguments_out_of_range_are_named(config, message):
    with pytest.raises(ValueError, match=message):
        TRANSFER_LOSSES.build(dict(type='ReviewKD', **config))
