"""What every loss between class scores keeps to; and CTKD, LSKD, DIST, MLKD and BinaryKD by themselves."""

import itertools
import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from rstoolbox.registry import TRANSFER_LOSSES

CASES = ['b1_c2', 'b4_c10', 'b8_c15', 'b16_c10_weak', 'b32_c100', 'x_scale50', 'x_offset1000', 'x_identical',
         'x_student_constant', 'x_onehot_pm100']
EVERY = {
    'BinaryKD': dict(type='BinaryKD'),
    'C2KD': dict(type='C2KD', threshold=-1.),
    'CTKD': dict(type='CTKD'),
    'DIST': dict(type='DIST', tau=2.),
    'DKD': dict(type='DKD'),
    'LSKD': dict(type='LSKD'),
    'LSKD of DKD': dict(type='LSKD', loss=dict(type='DKD', beta=2.)),
    'MLKD': dict(type='MLKD', taus=[1., 4.]),
    'NKD': dict(type='NKD', tau=2.),
    'WSLD': dict(type='WSLD'),
}


def build(**config):
    return TRANSFER_LOSSES.build(config)


def call(loss, student, teacher, labels=None, progress=1.):
    return loss(dict(logits=student), dict(logits=teacher), labels=labels, progress=progress)


@pytest.fixture
def published(shared):
    """A function from a case to its logits, labels, published losses and gradients, all in double precision."""
    folder = shared('golden/kd')
    values = json.loads((folder / 'logit_losses.json').read_text())
    arrays = np.load(folder / 'logit_losses.npz', allow_pickle=False)

    def find(case):
        student = torch.from_numpy(arrays[f'{case}/student']).double().requires_grad_()
        teacher = torch.from_numpy(arrays[f'{case}/teacher']).double()
        gradients = {name: arrays[f'{case}/grad/{name}'] for name in values[case]['losses']}
        return student, teacher, torch.from_numpy(arrays[f'{case}/labels']), values[case]['losses'], gradients

    return find


@pytest.fixture(params=EVERY)
def any_loss(request):
    return build(**EVERY[request.param])


# The weight of WSLD is a constant for the gradient, see test_target_losses.
@pytest.mark.parametrize('name', [name for name in EVERY if name != 'WSLD'])
def test_gradient_equals_finite_differences(name):
    loss, teacher, labels = build(**EVERY[name]), torch.randn(3, 4).double(), torch.tensor([0, 3, 1])
    loss.prepare(dict(logits=teacher), dict(logits=teacher))
    loss.double()
    student = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda logits: call(loss, logits, teacher, labels, 1.), student)


def test_the_teacher_gets_no_gradient(any_loss):
    student, teacher = torch.randn(3, 4, requires_grad=True), torch.randn(3, 4, requires_grad=True)
    call(any_loss, student, teacher, torch.tensor([0, 3, 1])).backward()
    assert student.grad.abs().sum() > 0
    assert teacher.grad is None


def test_a_single_sample_is_fine(any_loss):
    student = torch.randn(1, 5, requires_grad=True)
    value = call(any_loss, student, torch.randn(1, 5), torch.tensor([2]))
    value.backward()
    assert value.ndim == 0
    assert torch.isfinite(value)
    assert torch.isfinite(student.grad).all()


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16, torch.float32])
def test_logits_of_ten_thousand_stay_finite_under_autocast(any_loss, dtype):
    student = torch.tensor([[1e4, -1e4, 0., 1.], [0., 1e4, 1e4, 2.], [1e4, 0., -1e4, 1e4]], dtype=dtype)
    teacher = torch.tensor([[-1e4, 1e4, 0., 5.], [0., -1e4, 1e4, 7.], [1e4, 0., -1e4, 1e4]], dtype=dtype)
    student.requires_grad_()
    with torch.autocast('cpu', dtype=dtype if dtype.itemsize == 2 else torch.bfloat16):
        value = call(any_loss, student, teacher, torch.tensor([1, 0, 3]), 0.5)
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(student.grad).all()


