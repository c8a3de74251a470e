"""CORAL: how far apart the covariances of two sets of features are (Sun and Saenko, Deep CORAL, 2016)."""

import torch

VARIANTS = ('sound', 'relative', 'as_released')


def coral_loss(x, y, variant='sound'):
    """Squared distance between the covariances of two sets of features of the same width.

    With ``C`` the covariance (divided by n - 1) and ``S`` the scatter matrix (not divided) of a set:

    - ``sound``: ``||C_x - C_y||_F^2 / (4 d^2)``, the form of the Deep CORAL paper;
    - ``relative``: ``||C_x - C_y||_F^2 / (||C_x||_F^2 + ||C_y||_F^2)``, the denominator taken as constant: 0 for
      equal covariances, 1 for covariances of disjoint support, whatever the width and the scale of the features. The
      value of ``sound`` shrinks with the width and grows with the fourth power of the scale, so that no weight fits two
      networks;
    - ``as_released``: ``mean((S_x - S_y)^2) / (4 d)``, which grows with the batch.

    Where few samples meet many columns the matrices d x d are never built: ``||C_x - C_y||^2`` follows from products
    between samples. One sample says nothing about a covariance, so a side with a single sample gives 0 in every variant
    but ``as_released``, where its scatter is 0.

    Args:
        x (Tensor): (n, d).
        y (Tensor): (m, d).
        variant (str): ``sound``, ``relative`` or ``as_released``.

    Returns:
        Tensor: Scalar, at least 0.

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
        return _matrix_distance(x, y, 1, 1)[0] / (4 * width**3)
    if len(x) == 1 or len(y) == 1:
        return (x.sum() + y.sum()) * 0
    distance, norms = _matrix_distance(x, y, len(x) - 1, len(y) - 1)
    if variant == 'relative':
        return distance / norms.detach().clamp(min=torch.finfo(x.dtype).tiny)
    return distance / (4 * width**2)


def _matrix_distance(x, y, x_divisor, y_divisor):
    """``||X - Y||_F^2`` and ``||X||_F^2 + ||Y||_F^2`` of the matrices ``X = x'x / x_divisor`` and ``Y`` alike."""
    n, m, width = len(x), len(y), x.shape[1]
    by_samples = n * n + m * m + n * m < (n + m) * width
    return (_distance_by_samples if by_samples else _distance_by_columns)(x, y, x_divisor, y_divisor)


def _distance_by_samples(x, y, x_divisor, y_divisor):
    norms = (x @ x.T / x_divisor).square().sum() + (y @ y.T / y_divisor).square().sum()
    both = (x @ y.T).square().sum() / (x_divisor * y_divisor)
    # Rounding may leave a small negative number where both sides are equal.
    return (norms - 2 * both).clamp(min=0), norms


def _distance_by_columns(x, y, x_divisor, y_divisor):
    x, y = x.T @ x / x_divisor, y.T @ y / y_divisor
    return (x - y).square().sum(), x.square().sum() + y.square().sum()
