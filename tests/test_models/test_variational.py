"""VID and FactorTransfer against published numbers, plain writings and finite differences."""

import json
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from rstoolbox.registry import TRANSFER_LOSSES


@pytest.mark.parametrize('case', ['a_same_shapes', 'b_wider_teacher', 'c_student_larger_maps'])
def test_variational_equals_the_published_value_and_gradient(shared, case):
    folder = shared('golden/kd')
    expected = json.loads((folder / 'feature_losses.json').read_text())[case]['losses']['VID']['f64']
    arrays = np.load(folder / 'feature_losses.npz', allow_pickle=False)
    # The original uses stages 1 to 3.
    student, teacher = (dict(feats=[torch.from_numpy(arrays[f'{case}/{side}_feats{stage}']).double().requires_grad_()
                                    for stage in (1, 2, 3)]) for side in ('student', 'teacher'))
    loss = TRANSFER_LOSSES.build(dict(type='VID'))
    loss.prepare(student, teacher)
    loss.load_state_dict({name: torch.from_numpy(arrays[f'{case}/VID/param/{name}']) for name in loss.state_dict()})
    value = loss(student, teacher)
    value.backward()
    assert value.item() == pytest.approx(float(expected), rel=1e-6)
    gradients = {f'grad/feats{stage}': map_.grad for stage, map_ in zip((1, 2, 3), student['feats'])}
    gradients.update({f'grad_param/{name}': parameter.grad for name, parameter in loss.named_parameters()
                      if name.startswith('regressors')})
    for name, gradient in gradients.items():
        np.testing.assert_allclose(gradient.numpy(), arrays[f'{case}/VID/{name}'], rtol=1e-6, atol=1e-12)


def test_variances_start_where_told_and_learn_the_error_of_their_channel():
    # A student of zeros predicts zero, so that the best variance of a channel is the teacher's mean square.
    student = dict(feats=[torch.zeros(4, 3, 5, 5)])
    teacher = dict(feats=[torch.randn(4, 2, 5, 5) * torch.tensor([0.5, 2.])[:, None, None]])
    loss = TRANSFER_LOSSES.build(dict(type='VID', initial_variance=1.))
    squares = teacher['feats'][0].square().mean(dim=(0, 2, 3))
    assert loss(student, teacher).item() == pytest.approx(0.5 * squares.mean().item(), rel=1e-5)
    optimizer = torch.optim.Adam(loss.log_scales, lr=0.1)
    for _ in range(150):
        optimizer.zero_grad()
        loss(student, teacher).backward()
        optimizer.step()
    variance = F.softplus(loss.log_scales[0].detach()) + 1e-5
    torch.testing.assert_close(variance, squares, rtol=0.02, atol=0)


def test_factor_transfer_equals_its_plain_writing():
    student, teacher = torch.randn(2, 3, 4, 4), torch.randn(2, 6, 4, 4)
    loss = TRANSFER_LOSSES.build(dict(type='FactorTransfer', rate=0.5, transfer_weight=7., reconstruction_weight=2.))
    value = loss(dict(feats=[student]), dict(feats=[teacher]))

    def run(layers, x):
        for layer in layers:
            convolve = F.conv_transpose2d if layer in list(loss.decoder)[::2] else F.conv2d
            x = convolve(x, layer.weight, layer.bias, padding=1)
            x = torch.maximum(x, 0.1 * x)
        return x

    factor, translated = run(loss.paraphraser[::2], teacher), run(loss.translator[::2], student)
    assert factor.shape == translated.shape == (2, 3, 4, 4)
    lengths = [side.square().sum(dim=(1, 2, 3), keepdim=True).sqrt() for side in (factor, translated)]
    transfer = (factor / lengths[0] - translated / lengths[1]).abs().mean()
    reconstruction = (run(loss.decoder[::2], factor) - teacher).square().mean()
    assert value.item() == pytest.approx((7 * transfer + 2 * reconstruction).item(), rel=1e-5)