def test_logits_in_full_precision_are_compared_in_it_under_autocast(any_loss):
    student, teacher, labels = torch.randn(8, 5), torch.randn(8, 5), torch.randint(0, 5, (8,))
    with torch.autocast('cpu', dtype=torch.bfloat16):
        value = call(any_loss, student, teacher, labels, 0.5)
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(call(any_loss, student, teacher, labels, 0.5).item(), rel=1e-5)


def test_weight_is_included(any_loss):
    student, teacher, labels = torch.randn(4, 5), torch.randn(4, 5), torch.tensor([0, 1, 2, 3])
    plain = call(any_loss, student, teacher, labels).item() / any_loss.loss_weight
    any_loss.loss_weight = 0.25
    assert call(any_loss, student, teacher, labels).item() == pytest.approx(0.25 * plain)


def test_other_class_counts_and_shapes_are_refused(any_loss):
    with pytest.raises(ValueError, match='student has 5 classes and the teacher 7'):
        call(any_loss, torch.zeros(2, 5), torch.zeros(2, 7), torch.tensor([0, 1]))
    with pytest.raises(ValueError, match=r'logits of shape \(batch, classes\), but the teacher gives \(2, 3, 5\)'):
        call(any_loss, torch.zeros(2, 5), torch.zeros(2, 3, 5), torch.tensor([0, 1]))


@pytest.mark.parametrize('config, message', [
    (dict(type='BinaryKD', tau=0.), 'tau of BinaryKD must be above 0'),
    (dict(type='C2KD', threshold=1.5), 'threshold of C2KD is a rank correlation'),
    (dict(type='C2KD', tau=-1.), 'tau of C2KD must be above 0'),
    (dict(type='CTKD', start=0.), 'start of CTKD must be above 0'),
    (dict(type='CTKD', start=4., end=4.), 'end of CTKD must be above its start 4'),
    (dict(type='CTKD', ramp=2.), 'ramp of CTKD is a share'),
    (dict(type='DIST', beta=-1.), 'beta of DIST must be at least 0'),
    (dict(type='DIST', epsilon=0.), 'epsilon of DIST must be above 0'),
    (dict(type='DKD', alpha=float('nan')), 'alpha of DKD must be at least 0'),
    (dict(type='DKD', tau=float('inf')), 'tau of DKD must be above 0 and finite'),
    (dict(type='DKD', warmup=20), 'warmup of DKD is a share from 0 to 1, got 20'),
    (dict(type='LSKD', loss=dict(type='SKA')), 'standardises logits, but SKA compares tokens'),
    (dict(type='LSKD', loss='KD'), "loss of LSKD is the config of a transfer loss .*, got 'KD'"),
    (dict(type='LSKD', loss=dict(tau=4.)), r"loss of LSKD is .*, got {'tau': 4.0}"),
    (dict(type='MLKD', taus=[]), 'taus of MLKD are one temperature or more'),
    (dict(type='MLKD', taus=[2., 0.]), r'taus\[1\] of MLKD must be above 0'),
    (dict(type='MLKD', class_weight=-1.), 'class_weight of MLKD must be at least 0'),
    (dict(type='NKD', gamma=-1.), 'gamma of NKD must be at least 0'),
    (dict(type='WSLD', tau=0.), 'tau of WSLD must be above 0'),
])
def test_hyperparameters_out_of_range_are_refused(config, message):
    with pytest.raises(ValueError, match=message):
        TRANSFER_LOSSES.build(config)


@pytest.mark.parametrize('config, name', [
    (dict(type='LSKD', loss=dict(type='KD', tau=3.)), 'ackd.lskd'),
    (dict(type='DIST'), 'dist'),
    *((dict(type='MLKD', taus=[tau], instance_weight=0., batch_weight=0., class_weight=0.) | {weight: 1.},
       f'mlkd.{level}.T{tau}')
      for tau in range(2, 7)
      for level, weight in dict(kd='instance_weight', bc='batch_weight', cc='class_weight').items()),
], ids=lambda value: value if isinstance(value, str) else '')
def test_equals_the_published_value_and_gradient(published, config, name):
    for case in CASES:
        student, teacher, labels, values, gradients = published(case)
        value = call(TRANSFER_LOSSES.build(config), student, teacher)
        value.backward()
        assert value.item() == pytest.approx(float(values[name]['f64']), rel=1e-6, abs=1e-12), case
        np.testing.assert_allclose(student.grad.numpy(), gradients[name], rtol=1e-6, atol=1e-12, err_msg=case)


