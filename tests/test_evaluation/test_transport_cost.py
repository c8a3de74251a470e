import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment
from scipy.stats import wasserstein_distance as of_numbers

from rstoolbox.evaluation import pairing_cost, transport_costs, wasserstein_distance


def _points(seed, number=9, width=3):
    return np.random.default_rng(seed).normal(size=(number, width))


def test_the_wasserstein_distance_is_the_best_assignment():
    x, y = _points(0), _points(1) + 1
    cost = np.linalg.norm(x[:, None] - y[None], axis=2)
    assert wasserstein_distance(x, y) == pytest.approx(cost[linear_sum_assignment(cost)].mean())


def test_on_a_line_and_for_unequal_numbers_it_is_that_of_scipy():
    x, y = _points(2, 7, 1), _points(3, 11, 1) * 2
    assert wasserstein_distance(x, y) == pytest.approx(of_numbers(x[:, 0], y[:, 0]))


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**16), number=st.integers(1, 8))
def test_no_pairing_costs_less_and_a_set_is_at_no_distance_from_itself(seed, number):
    x, y = _points(seed, number), _points(seed + 1, number)
    order = np.random.default_rng(seed).permutation(number)
    assert wasserstein_distance(x, y) <= pairing_cost(x, y[order]) + 1e-9
    assert wasserstein_distance(x, x[order]) == pytest.approx(0, abs=1e-9)


def test_a_constant_shift_costs_its_length():
    x, labels = _points(4, 20), np.arange(20) % 2
    costs = transport_costs(dict(shifted=(x, x + [3., 0., 4.])), dict(shifted=labels), num_samples=5, resamples=3)
    assert set(costs['shifted']) == {0, 1, 'within', 'all'}
    for values in costs['shifted'].values():
        for kind in ('pairing', 'wasserstein'):
            assert values[kind] == dict(mean=pytest.approx(5), deviation=pytest.approx(0, abs=1e-9))


def test_draws_follow_the_seed():
    pairs, labels = dict(pair=(_points(0, 20), _points(1, 20))), dict(pair=np.arange(20) % 2)
    first, again, other = (transport_costs(pairs, labels, 5, 2, seed) for seed in (0, 0, 1))
    assert first == again != other


@pytest.mark.parametrize('x, y, message', [
    (np.zeros((3, 2)), np.zeros((3, 4)), r'of one width, neither empty; got \(3, 2\) and \(3, 4\)'),
    (np.zeros((0, 2)), np.zeros((3, 2)), 'neither empty'),
    (np.zeros((3, 2)), np.array([[0, 0], [0, np.nan]]), 'Row 1 of a set of representations is not finite'),
])
def test_bad_sets_are_explained(x, y, message):
    with pytest.raises(ValueError, match=message):
        wasserstein_distance(x, y)


def test_a_class_with_too_few_samples_is_named():
    x = _points(0, 5)
    with pytest.raises(ValueError, match="'pair' has 2 samples of class 1, fewer than the 3"):
        transport_costs(dict(pair=(x, x)), dict(pair=[0, 0, 0, 1, 1]), 3)


def test_a_pairing_of_unequal_numbers_is_refused():
    with pytest.raises(ValueError, match='as many rows on both sides, got 5 and 4'):
        pairing_cost(_points(0, 5), _points(0, 4))
