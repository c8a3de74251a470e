"""FitNet, SimKD, MGD and OFD against published numbers and plain writings of their formulas."""

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from commands import run_ranks
from rstoolbox.registry import TRANSFER_LOSSES

CASES = ['a_same_shapes', 'b_wider_teacher', 'c_student_larger_maps']


class Published:
    """The arrays and values of one case of the published feature losses."""

    def __init__(self, folder, case, name):
        self.arrays = np.load(folder / 'feature_losses.npz', allow_pickle=False)
        self.case, self.name = case, name
        self.value = json.loads((folder / 'feature_losses.json').read_text())[case]['losses'][name]['f64']

    def maps(self, kind):
        return [torch.from_numpy(self.arrays[f'{self.case}/{kind}{stage}']).double() for stage in range(4)]

    def under(self, group):
        """Name -> array of what a loss has of its own."""
        start = f'{self.case}/{self.name}/{group}/'
        return {name.removeprefix(start): self.arrays[name] for name in self.arrays.files if name.startswith(start)}


def call(loss, student, teacher):
    return loss(dict(feats=student), dict(feats=teacher))


def build(name, **config):
    return TRANSFER_LOSSES.build(dict(type=name, **config))


def batch_norm(maps):
    mean, variance = maps.mean(dim=(0, 2, 3), keepdim=True), maps.var(dim=(0, 2, 3), correction=0, keepdim=True)
    return (maps - mean) / (variance + 1e-5).sqrt()


# FitNet