# CTKD


@pytest.mark.parametrize('index', range(3))
def test_ctkd_equals_the_published_value_and_gradients(published, index):
    name = f'ackd.ctkd.{index}'
    for case in CASES:
        student, teacher, labels, values, gradients = published(case)
        entry = values[name]
        # The published value is without tau^2; the stated factor on theta's gradient is met half-way up the ramp.
        loss = build(type='CTKD', start=1., end=21., ramp=0.2, scale_by_tau=False)
        loss.prepare(dict(logits=student), dict(logits=teacher))
        loss.double().theta.data.fill_(entry['theta'])
        progress = {0.: 0., -0.5: 0.1, -1.: 0.6}[entry['reversal_factor']]
        value = call(loss, student, teacher, progress=progress)
        value.backward()
        assert loss.temperature == pytest.approx(entry['temperature'])
        assert value.item() == pytest.approx(float(entry['f64']), rel=1e-6, abs=1e-12)
        np.testing.assert_allclose(student.grad.numpy(), gradients[name], rtol=1e-6, atol=1e-12)
        assert loss.theta.grad.item() == pytest.approx(entry['grad_theta_f64'], rel=1e-6, abs=1e-12)


def test_ctkd_reverses_as_published(shared):
    schedule = json.loads(shared('golden/sembridge/schedules.json').read_text())['ctkd_reversal_factor_by_epoch']
    loss = build(type='CTKD', ramp=5 / 200)
    assert {epoch: loss.reversal(int(epoch) / 200) for epoch in schedule if int(epoch) >= 0} == \
        pytest.approx({epoch: factor for epoch, factor in schedule.items() if int(epoch) >= 0})
    assert build(type='CTKD', ramp=0.).reversal(0.) == -1


def test_ctkd_is_kd_at_its_temperature_and_learns_to_be_harder():
    student, teacher = 9 * torch.randn(4, 5).double(), 9 * torch.randn(4, 5).double()
    loss = build(type='CTKD', start=2., end=6., ramp=0.1)
    value = call(loss, student, teacher)
    assert 2 < loss.temperature < 6
    assert value.item() == pytest.approx(call(build(type='KD', tau=loss.temperature), student, teacher).item())
    optimizer = torch.optim.SGD(loss.parameters(), lr=1e-3)
    for progress, sooner in ((0., 0), (0.5, 1)):
        before = loss.temperature
        optimizer.zero_grad()
        value = call(loss, student, teacher, progress=progress)
        value.backward()
        optimizer.step()
        assert (loss.temperature != before) == sooner
    assert call(loss, student, teacher).item() > value.item()


# LSKD


def test_lskd_disregards_shift_and_scale_and_passes_the_rest_on():
    student, teacher = torch.randn(4, 5).double(), torch.randn(4, 5).double()
    labels = torch.tensor([0, 1, 2, 4])
    loss = build(type='LSKD', loss=dict(type='DKD', loss_weight=0.5))
    value = call(loss, student, teacher, labels).item()
    assert call(loss, 30 * student + 7, teacher / 9 - 2, labels).item() == pytest.approx(value, rel=1e-5)
    scores = [torch.from_numpy((side.numpy() - side.numpy().mean(1, keepdims=True))
                               / side.numpy().std(1, ddof=1, keepdims=True)) for side in (student, teacher)]
    assert value == pytest.approx(0.5 * call(build(type='DKD'), *scores, labels).item(), rel=1e-6)
    by_default = 9 * call(build(type='KD', tau=2.), *scores).item()
    assert call(build(type='LSKD'), student, teacher).item() == pytest.approx(by_default, rel=1e-6)


