"""AT, NST and KDSVD against published numbers and plain writings of their formulas."""

import itertools
import json

import numpy as np
import pytest
import torch

from rstoolbox.models.transfer.attention import mean_discrepancy, right_vectors
from rstoolbox.registry import TRANSFER_LOSSES

CASES = ['a_same_shapes', 'b_wider_teacher', 'c_student_larger_maps']


@pytest.fixture
def published(shared):
    """A function from case and loss to maps of both sides, the published value and the gradients."""
    folder = shared('golden/kd')
    values = json.loads((folder / 'feature_losses.json').read_text())
    arrays = np.load(folder / 'feature_losses.npz', allow_pickle=False)

    def find(case, name):
        student, teacher = ([torch.from_numpy(arrays[f'{case}/{side}_feats{stage}']).double() for stage in (1, 2, 3)]
                            for side in ('student', 'teacher'))
        gradients = [arrays.get(f'{case}/{name}/grad/feats{stage}') for stage in (1, 2, 3)]
        return [map_.requires_grad_() for map_ in student], teacher, values[case]['losses'][name].get('f64'), gradients

    return find


def call(name, student, teacher, **config):
    return TRANSFER_LOSSES.build(dict(type=name, **config))(dict(feats=student), dict(feats=teacher))


@pytest.mark.parametrize('case', CASES)
@pytest.mark.parametrize('name', ['AT', 'NST'])
def test_equals_the_published_value_and_gradient(published, name, case):
    student, teacher, expected, gradients = published(case, name)
    value = call(name, student, teacher)
    value.backward()
    assert value.item() == pytest.approx(expected, rel=1e-6)
    for map_, gradient in zip(student, gradients):
        np.testing.assert_allclose(map_.grad.numpy(), gradient, rtol=1e-6, atol=1e-12)


def test_at_of_maps_that_attend_to_one_place_each():
    student, teacher = torch.zeros(2, 3, 2, 2), torch.zeros(2, 5, 2, 2)
    # Sample 0: other places, (1, 0, 0, 0) against (0, 1, 0, 0). Sample 1: the same place.
    student[0, :, 0, 0] = student[1, 1, 1, 1] = 3.
    teacher[0, 2, 0, 1] = teacher[1, :, 1, 1] = -7.
    assert call('AT', [student], [teacher]).item() == pytest.approx(1000 * 2 / 8)


@pytest.mark.parametrize('size', [(1, 2), (2, 3), (5, 7)])
def test_nst_is_the_same_over_places_and_over_channels(size):
    # Fewer places than channels of one side, of either, of none.
    student, teacher = torch.randn(3, 2, *size, dtype=torch.float64), torch.randn(3, 6, *size, dtype=torch.float64)
    x, y = (side.flatten(2) / side.flatten(2).norm(dim=2, keepdim=True) for side in (student, teacher))

    def mean_kernel(first, second):
        return torch.stack([(one @ two.T) ** 2 for one, two in zip(first, second)]).mean()

    expected = (mean_kernel(x, x) + mean_kernel(y, y) - 2 * mean_kernel(x, y)).item()
    assert mean_discrepancy(x, y).item() == pytest.approx(expected)
    assert call('NST', [student], [teacher], loss_weight=1.).item() == pytest.approx(expected)


# KDSVD


def plain_kdsvd(student, teacher, signs):
    """The formula by singular value decompositions: a tensor (B, stages - 1) whose sum over B is B times the loss.

    ``signs`` (B, stages) multiply the teacher's vectors, which have a sum of at least 0.
    """
    terms, before = [], None
    for stage, (s, t) in enumerate(zip(student, teacher)):
        candidates = torch.linalg.svd(s.flatten(1, 2), full_matrices=False).Vh[:, :4].mT
        first = torch.linalg.svd(t.flatten(1, 2), full_matrices=False).Vh[:, 0]
        first = first * first.sum(1, keepdim=True).sign() * signs[:, stage, None]
        chosen = []
        for vectors, target in zip(candidates, first):
            cosines = vectors.T @ target
            chosen.append(vectors[:, cosines.abs().argmax()] * cosines[cosines.abs().argmax()].sign())
        now = torch.stack(chosen), first
        if before is not None:
            kernels = [torch.exp(-(a[:, :, None] - b[:, None, :]) ** 2 / 8) for a, b in zip(now, before)]
            terms.append(((kernels[0] - kernels[1]) ** 2).sum(dim=(1, 2)))
        before = now
    return torch.stack(terms, dim=1)


