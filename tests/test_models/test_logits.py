"""KD and LogitsMSE against published numbers, finite differences and extreme logits."""

import json

import numpy as np
import pytest
import torch

from rstoolbox.registry import TRANSFER_LOSSES

# Published name -> loss and the factor that the original puts before it.
PUBLISHED = {
    'ackd.ckd': (dict(type='KD', tau=3., scale_by_tau=False), 1.),
    'ackd.logits': (dict(type='LogitsMSE'), 0.01),
    'mdistiller.kd': (dict(type='KD', tau=4.), 0.9),
}
CASES = ['b1_c2', 'b4_c10', 'b8_c15', 'b16_c10_weak', 'b32_c100', 'x_scale50', 'x_offset1000', 'x_identical',
         'x_student_constant', 'x_onehot_pm100']


@pytest.mark.parametrize('case', CASES)
@pytest.mark.parametrize('name', PUBLISHED)
def test_equals_the_published_value_and_gradient(shared, name, case):
    folder = shared('golden/kd')
    expected = json.loads((folder / 'logit_losses.json').read_text())[case]['losses'][name]['f64']
    arrays = np.load(folder / 'logit_losses.npz', allow_pickle=False)
    student = torch.from_numpy(arrays[f'{case}/student']).double().requires_grad_()
    teacher = torch.from_numpy(arrays[f'{case}/teacher']).double()
    config, factor = PUBLISHED[name]
    value = TRANSFER_LOSSES.build(dict(config, loss_weight=factor))(dict(logits=student), dict(logits=teacher))
    value.backward()
    assert value.item() == pytest.approx(float(expected), rel=1e-6, abs=1e-12)
    # A gradient that vanishes is left as rounding of the probabilities on both sides.
    np.testing.assert_allclose(student.grad.numpy(), arrays[f'{case}/grad/{name}'], rtol=1e-6, atol=1e-12)


@pytest.fixture(params=[dict(type='KD'), dict(type='KD', tau=1.5, scale_by_tau=False), dict(type='LogitsMSE')],
                ids=['kd', 'kd without tau^2', 'mse'])
def loss(request):
    return TRANSFER_LOSSES.build(request.param)


def test_gradient_equals_finite_differences_and_the_teacher_gets_none(loss):
    student = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    teacher = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda logits: loss(dict(logits=logits), dict(logits=teacher)), student)
    loss(dict(logits=student), dict(logits=teacher)).backward()
    assert teacher.grad is None


def test_vanishes_for_equal_logits_and_takes_a_single_sample(loss):
    logits = torch.randn(1, 6)
    assert loss(dict(logits=logits), dict(logits=logits.clone())).item() == pytest.approx(0., abs=1e-6)


def test_weight_is_included(loss):
    student, teacher = dict(logits=torch.randn(4, 5)), dict(logits=torch.randn(4, 5))
    plain = loss(student, teacher)
    loss.loss_weight = 0.25
    assert loss(student, teacher).item() == pytest.approx(0.25 * plain.item())


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16, torch.float32])
def test_logits_of_ten_thousand_stay_finite_under_autocast(loss, dtype):
    student = (torch.tensor([[1e4, -1e4, 0.], [0., 1e4, 1e4]])).to(dtype).requires_grad_()
    teacher = torch.tensor([[-1e4, 1e4, 0.], [0., -1e4, 1e4]]).to(dtype)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        value = loss(dict(logits=student), dict(logits=teacher))
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(student.grad).all()


def test_other_class_counts_are_refused(loss):
    with pytest.raises(ValueError, match='student has 5 classes and the teacher 7'):
        loss(dict(logits=torch.zeros(2, 5)), dict(logits=torch.zeros(2, 7)))


def test_missing_logits_are_named(loss):
    with pytest.raises(ValueError, match="needs 'logits' of the teacher, which gives embedding"):
        loss(dict(logits=torch.zeros(2, 5)), dict(embedding=torch.zeros(2, 7)))


@pytest.mark.parametrize('tau', [0., -1., float('nan')])
def test_temperature_must_be_positive(tau):
    with pytest.raises(ValueError, match='tau of KD must be above 0'):
        TRANSFER_LOSSES.build(dict(type='KD', tau=tau))
