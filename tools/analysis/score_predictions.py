"""Score a file of predictions of vision-language tasks.

    python tools/analysis/score_predictions.py predictions.jsonl --out scores.json

FILE holds JSON lines as the toolbox writes them, or is the result file of the published inference script. Scores are in
percent; docs/user_guides/falcon_metrics.md defines them.
"""

import argparse

from rstoolbox.engine.errors import check_output, readable_errors
from rstoolbox.evaluation import format_scores, read_dump, score_records
from rstoolbox.structures import write_json


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('file', metavar='FILE', help='predictions with their ground truth')
    parser.add_argument('--variant', choices=('sound', 'as_released'), default='sound',
                        help="'as_released' gives the numbers of the published evaluator, with its known defects")
    parser.add_argument('--out', metavar='OUT.json', help='write all scores here, in flat form')
    args = parser.parse_args()
    check_output('--out', args.out)
    _, report = score_records(read_dump(args.file), args.variant)
    if not report:
        raise ValueError(f"'{args.file}' holds no record.")
    if args.out:
        write_json({'variant': args.variant, **flat(report)}, args.out)
    print(format_scores(report, args.variant))


def flat(content, prefix=''):
    """Nested dicts as one, keys joined by '/'; the scores of a task stand directly below its name."""
    result = {}
    for key, value in content.items():
        name = prefix.rstrip('/') if key == 'metrics' else f'{prefix}{key}'
        result |= flat(value, f'{name}/') if isinstance(value, dict) else {name: value}
    return result


if __name__ == '__main__':
    with readable_errors():
        main()
