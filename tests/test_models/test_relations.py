"""RKD, PKT, SP and CC against published numbers, plain writings, finite differences and awkward batches."""

import json
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from rstoolbox.models.transfer import relations
from rstoolbox.registry import TRANSFER_LOSSES

# Published name -> loss.
PUBLISHED = {
    'ackd.rkd': dict(type='RKD', loss_weight=0.1),
    'ackd.rkd.dist_unweighted': dict(type='RKD', distance_weight=1., angle_weight=0.),
    'ackd.rkd.angle_unweighted': dict(type='RKD', distance_weight=0., angle_weight=1.),
    'mdistiller.rkd': dict(type='RKD'),
    'mdistiller.pkt': dict(type='PKT', loss_weight=30000.),
}
CASES = ['b8_d16', 'b16_d64_shifted', 'b6_d12_vs_20', 'b3_d8', 'b12_d512', 'x_scale1000', 'x_identical',
         'x_student_duplicate_rows']


@pytest.mark.parametrize('case', CASES)
@pytest.mark.parametrize('name', PUBLISHED)
def test_equals_the_published_value_and_gradient(shared, name, case):
    folder = shared('golden/kd')
    expected = json.loads((folder / 'embedding_losses.json').read_text())[case]['losses'][name]['f64']
    arrays = np.load(folder / 'embedding_losses.npz', allow_pickle=False)
    student = torch.from_numpy(arrays[f'{case}/student']).double().requires_grad_()
    teacher = torch.from_numpy(arrays[f'{case}/teacher']).double()
    value = TRANSFER_LOSSES.build(PUBLISHED[name])(dict(embedding=student), dict(embedding=teacher))
    value.backward()
    assert value.item() == pytest.approx(float(expected), rel=1e-6, abs=1e-12)
    gradient = arrays[f'{case}/grad/{name}']
    if case == 'x_student_duplicate_rows' and np.abs(gradient).max() > 1e9:
        # What the original makes of the direction between equal samples.
        assert student.grad.abs().max() < 1
        return
    # Where the original's gradient vanishes it is left as 30000 times the 1e-7 in its denominators.
    np.testing.assert_allclose(student.grad.numpy(), gradient, rtol=1e-6, atol=1e-6 * np.abs(gradient).max() + 1e-12)


@pytest.mark.parametrize('case', ['a_same_shapes', 'b_wider_teacher', 'c_student_larger_maps'])
def test_similarity_preserving_equals_the_published_value_and_gradient(shared, case):
    folder = shared('golden/kd')
    expected = json.loads((folder / 'feature_losses.json').read_text())[case]['losses']['SP']['f64']
    arrays = np.load(folder / 'feature_losses.npz', allow_pickle=False)
    student, teacher = ([torch.from_numpy(arrays[f'{case}/{side}_feats{stage}']).double().requires_grad_()
                         for stage in range(4)] for side in ('student', 'teacher'))
    value = TRANSFER_LOSSES.build(dict(type='SP'))(dict(feats=student), dict(feats=teacher))
    value.backward()
    assert value.item() == pytest.approx(float(expected), rel=1e-6)
    np.testing.assert_allclose(student[3].grad.numpy(), arrays[f'{case}/SP/grad/feats3'], rtol=1e-6, atol=1e-12)
    assert student[0].grad is None
    assert teacher[3].grad is None


@pytest.mark.parametrize(('gamma', 'order'), [(0.4, 2), (0.7, 5)])
def test_correlation_congruence_equals_its_plain_writing(gamma, order):
    student, teacher = torch.randn(5, 3, dtype=torch.float64), torch.randn(5, 7, dtype=torch.float64)

    def kernel(x, y):
        dot = float(x @ y / x.norm() / y.norm())
        return math.exp(-2 * gamma) * sum((2 * gamma * dot) ** p / math.factorial(p) for p in range(order + 1))

    expected = sum((kernel(student[i], student[j]) - kernel(teacher[i], teacher[j])) ** 2
                   for i in range(5) for j in range(5)) / 25
    loss = TRANSFER_LOSSES.build(dict(type='CC', gamma=gamma, order=order))
    assert loss(dict(embedding=student), dict(embedding=teacher)).item() == pytest.approx(expected)


def test_correlation_congruence_of_a_high_order_is_that_of_the_gaussian_kernel():
    student, teacher = torch.randn(6, 4, dtype=torch.float64), torch.randn(6, 4, dtype=torch.float64)
    kernels = [(-1.5 * torch.cdist(F.normalize(side), F.normalize(side)) ** 2).exp() for side in (student, teacher)]
    loss = TRANSFER_LOSSES.build(dict(type='CC', gamma=1.5, order=30))
    assert loss(dict(embedding=student), dict(embedding=teacher)).item() == pytest.approx(
        F.mse_loss(*kernels).item())


@pytest.fixture(params=[dict(type='RKD'), dict(type='PKT'), dict(type='SP'), dict(type='CC')],
                ids=lambda config: config['type'])
def loss(request):
    return TRANSFER_LOSSES.build(request.param)