def test_paraphraser_learns_from_reconstruction_alone_and_the_student_from_transfer_alone():
    student, teacher = torch.randn(2, 3, 4, 4, requires_grad=True), torch.randn(2, 6, 4, 4, requires_grad=True)
    loss = TRANSFER_LOSSES.build(dict(type='FactorTransfer'))
    gradients = []
    for loss.transfer_weight, loss.reconstruction_weight in ((500., 1.), (0., 1.), (500., 0.)):
        student.grad = None
        loss.zero_grad()
        loss(dict(feats=[student]), dict(feats=[teacher])).backward()
        gradients.append((student.grad.clone(), loss.paraphraser[0].weight.grad.clone()))
    both, reconstruction, transfer = gradients
    assert torch.equal(both[0], transfer[0]) and torch.equal(both[1], reconstruction[1])
    assert not reconstruction[0].any() and not transfer[1].any()
    assert teacher.grad is None


@pytest.fixture(params=[dict(type='VID'), dict(type='FactorTransfer', transfer_weight=5.)],
                ids=lambda config: config['type'])
def loss(request):
    return TRANSFER_LOSSES.build(request.param)


def maps(*shapes, dtype=torch.float32, scale=1.):
    return dict(feats=[scale * torch.randn(shape, dtype=torch.float64).to(dtype) for shape in shapes])


def test_gradient_equals_finite_differences(loss):
    student, teacher = maps((2, 3, 3, 3), dtype=torch.float64), maps((2, 2, 2, 2), dtype=torch.float64)
    loss.prepare(student, teacher)
    names, weights = zip(*loss.named_parameters())
    # The paraphraser's gradient leaves the first term out, as it is to.
    trained = [weight for name, weight in zip(names, weights) if not name.startswith(('paraphraser', 'decoder'))]
    names = [name for name in names if not name.startswith(('paraphraser', 'decoder'))]

    def call(features, *parameters):
        return torch.func.functional_call(loss, dict(zip(names, parameters)), (dict(feats=[features]), teacher))

    assert torch.autograd.gradcheck(call, (student['feats'][0].requires_grad_(), *trained))


@pytest.mark.parametrize(('student', 'teacher'), [
    (maps((2, 3, 8, 6), (2, 5, 4, 3)), maps((2, 4, 9, 9), (2, 6, 5, 5), (2, 7, 2, 2))),
    (maps((2, 3, 2, 7)), maps((2, 4, 5, 3))),
    (maps((1, 3, 1, 1)), maps((1, 1, 1, 1))),
], ids=['other depth', 'crossed sizes', 'one sample, one position'])
def test_maps_of_any_number_width_and_size(loss, student, teacher):
    student['feats'][-1].requires_grad_()
    value = loss(student, teacher)
    value.backward()
    assert math.isfinite(value.item())
    assert torch.isfinite(student['feats'][-1].grad).all()


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16, torch.float32])
def test_large_features_stay_finite_under_autocast(loss, dtype):
    student, teacher = maps((3, 4, 4, 4), dtype=dtype, scale=100), maps((3, 6, 2, 2), dtype=dtype, scale=100)
    student['feats'][0].requires_grad_()
    with torch.autocast('cpu', dtype=torch.float16 if dtype == torch.float16 else torch.bfloat16):
        value = loss(student, teacher)
    value.backward()
    assert value.dtype == torch.float32
    assert torch.isfinite(value)
    assert torch.isfinite(student['feats'][0].grad).all()


@pytest.mark.parametrize(('config', 'message'), [
    (dict(type='VID', initial_variance=0.), 'initial_variance of VID must be above 0'),
    (dict(type='VID', initial_variance=1e-6), 'initial_variance of VID must be above its minimum_variance'),
    (dict(type='FactorTransfer', rate=0.), 'rate of FactorTransfer must be above 0'),
    (dict(type='FactorTransfer', transfer_weight=-1.), 'transfer_weight of FactorTransfer must be at least 0'),
    (dict(type='FactorTransfer', reconstruction_weight=0.), 'reconstruction_weight of FactorTransfer must be above 0'),
])
def test_bad_settings_are_refused(config, message):
    with pytest.raises(ValueError, match=message):
        TRANSFER_LOSSES.build(config)


def test_vectors_instead_of_maps_are_named(loss):
    with pytest.raises(ValueError, match='takes feats of shape .* but the student gives'):
        loss(dict(feats=[torch.zeros(2, 8)]), maps((2, 8, 2, 2)))