@pytest.mark.parametrize('case', CASES[:2])
def test_kdsvd_equals_its_formula_which_is_the_published_value_at_the_signs_it_was_made_with(published, case):
    student, teacher, expected, gradients = published(case, 'KDSVD')
    batch = len(student[0])
    one = torch.ones(batch, 3, dtype=torch.float64)
    plain = plain_kdsvd(student, teacher, one)
    value = call('KDSVD', student, teacher)
    assert value.item() == pytest.approx(plain.sum().item() / batch, rel=1e-6)
    for found, gradient in zip(torch.autograd.grad(value, student), torch.autograd.grad(plain.sum() / batch, student)):
        np.testing.assert_allclose(found.numpy(), gradient.numpy(), rtol=1e-6, atol=1e-12)
    # The published value has whatever signs the decomposition gave; a term knows those of two stages by their product.
    other = plain_kdsvd(student, teacher, one * torch.tensor([1., -1., 1.]))
    both = torch.stack((plain, other)).detach().numpy() / batch
    choices = np.array(list(itertools.product((0, 1), repeat=2 * batch))).reshape(-1, batch, 2)
    sums = np.take_along_axis(both[None].repeat(len(choices), 0), choices[:, None], axis=1).sum(axis=(1, 2, 3))
    nearest = np.abs(sums - expected).argmin()
    # Published in single precision.
    assert sums[nearest] == pytest.approx(expected, rel=1e-5)
    flips = 1. - 2. * torch.from_numpy(choices[nearest])
    signs = torch.stack((torch.ones(batch), flips[:, 0], flips[:, 0] * flips[:, 1]), dim=1)
    total = plain_kdsvd(student, teacher, signs.double()).sum() / batch
    for found, gradient in zip(torch.autograd.grad(total, student), gradients):
        np.testing.assert_allclose(found.numpy(), gradient, rtol=1e-3, atol=1e-3 * np.abs(gradient).max())


def test_kdsvd_takes_maps_of_other_widths_where_the_original_stops(published):
    student, teacher, expected, _ = published('c_student_larger_maps', 'KDSVD')
    assert expected is None
    pooled = [torch.nn.functional.avg_pool2d(s, 2 if s.shape[2] > t.shape[2] else 1) for s, t in zip(student, teacher)]
    plain = plain_kdsvd(pooled, teacher, torch.ones(5, 3, dtype=torch.float64)).sum().item() / 5
    assert call('KDSVD', student, teacher).item() == pytest.approx(plain, rel=1e-6)


def test_kdsvd_does_not_depend_on_the_signs_of_the_decomposition(monkeypatch):
    student, teacher = ([torch.randn(3, 4, 5, 6), torch.randn(3, 4, 3, 3)] for _ in range(2))
    expected = call('KDSVD', student, teacher).item()
    eigh = torch.linalg.eigh

    def turned(matrices):
        values, vectors = eigh(matrices)
        return values, vectors * torch.randn(len(vectors), 1, vectors.shape[2]).sign()

    monkeypatch.setattr(torch.linalg, 'eigh', turned)
    assert call('KDSVD', student, teacher).item() == pytest.approx(expected, rel=1e-5)


def test_singular_vectors_that_turn_freely_get_no_gradient():
    # Two equal singular values and a third: the first two vectors turn within their plane, and towards the third.
    map_ = torch.diag(torch.tensor([2., 2., 1.], dtype=torch.float64)).reshape(1, 1, 3, 3).requires_grad_()
    vectors = right_vectors(map_, 1)
    gradient = torch.autograd.grad(vectors.sum(), map_)[0]
    assert torch.isfinite(gradient).all()
    assert gradient.abs().max() < 5
    assert right_vectors(torch.zeros(1, 2, 1, 5), 4).shape == (1, 5, 2)


def test_kdsvd_needs_two_stages():
    maps = [torch.randn(2, 3, 4, 4), torch.randn(2, 3, 2, 2)]
    with pytest.raises(ValueError, match='at least two of both sides, got 2 of the student and 1 of the teacher; let'):
        call('KDSVD', maps, maps[1:])