def outputs(loss, *batches):
    """One mapping for each matrix (B, 8): an embedding, or a map of two by two."""
    form = (lambda x: x.reshape(-1, 2, 2, 2)) if loss.needs == ('feats',) else (lambda x: x)
    return [{loss.needs[0]: form(batch)} for batch in batches]


def test_gradient_equals_finite_differences_and_the_teacher_gets_none(loss):
    student = torch.randn(4, 8, dtype=torch.float64, requires_grad=True)
    teacher = torch.randn(4, 8, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda features: loss(*outputs(loss, features, teacher)), student)
    loss(*outputs(loss, student, teacher)).backward()
    assert teacher.grad is None


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16, torch.float32])
def test_large_features_stay_finite_under_autocast(loss, dtype):
    student = (100 * torch.randn(6, 8)).to(dtype).requires_grad_()
    teacher = (100 * torch.randn(6, 8)).to(dtype)
    with torch.autocast('cpu', dtype=torch.float16 if dtype == torch.float16 else torch.bfloat16):
        value = loss(*outputs(loss, student, teacher))
    value.backward()
    exact = loss(*outputs(loss, student.detach().double(), teacher.double()))
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(exact.item(), rel=1e-5)
    assert torch.isfinite(student.grad).all()


@pytest.mark.parametrize('make', [lambda: torch.randn(1, 8), lambda: torch.zeros(3, 8), lambda: torch.ones(3, 8),
                                  lambda: torch.randn(1, 8).repeat(2, 1)], ids=['one', 'zeros', 'equal', 'two equal'])
def test_batches_without_relations_are_finite(loss, make):
    student = make().requires_grad_()
    value = loss(*outputs(loss, student, torch.randn(len(student), 8)))
    value.backward()
    assert torch.isfinite(value)
    assert student.grad.abs().max() < 1e4
    if len(student) == 1:
        assert value.item() == pytest.approx(0., abs=1e-6)


@pytest.mark.parametrize('name', ['RKD', 'PKT', 'SP', 'CC'])
def test_sides_of_any_width_and_size(name):
    loss = TRANSFER_LOSSES.build(dict(type=name))
    student, teacher = (dict(embedding=torch.randn(4, width), feats=[torch.randn(4, width, size, size + 1)])
                        for width, size in ((5, 2), (9, 3)))
    assert torch.isfinite(loss(student, teacher))


def plain_angle_loss(student, teacher):
    def cosines(x):
        directions = F.normalize(x[None] - x[:, None], dim=2)
        return directions @ directions.transpose(1, 2)

    return F.smooth_l1_loss(cosines(student), cosines(teacher))


@pytest.mark.parametrize('anchors', [1, 3, 20])
def test_angles_in_blocks_equal_those_of_all_triples_at_once(monkeypatch, anchors):
    monkeypatch.setattr(relations, 'TRIPLES_AT_ONCE', anchors * 20 ** 2)
    loss = TRANSFER_LOSSES.build(dict(type='RKD', distance_weight=0., angle_weight=1.))
    # As far from the origin as features after a rectifier are.
    student = (torch.randn(20, 6) + 100).requires_grad_()
    teacher = torch.randn(20, 9)
    teacher[7] = teacher[3]
    loss(dict(embedding=student), dict(embedding=teacher)).backward()
    exact = student.detach().double().requires_grad_()
    expected = plain_angle_loss(exact, teacher.double())
    expected.backward()
    assert loss(dict(embedding=student), dict(embedding=teacher)).item() == pytest.approx(expected.item(), rel=1e-5)
    torch.testing.assert_close(student.grad, exact.grad.float(), rtol=1e-4, atol=1e-8)


def test_nothing_of_the_size_of_all_triples_is_kept_for_the_gradient():
    kept = []
    student = torch.randn(40, 6, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(lambda value: kept.append(value.numel()), lambda nothing: nothing):
        TRANSFER_LOSSES.build(dict(type='RKD'))(dict(embedding=student), dict(embedding=torch.randn(40, 6)))
    assert max(kept) == 40 ** 2


@pytest.mark.parametrize(('config', 'message'), [
    (dict(type='RKD', distance_weight=-1.), 'distance_weight of RKD must be at least 0'),
    (dict(type='RKD', angle_weight=float('nan')), 'angle_weight of RKD must be at least 0'),
    (dict(type='CC', gamma=0.), 'gamma of CC must be above 0'),
    (dict(type='CC', order=0), 'order of CC is a whole number of at least 1'),
    (dict(type='CC', order=1.5), 'order of CC is a whole number of at least 1'),
])
def test_bad_settings_are_refused(config, message):
    with pytest.raises(ValueError, match=message):
        TRANSFER_LOSSES.build(config)


def test_outputs_of_another_rank_are_named(loss):
    name = loss.needs[0]
    with pytest.raises(ValueError, match=f'takes {name} of shape .* but the teacher gives'):
        loss(*outputs(loss, torch.randn(2, 8)), {name: torch.randn(2, 8, 3)})
