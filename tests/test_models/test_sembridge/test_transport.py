"""Sinkhorn: POT's plans, marginals, gradients, bad input."""

import ot
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rstoolbox.models.sembridge.transport import sinkhorn


def problem(batch=3, rows=5, columns=7, seed=0, dtype=torch.float64):
    random = torch.Generator().manual_seed(seed)
    a, b = torch.rand(batch, rows, generator=random) + 0.1, torch.rand(batch, columns, generator=random) + 0.1
    cost = torch.rand(batch, rows, columns, generator=random)
    return cost.to(dtype), (a / a.sum(1, keepdim=True)).to(dtype), (b / b.sum(1, keepdim=True)).to(dtype)


@pytest.mark.parametrize('epsilon', [0.05, 0.5])
@pytest.mark.parametrize('size', [(4, 4), (5, 9), (1, 6), (6, 1)])
def test_plans_are_those_of_pot(epsilon, size):
    cost, a, b = problem(4, *size)
    plan = sinkhorn(cost, a, b, epsilon, num_iters=5000, tol=1e-12)
    for item in range(4):
        expected = ot.sinkhorn(a[item].numpy(), b[item].numpy(), cost[item].numpy(), epsilon, numItermax=10000,
                               stopThr=1e-12, warn=False)
        assert torch.allclose(plan[item], torch.from_numpy(expected), atol=1e-9)


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
def test_a_small_epsilon_gives_the_exact_plan(dtype):
    cost, a, b = problem(3, 6, 4, dtype=dtype)
    plan = sinkhorn(cost, a, b, epsilon=1e-3, num_iters=20000, tol=1e-6)
    for item in range(3):
        exact = ot.emd2(a[item].double().numpy(), b[item].double().numpy(), cost[item].double().numpy())
        assert float((plan[item] * cost[item]).sum()) == pytest.approx(exact, abs=2e-3)
    assert torch.isfinite(plan).all()


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), rows=st.integers(1, 9), columns=st.integers(1, 9),
       epsilon=st.sampled_from([1e-4, 1e-2, 0.1, 10.]), num_iters=st.sampled_from([1, 3, 50]),
       scale=st.sampled_from([1e-3, 1., 100.]), empty=st.booleans())
def test_marginals_are_met_however_few_the_iterations(seed, rows, columns, epsilon, num_iters, scale, empty):
    cost, a, b = problem(2, rows, columns, seed, torch.float32)
    if empty and rows > 1:
        a[:, 0] = 0
        a = a / a.sum(1, keepdim=True)
    plan = sinkhorn(scale * cost, a, b, epsilon, num_iters)
    assert (plan >= 0).all()
    assert torch.allclose(plan.sum(2), a, atol=1e-5)
    assert torch.allclose(plan.sum(1), b, atol=1e-5)


@pytest.mark.parametrize(('num_iters', 'tol'), [(4, 0.), (500, 1e-13)])
def test_gradients_are_those_of_the_plan(num_iters, tol):
    cost, a, b = (tensor.requires_grad_() for tensor in problem(2, 3, 4))

    def plan(cost, a, b):
        return sinkhorn(cost, a.softmax(1), b.softmax(1), 0.2, num_iters, tol)

    assert torch.autograd.gradcheck(plan, (cost, a, b))


def test_it_stops_once_the_marginals_are_met(monkeypatch):
    cost, a, b = problem()
    calls = []
    logsumexp = torch.logsumexp
    monkeypatch.setattr(torch, 'logsumexp', lambda *args, **kwargs: calls.append(1) or logsumexp(*args, **kwargs))
    sinkhorn(cost, a, b, epsilon=1., num_iters=1000, tol=1e-3)
    assert len(calls) < 30


def test_masses_without_gradient_trouble_at_zero():
    cost, a, b = problem(1, 3, 3)
    a = torch.tensor([[0., .5, .5]], dtype=torch.float64)
    cost.requires_grad_()
    plan = sinkhorn(cost, a, b)
    plan.square().sum().backward()
    assert plan[0, 0].abs().max() < 1e-12
    assert torch.isfinite(cost.grad).all()


@pytest.mark.parametrize(('change', 'message'), [
    (dict(a=torch.tensor([[1.5, -.5]])), 'Marginal a of item 0 holds a negative'),
    (dict(b=torch.tensor([[torch.nan, 1., 0.]])), 'Marginal b of item 0 holds a negative or NaN'),
    (dict(a=torch.tensor([[.5, .9]])), 'same sum'),
    (dict(a=torch.zeros(1, 2), b=torch.zeros(1, 3)), 'same sum above 0'),
    (dict(a=torch.ones(1, 3) / 3), r'cost \(B, N, M\)'),
    (dict(cost=torch.zeros(2, 3)), r'cost \(B, N, M\)'),
    (dict(cost=torch.full((1, 2, 3), torch.nan)), 'cost of item 0 holds NaN'),
    (dict(epsilon=0.), 'epsilon must be above 0'),
    (dict(num_iters=0), 'num_iters must be at least 1'),
    (dict(cost=torch.zeros(1, 0, 3), a=torch.zeros(1, 0)), 'at least one'),
])
def test_bad_input_is_named(change, message):
    arguments = dict(cost=torch.zeros(1, 2, 3), a=torch.ones(1, 2) / 2, b=torch.ones(1, 3) / 3)
    with pytest.raises(ValueError, match=message):
        sinkhorn(**{**arguments, **change})
