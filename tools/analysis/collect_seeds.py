"""Mean and standard deviation over seeds of what several runs of one experiment wrote.

    python tools/analysis/collect_seeds.py work_dirs/r18_eu/seed0 work_dirs/r18_eu/seed1 work_dirs/r18_eu/seed2

Prints a Markdown table of the test split and, for each row, the paired difference of the accuracy to another row.
"""

import argparse
import json
from pathlib import Path
from statistics import mean, stdev

from rstoolbox.engine.errors import readable_errors
from rstoolbox.engine.report import TITLES
from rstoolbox.engine.testing import METRICS
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
        return json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"'{path}' is no JSON ({error}). Remove it and run tools/train.py again.") from None


def collect(summaries, against):
    """For each row: mean and deviation of every metric, and of the difference in accuracy to the row ``against``."""
    rows = list(summaries[0])
    if against not in rows:
        raise ValueError(f"There is no row '{against}' to compare with; the summaries hold {', '.join(rows)}.")
    for number, summary in enumerate(summaries):
        if list(summary) != rows:
            raise ValueError(f'Summary {number} holds the rows {", ".join(summary)}; the first {", ".join(rows)}.')
    result = {}
    for row in rows:
        values = {key: [summary[row][key] for summary in summaries] for key in METRICS}
        values['gain'] = [summary[row]['accuracy'] - summary[against]['accuracy'] for summary in summaries]
        result[row] = {key: dict(mean=mean(numbers), deviation=stdev(numbers) if len(numbers) > 1 else 0.,
                                 values=numbers) for key, numbers in values.items()}
    return result


def markdown(result, against):
    """The result as a Markdown table."""
    titles = [*(TITLES[key] for key in METRICS), f'Accuracy - {against}']
    lines = ['| Row | ' + ' | '.join(titles) + ' |', '|---|' + '---:|' * len(titles)]
    for row, values in result.items():
        cells = [f'{value["mean"]:.2f} ± {value["deviation"]:.2f}' for key, value in values.items() if key != 'gain']
        gain = values['gain']
        cells.append('' if row in (against, 'teacher') else f'{gain["mean"]:+.2f} ± {gain["deviation"]:.2f}')
        lines.append(f'| {row} | ' + ' | '.join(cells) + ' |')
    return '\n'.join(lines)


if __name__ == '__main__':
    with readable_errors():
        main()