def test_lskd_shows_what_its_inner_loss_learns_and_needs_two_classes():
    loss = build(type='LSKD', loss=dict(type='CTKD'))
    call(loss, torch.randn(2, 3), torch.randn(2, 3))
    assert [name for name, _ in loss.named_parameters()] == ['loss.theta']
    with pytest.raises(ValueError, match='LSKD needs at least 2 classes, got 1'):
        call(build(type='LSKD'), torch.randn(2, 1), torch.randn(2, 1))


# MLKD


def test_mlkd_sums_its_levels_and_temperatures():
    student, teacher = torch.randn(3, 4), torch.randn(3, 4)
    zero = dict(instance_weight=0., batch_weight=0., class_weight=0.)
    parts = [build(type='MLKD', taus=[tau], **zero | {weight: factor})
             for tau in (2., 3.)
             for weight, factor in dict(instance_weight=1., batch_weight=2., class_weight=3.).items()]
    whole = build(type='MLKD', taus=[2., 3.], batch_weight=2., class_weight=3.)
    assert call(whole, student, teacher).item() == pytest.approx(sum(call(part, student, teacher).item()
                                                                     for part in parts), rel=1e-5)


def test_mlkd_compares_in_full_precision_under_autocast():
    student = torch.randn(8, 6)
    teacher = student + 0.01 * torch.randn(8, 6)
    loss = build(type='MLKD', taus=[1.])
    with torch.autocast('cpu', dtype=torch.bfloat16):
        value = call(loss, student, teacher).item()
    assert value == pytest.approx(call(loss, student, teacher).item(), rel=1e-4)


# BinaryKD


@pytest.mark.parametrize('tau', [1., 3.])
def test_binary_kd_is_the_divergence_of_bernoullis(tau):
    student, teacher = 4 * torch.randn(5, 3).double(), 4 * torch.randn(5, 3).double()
    divergence = torch.distributions.kl_divergence(torch.distributions.Bernoulli(logits=teacher / tau),
                                                   torch.distributions.Bernoulli(logits=student / tau))
    value = call(build(type='BinaryKD', tau=tau), student, teacher).item()
    assert value == pytest.approx(tau ** 2 * divergence.sum().item() / 5)


def test_binary_kd_of_one_class_is_kd_of_two():
    student, teacher = torch.randn(4, 1), torch.randn(4, 1)
    pair = [F.pad(side, (0, 1)) for side in (student, teacher)]
    assert call(build(type='BinaryKD', tau=4.), student, teacher).item() == \
        pytest.approx(call(build(type='KD', tau=4.), *pair).item(), rel=1e-5)


def test_binary_kd_still_teaches_a_student_that_is_wrong_and_sure():
    student = torch.tensor([[-100., 100.]], requires_grad=True)
    call(build(type='BinaryKD'), student, torch.tensor([[100., -100.]])).backward()
    np.testing.assert_allclose(student.grad.numpy(), [[-1., 1.]], rtol=1e-6)


def test_a_softmax_student_that_binary_kd_has_taught_names_the_one_class_present():
    teacher = 2 * torch.randn(1, 4).double()
    student = torch.zeros(1, 4, dtype=torch.float64, requires_grad=True)
    loss = build(type='BinaryKD')
    optimizer = torch.optim.LBFGS([student], max_iter=100, tolerance_grad=1e-12, tolerance_change=1e-16)

    def step():
        optimizer.zero_grad()
        value = call(loss, student, teacher)
        value.backward()
        return value

    optimizer.step(step)
    present = teacher.sigmoid()[0].tolist()
    # Every combination of classes with its probability, independent of one another; those of exactly one class remain.
    single = np.zeros(4)
    for scene in itertools.product((0, 1), repeat=4):
        if sum(scene) == 1:
            single[scene.index(1)] = np.prod([p if there else 1 - p for p, there in zip(present, scene)])
    np.testing.assert_allclose(student.softmax(dim=1).detach().numpy()[0], single / single.sum(), rtol=1e-4)