@pytest.mark.parametrize('case', CASES)
def test_fitnet_equals_the_published_value_and_gradients(shared, case):
    published = Published(shared('golden/kd'), case, 'FitNet')
    student, teacher = published.maps('student_feats'), published.maps('teacher_feats')
    student[2].requires_grad_()
    loss = build('FitNet', stage=2, relu=True)
    loss.prepare(dict(feats=student), dict(feats=teacher))
    # The original has a bias before the batch norm, which takes it away again.
    names = {name: name.replace('conv_reg.conv', 'regressor.0').replace('conv_reg.bn', 'regressor.1')
             for name in published.under('param') if name != 'conv_reg.conv.bias'}
    loss.load_state_dict({names[name]: torch.from_numpy(published.under('param')[name]) for name in names})
    value = call(loss, student, teacher)
    value.backward()
    assert value.item() == pytest.approx(published.value, rel=1e-6)
    np.testing.assert_allclose(student[2].grad.numpy(), published.under('grad')['feats2'], rtol=1e-6, atol=1e-12)
    gradients = {names[name]: value for name, value in published.under('grad_param').items() if name in names}
    for name, parameter in loss.named_parameters():
        np.testing.assert_allclose(parameter.grad.numpy(), gradients[name], rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize('student, teacher, kind, kernel', [
    ((8, 6), (4, 3), torch.nn.Conv2d, 3), ((4, 3), (8, 6), torch.nn.ConvTranspose2d, 4),
    ((9, 9), (4, 4), torch.nn.Conv2d, 1), ((4, 4), (7, 7), torch.nn.Conv2d, 1), ((8, 3), (4, 6), torch.nn.Conv2d, 1),
])
def test_fitnet_bridges_any_sizes(student, teacher, kind, kernel):
    loss = build('FitNet')
    assert torch.isfinite(call(loss, [torch.randn(2, 3, *student)], [torch.randn(2, 5, *teacher)]))
    assert type(loss.regressor[0]) is kind
    assert loss.regressor[0].kernel_size == (kernel, kernel)
    # Other sizes in a later batch.
    assert torch.isfinite(call(loss, [torch.randn(2, 3, 7, 5)], [torch.randn(2, 5, 4, 4)]))


@pytest.mark.parametrize('count, width', [(1, 1), (2, 2), (3, 2), (4, 3), (5, 4)])
def test_fitnet_takes_the_map_in_the_middle_unless_told_otherwise(count, width):
    loss = build('FitNet')
    call(loss, *([torch.randn(2, place + 1, 4, 4) for place in range(side)] for side in (count, 4)))
    assert loss.regressor[0].in_channels == width


@pytest.mark.parametrize('name', ['FitNet', 'SimKD'])
def test_a_rectifier_ends_the_layers_if_the_teachers_map_went_through_one(name):
    student, negative = [torch.randn(2, 3, 4, 4)], torch.randn(2, 5, 4, 4)
    part = 'regressor' if name == 'FitNet' else 'projector'
    for teacher, relu, expected in [(negative, None, False), (negative.relu(), None, True), (negative, True, True),
                                    (negative.relu(), False, False)]:
        loss = build(name, relu=relu)
        loss.prepare(dict(feats=student), dict(feats=[teacher]))
        assert isinstance(getattr(loss, part)[-1], torch.nn.ReLU) == expected


@pytest.mark.parametrize('name', ['FitNet', 'MGD'])
def test_a_stage_that_is_not_there_is_named(name):
    maps = [torch.randn(2, 3, 4, 4), torch.randn(2, 4, 2, 2)]
    for stage in (2, -3):
        with pytest.raises(ValueError, match=f'stage {stage} of {name} .* has 2 and the teacher 2; .*out_indices'):
            call(build(name, stage=stage), maps, maps)
    with pytest.raises(ValueError, match='student has 2 and the teacher 1'):
        call(build(name, stage=1), maps, maps[1:])
    with pytest.raises(ValueError, match=f"stage of {name} is a whole number, got 'last'"):
        build(name, stage='last')


# SimKD


def test_simkd_equals_its_formula():
    student, teacher = torch.randn(4, 3, 4, 4, dtype=torch.float64), torch.randn(4, 6, 2, 2, dtype=torch.float64)
    loss = build('SimKD')
    value = call(loss, [student], [teacher])
    weights = [part.weight for part in loss.projector if isinstance(part, torch.nn.Conv2d)]
    assert [tuple(weight.shape) for weight in weights] == [(3, 3, 1, 1), (3, 3, 3, 3), (6, 3, 1, 1)]
    maps = F.avg_pool2d(student, 2)
    maps = batch_norm(torch.einsum('oc,bchw->bohw', weights[0][:, :, 0, 0], maps)).relu()
    maps = batch_norm(F.conv2d(maps, weights[1], padding=1)).relu()
    maps = batch_norm(torch.einsum('oc,bchw->bohw', weights[2][:, :, 0, 0], maps))
    assert value.item() == pytest.approx((maps - teacher).square().mean().item())


def test_a_batch_of_one_place_is_normed_by_the_statistics_so_far():
    student, teacher = [torch.randn(1, 3, 1, 1)], [torch.randn(1, 4, 1, 1)]
    loss = build('FitNet', loss_weight=1.)
    value = call(loss, student, teacher)
    plain = torch.einsum('oc,bchw->bohw', loss.regressor[0].weight[:, :, 0, 0], student[0]) / (1 + 1e-5) ** 0.5
    assert value.item() == pytest.approx((plain - teacher[0]).square().mean().item(), rel=1e-5)
    assert loss.regressor[1].running_mean.abs().sum() == 0


@pytest.mark.parametrize('reduction', [0, -2, 1.5, 'half'])
def test_reduction_is_a_whole_number(reduction):
    with pytest.raises(ValueError, match='reduction of SimKD is a whole number of at least 1'):
        build('SimKD', reduction=reduction)


# MGD


@pytest.mark.parametrize('mask, shape', [('channels', (2, 5, 1, 1)), ('places', (2, 1, 4, 4))])
def test_mgd_equals_its_formula(mask, shape):
    student, teacher = torch.randn(2, 3, 4, 4), torch.randn(2, 5, 4, 4)
    loss = build('MGD', mask=mask, mask_ratio=0.4, loss_weight=1.)
    loss.prepare(dict(feats=[student]), dict(feats=[teacher]))
    torch.manual_seed(5)
    value = call(loss, [student], [teacher])
    torch.manual_seed(5)
    kept = (torch.rand(shape) >= 0.4).float()
    maps = F.conv2d(student, loss.align.weight, loss.align.bias) * kept
    maps = F.conv2d(maps, loss.generator[0].weight, loss.generator[0].bias, padding=1).relu()
    maps = F.conv2d(maps, loss.generator[2].weight, loss.generator[2].bias, padding=1)
    assert 0 < kept.sum() < kept.numel()
    assert value.item() == pytest.approx((maps - teacher).square().sum().item() / 2, rel=1e-5)


def test_mgd_masks_nothing_at_0_and_all_at_1():
    student, teacher = torch.randn(2, 5, 2, 2, requires_grad=True), torch.randn(2, 5, 2, 2)
    call(build('MGD', mask_ratio=1.), [student], [teacher]).backward()
    assert student.grad.abs().sum() == 0
    loss = build('MGD', mask_ratio=0.)
    assert call(loss, [student], [teacher]).item() == call(loss, [student], [teacher]).item()


@pytest.mark.parametrize('config, message', [
    (dict(mask='pixels'), "mask of MGD is 'channels' or 'places', got 'pixels'"),
    (dict(mask_ratio=1.1), 'mask_ratio of MGD is a share from 0 to 1, got 1.1'),
])
def test_masks_out_of_range_are_named(config, message):
    with pytest.raises(ValueError, match=message):
        build('MGD', **config)


# OFD


@pytest.mark.parametrize('case', CASES)
def test_ofd_equals_the_published_value_and_gradients_at_the_published_margins(shared, case):
    published = Published(shared('golden/kd'), case, 'OFD')
    student = [map_.requires_grad_() for map_ in published.maps('student_preact')[1:]]
    # The original repeats a teacher's map that is smaller than the student's.
    teacher = [F.interpolate(target, map_.shape[2:]) if target.shape[2] < map_.shape[2] else target
               for map_, target in zip(student, published.maps('teacher_preact')[1:])]
    start = published.under('param')
    loss = build('OFD', margins=[start[f'margins.{pair}'].ravel().tolist() for pair in range(3)])
    loss.prepare(dict(feats=student), dict(feats=teacher))
    names = {name: name.removeprefix('connectors.') for name in start if 'margins' not in name}
    loss.load_state_dict({names[name]: torch.from_numpy(start[name]) for name in names}, strict=False)
    value = call(loss, student, teacher)
    value.backward()
    assert value.item() == pytest.approx(published.value, rel=1e-6)
    for stage, map_ in enumerate(student, start=1):
        gradient = published.under('grad')[f'preact{stage}']
        np.testing.assert_allclose(map_.grad.numpy(), gradient, rtol=1e-6, atol=1e-12)
    parameters = dict(loss.named_parameters())
    for name, gradient in published.under('grad_param').items():
        np.testing.assert_allclose(parameters[names[name]].grad.numpy(), gradient, rtol=1e-6, atol=1e-12)


def test_ofd_estimates_margins_as_the_mean_negative_value_of_all_seen():
    maps = [torch.randn(2, 3, 4, 4, dtype=torch.float64) for _ in range(5)]
    maps[3][:, 1] = maps[3][:, 1].abs()    # a batch in which a channel has no negative value
    for each in maps:
        each[:, 2] = each[:, 2].abs()      # a channel that never has one
    loss = build('OFD')
    student = [torch.randn(2, 4, 4, 4, dtype=torch.float64)]
    for each in maps:
        call(loss, student, [each])
    seen = torch.cat(maps).transpose(0, 1).flatten(1)
    estimate = loss.estimates[0]
    assert estimate.mean.tolist() == pytest.approx(
        [channel[channel < 0].mean().item() for channel in seen[:2]] + [0.], rel=1e-12)
    before = estimate.mean.clone()
    loss.eval()
    call(loss, student, [maps[0] - 5])
    assert estimate.mean.equal(before)
    # It goes on where it was.
    other = build('OFD')
    other.prepare(dict(feats=student), dict(feats=maps[:1]))
    other.load_state_dict(loss.state_dict())
    for each in (loss, other):
        each.train()
        call(each, student, [maps[1] - 1])
    assert estimate.mean.equal(other.estimates[0].mean)
    assert not estimate.mean.equal(before)


RANK = """
import sys
import torch
import torch.distributed as dist
from mmengine.hooks import SyncBuffersHook
import rstoolbox.models
from rstoolbox.registry import TRANSFER_LOSSES

rank, folder = int(sys.argv[1]), sys.argv[2]
dist.init_process_group('gloo', init_method=f'file://{folder}/store', rank=rank, world_size=2)
torch.manual_seed(0)
loss = TRANSFER_LOSSES.build(dict(type='OFD'))
class runner:
    model = loss
for teacher in torch.load(f'{folder}/maps')[rank]:
    loss(dict(feats=[torch.randn(2, 4, 4, 4)]), dict(feats=[teacher]))
    SyncBuffersHook().after_train_epoch(runner)
torch.save(loss.state_dict(), f'{folder}/{rank}')
dist.destroy_process_group()
"""


def test_ofd_estimates_margins_from_the_negative_values_of_all_processes(tmp_path):
    torch.manual_seed(0)
    maps = [[torch.randn(2, 3, 4, 4) + shift for _ in range(2)] for shift in (-1., 1.)]  # many and few below 0
    torch.save(maps, tmp_path / 'maps')
    run_ranks(RANK, tmp_path)
    seen = torch.cat([*maps[0], *maps[1]]).transpose(0, 1).flatten(1)
    for state in (torch.load(tmp_path / str(rank)) for rank in range(2)):
        assert state['estimates.0.count'].tolist() == (seen < 0).sum(dim=1).tolist()
        assert state['estimates.0.mean'].tolist() == pytest.approx(
            [channel[channel < 0].mean().item() for channel in seen], rel=1e-5)


def test_ofd_estimates_the_published_margin_of_gaussian_values(shared):
    published = Published(shared('golden/kd'), 'b_wider_teacher', 'OFD')
    scale, shift = (torch.from_numpy(published.arrays[f'b_wider_teacher/teacher_bn1.{name}']).double()
                    for name in ('weight', 'bias'))
    teacher = shift[:, None, None] + scale[:, None, None] * torch.randn(64, 8, 32, 32, dtype=torch.float64)
    loss = build('OFD')
    call(loss, [torch.randn(64, 2, 32, 32, dtype=torch.float64)], [teacher])
    expected = published.under('param')['margins.0'].ravel()
    common = torch.distributions.Normal(0., 1.).cdf(-shift / scale.abs()).numpy() > 0.01
    assert common.sum() > 3
    np.testing.assert_allclose(loss.estimates[0].mean.numpy()[common], expected[common], rtol=0.05)


def test_ofd_asks_only_that_be_low_what_the_teacher_cuts_off():
    # One channel, places in a row; the batch norm is set to pass on what comes.
    teacher = torch.tensor([2., 2., -1., -1., -1., -9., -9.]).reshape(1, 1, 1, 7)
    student = torch.tensor([5., 0., 1., -1., -3., -2., -6.]).reshape(1, 1, 1, 7)
    loss = build('OFD', margins=[[-4.]], loss_weight=1.)
    loss.prepare(dict(feats=[student]), dict(feats=[teacher]))
    loss.eval()
    with torch.no_grad():
        loss.connectors[0][0].weight.fill_((1 + 1e-5) ** 0.5)
    assert call(loss, [student], [teacher]).item() == pytest.approx(9 + 4 + 4 + 0 + 0 + 4 + 0, rel=1e-5)


@pytest.mark.parametrize('margins, message', [
    ([[-1., .5]], 'margins of OFD are means of negative values and at most 0, got 0.5'),
    ([[-1., float('nan')]], 'at most 0, got nan'),
    ([[-1.]], r'margins for \[1\] channels, .* have \[2\]; give one for each'),
    ([[-1., -1.], [-1., -1.]], r'margins for \[2, 2\] channels, .* have \[2\]'),
    ([-1., -1.], r'in lists, a list for each pair of maps .*, got \[-1.0, -1.0\]')])
def test_margins_that_do_not_fit_are_named(margins, message):
    with pytest.raises(ValueError, match=message):
        call(build('OFD', margins=margins), [torch.randn(2, 3, 4, 4)], [torch.randn(2, 2, 4, 4)])
