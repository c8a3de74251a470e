"""CORAL: how far apart the covariances of two sets of features are (Sun and Saenko, Deep CORAL, 2016)."""

import torch

VARIANTS = ('sound', 'relative', 'as_released')


def coral_loss(x, y, variant='sound'):
    """Squared distance between the covariances of two sets of features of the same width.

    With ``C`` the covariance (divided by n - 1) and ``S`` the scatter matrix (not divided) of a set:

    - ``sound``: ``||C_x - C_y||_F^2 / (4 d^2)``, the form of the Deep CORAL paper;
    - ``relative``: an unbiased estimate of the squared distance of the true covariances, divided by
      ``||C_x||_F^2 + ||C_y||_F^2`` taken as constant: about 0 for equal covariances, at most about 1, whatever the
      width and the scale of the features. The value of ``sound`` shrinks with the width and grows with the fourth power
      of the scale, so that no weight fits two networks; and its noise, ``(tr(C^2) + tr(C)^2) / (n - 1)`` a side, has
      a gradient that shrinks the features. Estimates may be slightly negative;
    - ``as_released``: ``mean((S_x - S_y)^2) / (4 d)``, which grows with the batch.

    Where few samples meet many columns the matrices d x d are never built: ``||C_x - C_y||^2`` follows from products
    between samples. One sample says nothing about a covariance, so a side with a single sample (``relative``: fewer
    than four) gives 0 in every variant but ``as_released``, where its scatter is 0.

    Args:
        x (Tensor): (n, d).
        y (Tensor): (m, d).
        variant (str): ``sound``, ``relative`` or ``as_released``.

    Returns:
        Tensor: Scalar, at least 0 but for ``relative``.

    Raises:
        ValueError: For an unknown variant, an empty side or widths that differ.
    """
    if variant not in VARIANTS:
        raise ValueError(f"coral_loss has no variant '{variant}'; it has {', '.join(VARIANTS)}.")
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1] or 0 in (*x.shape, *y.shape):
        raise ValueError('coral_loss needs two sets (n, d) and (m, d) of the same width, neither empty; got '
                         f'{tuple(x.shape)} and {tuple(y.shape)}.')
    width = x.shape[1]
    x, y = x - x.mean(dim=0), y - y.mean(dim=0)
    if variant == 'as_released':
        return _distance(*_products(x, y, 1, 1)) / (4 * width**3)
    if min(len(x), len(y)) < (4 if variant == 'relative' else 2):
        return (x.sum() + y.sum()) * 0
    norm_x, norm_y, cross = _products(x, y, len(x) - 1, len(y) - 1)
    if variant == 'sound':
        return _distance(norm_x, norm_y, cross) / (4 * width**2)
    scale = (norm_x + norm_y).detach().clamp(min=torch.finfo(x.dtype).tiny)
    return (_unbiased_norm(x, norm_x) + _unbiased_norm(y, norm_y) - 2 * cross) / scale


def _distance(norm_x, norm_y, cross):
    # Rounding may leave a small negative number where both sides are equal.
    return (norm_x + norm_y - 2 * cross).clamp(min=0)


def _unbiased_norm(x, norm):
    """An unbiased estimate of ``tr(Sigma^2)`` from n centred samples (Himeno and Yamada, 2014); ``norm`` is tr(C^2)."""
    n = len(x)
    lengths = x.square().sum(dim=1)
    trace, fourth = lengths.sum() / (n - 1), lengths.square().sum() / (n - 1)
    return (n - 1) / (n * (n - 2) * (n - 3)) * ((n - 1) * (n - 2) * norm + trace**2 - n * fourth)


def _products(x, y, x_divisor, y_divisor):
    """``||X||_F^2``, ``||Y||_F^2`` and ``<X, Y>`` of the matrices ``X = x'x / x_divisor`` and ``Y`` alike."""
    n, m, width = len(x), len(y), x.shape[1]
    by_samples = n * n + m * m + n * m < (n + m) * width
    return (_products_by_samples if by_samples else _products_by_columns)(x, y, x_divisor, y_divisor)


def _products_by_samples(x, y, x_divisor, y_divisor):
    return ((x @ x.T / x_divisor).square().sum(), (y @ y.T / y_divisor).square().sum(),
            (x @ y.T).square().sum() / (x_divisor * y_divisor))


def _products_by_columns(x, y, x_divisor, y_divisor):
    x, y = x.T @ x / x_divisor, y.T @ y / y_divisor
    return x.square().sum(), y.square().sum(), (x * y).sum()
