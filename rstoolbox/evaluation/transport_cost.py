"""What it costs to carry one set of representations to another: by a pairing, and at best (Wasserstein distance)."""

import numpy as np
from scipy.spatial.distance import cdist


def pairing_cost(x, y):
    """Mean Euclidean distance of the rows of two matrices (N, D), row by row."""
    x, y = _checked(x, y)
    if len(x) != len(y):
        raise ValueError(f'A pairing needs as many rows on both sides, got {len(x)} and {len(y)}.')
    return float(np.linalg.norm(x - y, axis=1).mean())


def wasserstein_distance(x, y):
    """Wasserstein-1 distance of two sets of points of equal masses, with Euclidean distances, solved exactly.

    The cheapest of all ways to carry one set to the other, so at most the :func:`pairing_cost` of any pairing. Of few
    points it is larger than that of the distributions they are drawn from: compare only sets of one size.

    Args:
        x (ndarray): (N, D), finite.
        y (ndarray): (M, D), finite.

    Returns:
        float: At least 0, in units of the points.
    """
    import ot  # here, as it takes a second that every other command would wait too
    x, y = _checked(x, y)
    return max(float(ot.emd2([], [], cdist(x, y), numItermax=10_000_000)), 0.)


def transport_costs(pairs, labels, num_samples, resamples=20, seed=0):
    """Costs of several pairings and of the sets they pair, within each class and over all, over seeded resamples.

    Every resample draws ``num_samples`` rows of each class, the same ones for pairings of the same labels.

    Args:
        pairs (dict[str, tuple]): Name of a pairing -> two matrices (N, D), row by row a pair.
        labels (dict[str, array-like]): Name of a pairing -> (N,) class indices of its rows.
        num_samples (int): Rows of each class, at most the rows there are.
        resamples (int): How often to draw, at least 1.
        seed (int): Of the draws.

    Returns:
        dict[str, dict]: Name -> class index, ``'within'`` (the mean over classes) or ``'all'`` (the rows of all classes
        as one set) -> ``pairing`` and ``wasserstein``, each with the ``mean`` and the ``deviation`` over resamples.

    Raises:
        ValueError: If a class has fewer rows than ``num_samples``, or a value is not finite.
    """
    result = {}
    for name, (x, y) in pairs.items():
        own, found = np.asarray(labels[name]), {}
        x, y = np.asarray(x), np.asarray(y)
        for resample in range(resamples):
            random = np.random.default_rng([seed, resample])
            drawn = {int(label): _draw(random, np.flatnonzero(own == label), num_samples, name, label)
                     for label in np.unique(own)}
            costs = {label: (pairing_cost(x[rows], y[rows]), wasserstein_distance(x[rows], y[rows]))
                     for label, rows in (*drawn.items(), ('all', np.concatenate(list(drawn.values()))))}
            costs['within'] = np.mean([costs[label] for label in drawn], axis=0)
            for label, values in costs.items():
                found.setdefault(label, []).append(values)
        result[name] = {label: {kind: dict(mean=float(np.mean(values)), deviation=_deviation(values))
                                for kind, values in zip(('pairing', 'wasserstein'), np.transpose(costs))}
                        for label, costs in found.items()}
    return result


def _deviation(values):
    """Standard deviation (n - 1) of some numbers; of a single one 0."""
    return float(np.std(values, ddof=min(1, len(values) - 1)))


def _draw(random, rows, count, name, label):
    if len(rows) < count:
        raise ValueError(f"'{name}' has {len(rows)} samples of class {label}, fewer than the {count} that are drawn.")
    return random.choice(rows, count, replace=False)


def _checked(x, y):
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if x.ndim != 2 or y.ndim != 2 or x.shape[1:] != y.shape[1:] or 0 in (len(x), len(y)):
        raise ValueError(f'Transport is between two sets (N, D) and (M, D) of one width, neither empty; got {x.shape} '
                         f'and {y.shape}.')
    for points in (x, y):
        if not np.isfinite(points).all():
            row = np.argwhere(~np.isfinite(points))[0][0]
            raise ValueError(f'Row {row} of a set of representations is not finite.')
    return x, y
