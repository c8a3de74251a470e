"""Mean and standard deviation over seeds of what several runs of one experiment wrote.

    python tools/analysis/collect_seeds.py work_dirs/r18_eu/seed0 work_dirs/r18_eu/seed1 work_dirs/r18_eu/seed2

Prints a Markdown table of the test split and, for each row, the paired difference to another row: in accuracy, or in
the first metric where the runs were tested by others.
"""

import argparse
import json
from pathlib import Path

from rstoolbox.engine.benchmark.table import spread
from rstoolbox.engine.errors import readable_errors
from rstoolbox.engine.report import TITLES, columns
from rstoolbox.structures import write_json


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('work_dirs', nargs='+', type=Path, help='work dirs that hold a summary.json, one for each seed')
    parser.add_argument('--against', default='none', help='row that the others are compared with')
    parser.add_argument('--json', metavar='FILE', help='write the numbers here too')
    args = parser.parse_args()
    result = collect([read_summary(folder) for folder in args.work_dirs], args.against)
    print(markdown(result, args.against))
    if args.json:
        write_json(result, args.json)


def read_summary(folder):
    """The ``summary.json`` of a work dir."""
    path = folder / 'summary.json'
    if not path.is_file():
        raise FileNotFoundError(f"There is no '{path}'. Name work dirs of finished runs of tools/train.py.")
    try:
        summary = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"'{path}' is no JSON ({error}). Remove it and run tools/train.py again.") from None
    if not isinstance(summary, dict) or not all(map(_is_row, summary.values())):
        raise ValueError(f"'{path}' holds no rows of metrics. Name work dirs of finished runs of tools/train.py.")
    return summary


def _is_row(metrics):
    return (isinstance(metrics, dict) and len(metrics) > 0
            and all(isinstance(value, (int, float)) for value in metrics.values()))


def collect(summaries, against):
    """Bring the summaries of several seeds together.

    Args:
        summaries (list[dict]): One for each seed: from row to its metrics.
        against (str): The row that the others are compared with.

    Returns:
        dict[str, dict]: For each row ``mean``, ``deviation`` and ``values`` of every metric and, where the row has the
        first metric of the table, of its ``gain``: the difference of that metric to the row ``against``.

    Raises:
        ValueError: If the row to compare with is not there, or the summaries differ in rows or metrics.
    """
    first = summaries[0]
    if against not in first:
        raise ValueError(f"There is no row '{against}' to compare with; the summaries hold {', '.join(first)}.")
    for number, summary in enumerate(summaries):
        if list(summary) != list(first):
            raise ValueError(f'Summary {number} holds the rows {", ".join(summary)}; the first {", ".join(first)}.')
        for row, metrics in summary.items():
            if metrics.keys() != first[row].keys():
                raise ValueError(f"Row '{row}' of summary {number} holds the metrics {', '.join(metrics)}; of the "
                                 f'first {", ".join(first[row])}. Name runs of one experiment.')
    keys = columns(first)
    result = {}
    for row in first:
        values = {key: [summary[row][key] for summary in summaries] for key in keys if key in first[row]}
        if keys[0] in first[row] and keys[0] in first[against]:
            values['gain'] = [summary[row][keys[0]] - summary[against][keys[0]] for summary in summaries]
        result[row] = {key: dict(zip(('mean', 'deviation'), spread(numbers)), values=numbers)
                       for key, numbers in values.items()}
    return result


def markdown(result, against):
    """The result as a Markdown table."""
    keys = columns({row: {key: values for key, values in metrics.items() if key != 'gain'}
                    for row, metrics in result.items()})
    titles = [TITLES.get(key, key) for key in keys]
    titles.append(f'{titles[0]} - {against}')
    lines = ['| Row | ' + ' | '.join(titles) + ' |', '|---|' + '---:|' * len(titles)]
    for row, metrics in result.items():
        cells = [_cell(metrics.get(key), '{:.2f}') for key in keys]
        cells.append('' if row in (against, 'teacher') else _cell(metrics.get('gain'), '{:+.2f}'))
        lines.append(f'| {row} | ' + ' | '.join(cells) + ' |')
    return '\n'.join(lines)


def _cell(value, form):
    return f'{form.format(value["mean"])} ± {value["deviation"]:.2f}' if value else ''


if __name__ == '__main__':
    with readable_errors():
        main()
