"""CORAL: its definition, both ways to compute it, few samples, bad input."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rstoolbox.models.sembridge import coral
from rstoolbox.models.sembridge.coral import coral_loss


def sets(n, m, width, seed=0):
    random = torch.Generator().manual_seed(seed)
    return (torch.randn(n, width, generator=random, dtype=torch.float64) * 2 + 3,
            torch.randn(m, width, generator=random, dtype=torch.float64))


@settings(max_examples=30, deadline=None)
@given(n=st.integers(2, 12), m=st.integers(2, 12), width=st.integers(1, 40), seed=st.integers(0, 10**6))
def test_values_are_those_of_the_definition(n, m, width, seed):
    x, y = sets(n, m, width, seed)
    c_x, c_y = (np.atleast_2d(np.cov(values.numpy(), rowvar=False)) for values in (x, y))
    squared = ((c_x - c_y)**2).sum()
    assert coral_loss(x, y).item() == pytest.approx(squared / (4 * width**2))
    s_x, s_y = c_x * (n - 1), c_y * (m - 1)
    assert coral_loss(x, y, 'as_released').item() == pytest.approx(((s_x - s_y)**2).mean() / (4 * width))


@pytest.mark.parametrize('variant', coral.VARIANTS)
@pytest.mark.parametrize('size', [(6, 6, 10), (3, 9, 40), (30, 20, 4)])
def test_both_ways_agree_in_value_and_gradient(monkeypatch, variant, size):
    results = []
    for way in (coral._products_by_samples, coral._products_by_columns):
        monkeypatch.setattr(coral, '_products_by_samples', way)
        monkeypatch.setattr(coral, '_products_by_columns', way)
        x, y = (values.requires_grad_() for values in sets(*size))
        loss = coral_loss(x, y, variant)
        results.append((loss, *torch.autograd.grad(loss, (x, y))))
    for first, second in zip(*results, strict=True):
        assert torch.allclose(first, second, rtol=1e-9)


def test_the_cheaper_way_is_taken(monkeypatch):
    taken = []
    monkeypatch.setattr(coral, '_products_by_samples', lambda *args: taken.append('samples') or (args[0].sum(),) * 3)
    monkeypatch.setattr(coral, '_products_by_columns', lambda *args: taken.append('columns') or (args[0].sum(),) * 3)
    coral_loss(torch.randn(8, 2048), torch.randn(8, 2048))
    coral_loss(torch.randn(500, 16), torch.randn(300, 16))
    assert taken == ['samples', 'columns']


def test_gradients_of_the_sound_form():
    x, y = (values.requires_grad_() for values in sets(4, 5, 6))
    assert torch.autograd.gradcheck(coral_loss, (x, y))


def test_equal_sets_give_zero_and_relative_ignores_the_scale():
    x, y = sets(10, 12, 30)
    assert coral_loss(x, x).item() == pytest.approx(0, abs=1e-12)
    assert coral_loss(x.float(), x.float()).item() >= 0
    assert coral_loss(x, y, 'relative').item() == pytest.approx(coral_loss(50 * x, 50 * y, 'relative').item())


@pytest.mark.parametrize('sizes', [(1, 1), (1, 5), (5, 1)])
@pytest.mark.parametrize('variant', ['sound', 'relative'])
def test_one_sample_has_no_covariance(sizes, variant):
    x, y = (values.requires_grad_() for values in sets(*sizes, 7))
    loss = coral_loss(x, y, variant)
    loss.backward()
    assert loss == 0
    assert (x.grad == 0).all()


def test_constant_features_give_no_nan():
    x = torch.ones(4, 3, requires_grad=True)
    for variant in coral.VARIANTS:
        loss = coral_loss(x, torch.ones(5, 3), variant)
        assert loss == 0
        assert (torch.autograd.grad(loss, x)[0] == 0).all()


def test_the_relative_form_is_unbiased_where_the_plain_one_shrinks_the_features():
    generator = torch.Generator().manual_seed(0)
    mixing = torch.randn(12, 40, generator=generator, dtype=torch.float64)
    values, slopes, plain = [], [], []
    for _ in range(400):
        x, y = (torch.randn(16, 12, generator=generator, dtype=torch.float64) @ mixing for _ in range(2))
        factor = torch.ones((), dtype=torch.float64, requires_grad=True)
        loss = coral_loss(factor * x, y, 'relative')
        values.append(loss.item())
        slopes.append(torch.autograd.grad(loss, factor)[0].item())
        plain.append(torch.autograd.grad(coral_loss(factor * x, y), factor)[0].item())
    # Both sides are of one distribution: the right answer is no distance and no pull, up to four standard errors.
    for numbers in (values, slopes):
        numbers = torch.tensor(numbers)
        assert abs(numbers.mean()) < 4 * numbers.std() / len(numbers)**0.5
    plain = torch.tensor(plain)
    assert plain.mean() > 4 * plain.std() / len(plain)**0.5


def test_the_relative_form_of_large_sets_is_that_of_their_covariances():
    x, y = sets(4000, 4000, 3)
    c_x, c_y = (np.cov(values.numpy(), rowvar=False) for values in (x, y))
    expected = ((c_x - c_y)**2).sum() / ((c_x**2).sum() + (c_y**2).sum())
    assert coral_loss(x, y, 'relative').item() == pytest.approx(expected, rel=5e-3)


@pytest.mark.parametrize(('arguments', 'message'), [
    ((torch.zeros(3, 4), torch.zeros(3, 5)), 'same width'),
    ((torch.zeros(3, 4), torch.zeros(0, 4)), 'neither empty'),
    ((torch.zeros(3), torch.zeros(3)), r'\(n, d\)'),
    ((torch.zeros(3, 4), torch.zeros(3, 4), 'published'), "no variant 'published'"),
])
def test_bad_input_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        coral_loss(*arguments)
