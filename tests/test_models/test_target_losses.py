"""DKD, NKD, WSLD and C2KD against published numbers and plain writings of their formulas."""

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.stats import kendalltau

from rstoolbox.models.transfer import selection
from rstoolbox.registry import TRANSFER_LOSSES

CASES = ['b1_c2', 'b4_c10', 'b8_c15', 'b16_c10_weak', 'b32_c100', 'x_scale50', 'x_offset1000', 'x_identical',
         'x_student_constant', 'x_onehot_pm100']


def build(**config):
    return TRANSFER_LOSSES.build(config)


def call(loss, student, teacher, labels=None, progress=1.):
    return loss(dict(logits=student), dict(logits=teacher), labels=labels, progress=progress)


@pytest.fixture
def batch():
    """Student and teacher logits and labels: 6 samples, 5 classes, double precision."""
    student = (2 * torch.randn(6, 5, dtype=torch.float64)).requires_grad_()
    return student, 2 * torch.randn(6, 5, dtype=torch.float64), torch.tensor([0, 4, 2, 2, 1, 3])


def without(row, label):
    return torch.cat((row[:label], row[label + 1:]))


@pytest.mark.parametrize('name', ['C2KD', 'DKD', 'NKD', 'WSLD'])
def test_labels_that_are_missing_or_wrong_are_named(name):
    student, teacher = torch.randn(2, 4), torch.randn(2, 4)
    for labels, message in [(None, f'{name} tells .* needs labels'),
                            (torch.tensor([0, 4]), f'{name} got the label 4, expected 0 to 3'),
                            (torch.tensor([-1, 2]), 'got the label -1'),
                            (torch.tensor([0.5, 2.]), f'{name} takes whole numbers as labels .*, got torch.float32'),
                            (torch.tensor([1]), r'labels of shape \(2,\) or \(2, 4\)'),
                            (torch.tensor([[1, 0, 0, 0], [1, 1, 0, 1]]), 'have 1 to 3; .* BinaryKD'),
                            (torch.zeros(2, 4), 'have 0 to 0')]:
        with pytest.raises(ValueError, match=message):
            call(build(type=name), student, teacher, labels)


@pytest.mark.parametrize('name', ['C2KD', 'DKD', 'NKD', 'WSLD'])
def test_one_hot_and_mixed_labels_stand_for_their_largest(name):
    student, teacher, loss = torch.randn(2, 3), torch.randn(2, 3), build(type=name)
    expected = call(loss, student, teacher, torch.tensor([2, 0])).item()
    assert call(loss, student, teacher, torch.tensor([[0, 0, 1], [1, 0, 0]])).item() == expected
    assert call(loss, student, teacher, torch.tensor([[0., .3, .7], [.6, .4, 0.]])).item() == expected


# DKD


@pytest.mark.parametrize('epoch', [0, 5, 20, 37])
def test_dkd_equals_the_published_value_and_gradient(shared, epoch):
    folder = shared('golden/kd')
    cases = json.loads((folder / 'logit_losses.json').read_text())
    arrays = np.load(folder / 'logit_losses.npz', allow_pickle=False)
    for case in CASES:
        expected = cases[case]['own_stable_reference']['dkd_T4_a1_b8_without_warmup']
        expected *= cases[case]['losses'][f'mdistiller.dkd.epoch{epoch}']['warmup_factor']
        student = torch.from_numpy(arrays[f'{case}/student']).double().requires_grad_()
        teacher = torch.from_numpy(arrays[f'{case}/teacher']).double()
        # 20 of 200 epochs.
        value = call(build(type='DKD', alpha=1., beta=8., tau=4., warmup=0.1), student, teacher,
                     torch.from_numpy(arrays[f'{case}/labels']), progress=epoch / 200)
        value.backward()
        assert value.item() == pytest.approx(expected, rel=1e-6, abs=1e-12), case
        np.testing.assert_allclose(student.grad.numpy(), arrays[f'{case}/grad/mdistiller.dkd.epoch{epoch}'],
                                   rtol=1e-6, atol=1e-12, err_msg=case)


def test_dkd_leaves_the_label_out_however_large_its_logit_is():
    # The label's own part vanishes, as both are sure of it; the others give 8 KL((1/2, 1/2), (3/4, 1/4)) at tau 1.
    student, teacher = torch.tensor([[1e4, np.log(3), 0.]]), torch.tensor([[1e4, 0., 0.]])
    value = call(build(type='DKD', tau=1.), student, teacher, torch.tensor([0]))
    assert value.item() == pytest.approx(8 * (np.log(2) - np.log(3) / 2), rel=1e-5)


def test_dkd_is_kd_when_the_teachers_weight_is_put_back(batch):
    # KL(p_t, p_s) = KL(own against rest) + (1 - p_t(y)) KL(rest), the identity that the paper starts from.
    student, teacher, labels = batch
    total = 0.
    for index in range(len(labels)):
        one = student[index:index + 1], teacher[index:index + 1], labels[index:index + 1]
        rest = 1 - (one[1] / 2).softmax(dim=1)[0, labels[index]].item()
        total += call(build(type='DKD', beta=rest, tau=2.), *one).item()
    assert total / len(labels) == pytest.approx(call(build(type='KD', tau=2.), student, teacher).item())


