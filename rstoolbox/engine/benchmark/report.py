"""What a benchmark leaves for people: a CSV file, tables and pictures."""

from pathlib import Path
from statistics import mean

from rstoolbox.structures.files import write_whole
from rstoolbox.visualization.benchmark import plot_bars, plot_cost

from .results import write_csv
from .spec_file import NO_TRANSFER
from .table import markdown, spread, summarise, title


def write_rows(rows, out):
    """Write ``results.csv`` and ``table.md`` of what is there so far.

    Args:
        rows (list[dict]): As :func:`~rstoolbox.engine.benchmark.results.read_result` gives them.
        out (str | Path): Folder.
    """
    write_csv(rows, Path(out) / 'results.csv')
    write_whole(markdown(rows).encode(), Path(out) / 'table.md')


def draw(rows, out):
    """Draw ``bars_<data set>_<pair>.png`` and ``cost_<data set>_<pair>.png``.

    Args:
        rows (list[dict]): As for :func:`write_rows`.
        out (str | Path): Folder.
    """
    for (dataset, pair), entries in summarise(rows).items():
        bars, points, baseline = {}, [], None
        for entry in (entry for entry in entries if entry['accuracy'] and entry['seconds_per_epoch']):
            accuracy = spread(list(entry['accuracy'].values()))
            if entry['method'] == NO_TRANSFER:
                baseline = accuracy[0]
            else:
                bars.setdefault(entry['method'], {})[entry['sembridge']] = accuracy
            seconds = mean(entry['seconds_per_epoch'].values())
            points.append((title(entry['method']), entry['sembridge'], seconds, accuracy))
        plot_bars(bars, baseline, Path(out) / f'bars_{dataset}_{pair}.png', f'{dataset}, {pair}')
        plot_cost(points, Path(out) / f'cost_{dataset}_{pair}.png', f'{dataset}, {pair}')
