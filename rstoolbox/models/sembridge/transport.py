"""Entropy-regularised optimal transport between batches of small point sets."""

import torch


def sinkhorn(cost, a, b, epsilon=0.05, num_iters=100, tol=1e-6):
    """Solve ``min_P <P, cost> - epsilon H(P)`` with row sums ``a`` and column sums ``b`` for every item of a batch.

    Sinkhorn's iterations (Cuturi 2013) on the logarithms of the scalings, so that a small ``epsilon`` neither under-
    nor overflows in float32. What the iterations leave of the marginals is moved where it is missing (Altschuler et
    al. 2017, algorithm 2), so both are met however early they stop. Autograd runs through all of it.

    Args:
        cost (Tensor): (B, N, M), finite.
        a (Tensor): (B, N) masses of the rows, not negative.
        b (Tensor): (B, M) masses of the columns, not negative, with the same sum as ``a`` in every item.
        epsilon (float): Weight of the entropy, in units of the cost, above 0. Towards 0 the plan tends to the exact
            one, and more iterations are needed.
        num_iters (int): The most iterations.
        tol (float): Iterations stop when no column sum of the batch is further off than this.

    Returns:
        Tensor: (B, N, M) plans.

    Raises:
        ValueError: For shapes that do not fit, negative masses, sums that differ, a cost that is not finite, or an
            ``epsilon`` or ``num_iters`` out of range.
    """
    _check(cost, a, b, epsilon, num_iters)
    log_a, log_b = (marginal.clamp(min=torch.finfo(marginal.dtype).tiny).log() for marginal in (a, b))
    kernel = -cost / epsilon
    column_scale = torch.zeros_like(log_b)
    for _ in range(num_iters):
        row_scale = log_a - torch.logsumexp(kernel + column_scale[:, None, :], dim=2)
        updated = log_b - torch.logsumexp(kernel + row_scale[:, :, None], dim=1)
        with torch.no_grad():
            error = (b * torch.expm1(column_scale - updated)).abs().amax()
        column_scale = updated
        if error <= tol:
            break
    row_scale = log_a - torch.logsumexp(kernel + column_scale[:, None, :], dim=2)
    plan = (kernel + row_scale[:, :, None] + column_scale[:, None, :]).exp()
    return _move_excess(plan, a, b)


def _move_excess(plan, a, b):
    """Scale down the rows and columns that carry too much and spread the mass taken over those that lack it."""
    tiny = torch.finfo(plan.dtype).tiny
    plan = plan * (a / plan.sum(dim=2).clamp(min=tiny)).clamp(max=1)[:, :, None]
    plan = plan * (b / plan.sum(dim=1).clamp(min=tiny)).clamp(max=1)[:, None, :]
    missing_in_rows = (a - plan.sum(dim=2)).clamp(min=0)
    missing_in_columns = (b - plan.sum(dim=1)).clamp(min=0)
    missing = torch.maximum(missing_in_rows.sum(dim=1), missing_in_columns.sum(dim=1)).clamp(min=tiny)
    return plan + missing_in_rows[:, :, None] * (missing_in_columns / missing[:, None])[:, None, :]


def _check(cost, a, b, epsilon, num_iters):
    if cost.ndim != 3 or a.shape != cost.shape[:2] or b.shape != (cost.shape[0], cost.shape[2]):
        raise ValueError('sinkhorn needs cost (B, N, M), a (B, N) and b (B, M); got '
                         f'{tuple(cost.shape)}, {tuple(a.shape)} and {tuple(b.shape)}.')
    if 0 in cost.shape:
        raise ValueError(f'sinkhorn needs at least one item, row and column; got cost of shape {tuple(cost.shape)}.')
    if not epsilon > 0:
        raise ValueError(f'epsilon must be above 0, got {epsilon}.')
    if num_iters < 1:
        raise ValueError(f'num_iters must be at least 1, got {num_iters}.')
    with torch.no_grad():
        if not torch.isfinite(cost).all():
            item = int((~torch.isfinite(cost)).flatten(1).any(dim=1).nonzero()[0])
            raise ValueError(f'The cost of item {item} holds NaN or infinity.')
        for name, marginal in (('a', a), ('b', b)):
            if not (marginal >= 0).all():
                item = int((~(marginal >= 0)).any(dim=1).nonzero()[0])
                raise ValueError(f'Marginal {name} of item {item} holds a negative or NaN mass: '
                                 f'{marginal[item].tolist()}.')
        total_a, total_b = a.sum(dim=1), b.sum(dim=1)
        apart = (total_a - total_b).abs() > 1e-3 * torch.maximum(total_a, total_b)
        if apart.any() or not (total_a > 0).all():
            item = int((apart | ~(total_a > 0)).nonzero()[0])
            raise ValueError('Both marginals of an item must have the same sum above 0; item '
                             f'{item} has a = {float(total_a[item]):.6g} and b = {float(total_b[item]):.6g}.')
