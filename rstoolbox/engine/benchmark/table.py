"""Mean and deviation over seeds, and differences of methods that started from the same seeds."""

import math
from statistics import mean, stdev

from scipy.stats import t

from ..report import TITLES
from ..testing import METRICS
from .spec_file import NO_TRANSFER

LEVEL = 0.95


def summarise(rows):
    """Bring the seeds of each method together.

    Args:
        rows (list[dict]): As :func:`~rstoolbox.engine.benchmark.results.read_csv` gives them.

    Returns:
        dict[tuple[str, str], list[dict]]: For each data set and pair one entry a method, plain before SemBridge:
        ``method``, ``sembridge`` (bool), ``seeds``, for each metric and ``seconds_per_epoch`` the known values by seed,
        and the differences in accuracy ``to_none`` and ``to_plain`` (:func:`paired_difference`; None where they have
        nothing to be taken from).
    """
    groups = {}
    for row in rows:
        entries = groups.setdefault((row['dataset'], row['pair']), {})
        entry = entries.setdefault((row['method'], row['sembridge'] == 'yes'), {})
        entry[row['seed']] = row
    summary = {}
    for group, entries in groups.items():
        accuracies = {key: _known(seeds, 'accuracy') for key, seeds in entries.items()}
        summary[group] = []
        for method, sembridge in sorted(entries, key=lambda key: (_first(entries, key[0]), key[1])):
            seeds, own = entries[method, sembridge], accuracies[method, sembridge]
            values = {key: _known(seeds, key) for key in (*METRICS, 'seconds_per_epoch')}
            none = accuracies.get((NO_TRANSFER, False)) if method != NO_TRANSFER else None
            plain = accuracies.get((method, False)) if sembridge else None
            summary[group].append(dict(
                method=method, sembridge=sembridge, seeds=sorted(seeds), **values,
                to_none=paired_difference(own, none), to_plain=paired_difference(own, plain)))
    return summary


def _known(rows, key):
    """What rows by seed hold of a column, by seed; other evaluators measure no accuracy, say."""
    return {seed: row[key] for seed, row in rows.items() if row[key] is not None}


def _first(entries, method):
    """Place of a method: no transfer first, the others as they came."""
    return -1 if method == NO_TRANSFER else [name for name, _ in entries].index(method)


def spread(values):
    """Mean and standard deviation (n - 1) of some numbers; the deviation of a single one is 0."""
    return mean(values), stdev(values) if len(values) > 1 else 0.


def spread_text(values):
    """Mean and standard deviation as text; of a single number, which has no deviation, the number."""
    return '{:.2f} ± {:.2f}'.format(*spread(values)) if len(values) > 1 else ''.join(f'{value:.2f}' for value in values)


def paired_difference(values, others):
    """Mean difference over the seeds that both have, with its confidence interval by Student's t.

    Args:
        values (dict[int, float]): By seed.
        others (dict[int, float], optional): By seed.

    Returns:
        tuple[float, float | None] | None: The mean and the half width of its 95 % interval, which one seed does not
        have; None where no seed is shared.
    """
    differences = [values[seed] - others[seed] for seed in values if seed in (others or {})]
    if not differences:
        return None
    if len(differences) == 1:
        return differences[0], None
    centre, deviation = spread(differences)
    return centre, t.ppf((1 + LEVEL) / 2, len(differences) - 1) * deviation / math.sqrt(len(differences))


def markdown(rows, level=2):
    """The tables of a benchmark as Markdown, one for each data set and pair, under headings of a level."""
    parts = []
    for (dataset, pair), entries in summarise(rows).items():
        titles = ['Method', 'Seeds', *(TITLES[key] for key in METRICS), 'Accuracy against no transfer',
                  'Accuracy against the same without SemBridge', 'Seconds an epoch']
        lines = [f'{"#" * level} {dataset}, {pair}', '', f'| {" | ".join(titles)} |',
                 '|---|' + '---:|' * (len(titles) - 1)]
        lines += [f'| {" | ".join(_cells(entry))} |' for entry in entries]
        parts.append('\n'.join(lines))
    note = ('Test split, percent (macro averages): mean ± standard deviation over seeds; differences are paired by '
            "seed, with their 95 % confidence interval (Student's t).")
    return '\n\n'.join([*parts, note]) + '\n'


def title(method):
    """Name of a method in tables and pictures."""
    return 'no transfer' if method == NO_TRANSFER else method


def _cells(entry):
    name, seconds = title(entry['method']), entry['seconds_per_epoch'].values()
    return [f'{name} + SemBridge' if entry['sembridge'] else name, str(len(entry['seeds'])),
            *(spread_text(list(entry[key].values())) for key in METRICS), _difference(entry['to_none']),
            _difference(entry['to_plain']), f'{mean(seconds):.1f}' if seconds else '']


def _difference(difference):
    if difference is None:
        return ''
    centre, half = difference
    if half is None:
        return f'{centre:+.2f} (one seed)'
    return f'{centre:+.2f} [{centre - half:+.2f}, {centre + half:+.2f}]'