def test_dkd_rises_over_20_of_240_epochs_unless_told_otherwise(batch):
    whole = call(build(type='DKD'), *batch).item()
    assert call(build(type='DKD', warmup=0.), *batch, progress=0.).item() == whole
    for epoch, share in ((0, 0.), (5, 0.25), (20, 1.), (240, 1.)):
        assert call(build(type='DKD'), *batch, progress=epoch / 240).item() == pytest.approx(share * whole)
    with pytest.raises(ValueError, match='DKD needs at least 2 classes'):
        call(build(type='DKD'), torch.zeros(2, 1), torch.zeros(2, 1), torch.tensor([0, 0]))


# NKD


def test_nkd_equals_its_formula(batch):
    student, teacher, labels = batch
    total = 0.
    for z_s, z_t, label in zip(student, teacher, labels.tolist()):
        total -= z_t.softmax(0)[label] * z_s.softmax(0)[label].log()
        rest_s, rest_t = (without(side, label) / 3 for side in (z_s, z_t))
        total -= 1.5 * 9 * (rest_t.softmax(0) * rest_s.softmax(0).log()).sum()
    expected = torch.autograd.grad(total / len(labels), student)[0]
    value = call(build(type='NKD', gamma=1.5, tau=3.), student, teacher, labels)
    assert value.item() == pytest.approx(total.item() / len(labels))
    np.testing.assert_allclose(torch.autograd.grad(value, student)[0].numpy(), expected.numpy(), rtol=1e-6, atol=1e-12)


# WSLD


def test_wsld_equals_its_formula_with_constant_weights(batch):
    student, teacher, labels = batch
    ratio = F.nll_loss(student.softmax(1).log(), labels, reduction='none') \
        / F.nll_loss(teacher.softmax(1).log(), labels, reduction='none')
    weights = (1 - (-ratio).exp()).detach()

    def plain(logits):
        soft = -((teacher / 2).softmax(1) * (logits / 2).softmax(1).log()).sum(1)
        return 2.5 * 4 * (weights * soft).sum() / len(labels)

    value = call(build(type='WSLD', tau=2.), student, teacher, labels)
    assert value.item() == pytest.approx(plain(student).item(), rel=1e-6)
    gradient = torch.autograd.grad(value, student)[0]
    step = 1e-6
    for position in np.ndindex(*student.shape):
        shift = torch.zeros_like(student)
        shift[position] = step
        with torch.no_grad():
            slope = (plain(student + shift) - plain(student - shift)).item() / (2 * step)
        assert gradient[position].item() == pytest.approx(slope, rel=1e-5, abs=1e-8)


def test_wsld_weighs_by_who_errs():
    teacher, labels = torch.tensor([[1., 0., 0.]]), torch.tensor([0])
    right = torch.tensor([[40., 0., 0.]], requires_grad=True)
    assert call(build(type='WSLD'), right, teacher, labels).item() == pytest.approx(0., abs=1e-5)
    # As wrong as the teacher: 1 - 1/e. A teacher without error: weight 1.
    equal = call(build(type='WSLD', tau=1., loss_weight=1.), teacher, teacher, labels).item()
    entropy = torch.distributions.Categorical(logits=teacher).entropy().item()
    assert equal == pytest.approx((1 - np.exp(-1)) * entropy, rel=1e-5)
    sure = torch.tensor([[200., 0., 0.]])
    loss = build(type='WSLD', tau=1., loss_weight=1.)
    assert call(loss, teacher, sure, labels).item() == pytest.approx(np.log(1 + 2 / np.e))


# C2KD


def test_c2kd_distils_the_rest_of_the_samples_that_rank_alike(batch, monkeypatch):
    student, teacher, labels = batch
    # Two samples at a time, and a tie.
    monkeypatch.setattr(selection, 'PAIRS_AT_ONCE', 50)
    with torch.no_grad():
        student[0, 1] = student[0, 2]
    total, chosen = 0., 0
    for z_s, z_t, label in zip(student, teacher, labels.tolist()):
        if kendalltau(z_s.detach().numpy(), z_t.numpy()).statistic > 0.1:
            rest_s, rest_t = without(z_s, label).softmax(0), without(z_t, label).softmax(0)
            total += (rest_t * (rest_t / rest_s).log()).sum()
            chosen += 1
    assert 0 < chosen < len(labels)
    expected = torch.autograd.grad(total / len(labels), student)[0]
    value = call(build(type='C2KD', threshold=0.1), student, teacher, labels)
    assert value.item() == pytest.approx(total.item() / len(labels))
    np.testing.assert_allclose(torch.autograd.grad(value, student)[0].numpy(), expected.numpy(), rtol=1e-6, atol=1e-12)


def test_rank_correlation_is_kendalls_with_ties_and_none_for_a_constant_row():
    first, second = torch.randint(0, 4, (8, 7)).double(), torch.randint(0, 4, (8, 7)).double()
    second[7] = 3.
    with torch.autocast('cpu', dtype=torch.bfloat16):
        found = selection.rank_correlation(first.float(), second.float())
    np.testing.assert_allclose(found[:7].numpy(), [kendalltau(*rows).statistic for rows in zip(first[:7], second[:7])],
                               rtol=1e-6)
    assert found[7] == 0


def test_c2kd_without_a_sample_that_agrees_is_zero_and_takes_a_backward_pass():
    student = torch.tensor([[3., 2., 1., 0.]], requires_grad=True)
    value = call(build(type='C2KD'), student, torch.tensor([[0., 1., 2., 3.]]), torch.tensor([0]))
    value.backward()
    assert value.item() == 0
    assert student.grad.abs().sum() == 0
    with pytest.raises(ValueError, match='C2KD needs at least 3 classes, got 2'):
        call(build(type='C2KD'), torch.zeros(1, 2), torch.zeros(1, 2), torch.tensor([0]))
