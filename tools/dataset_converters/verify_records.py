"""Check every record and the header of every image before a training does.

    python tools/dataset_converters/verify_records.py train.json --image-root DATA
    python tools/dataset_converters/verify_records.py train.arrow --image-root DATA --other test.json

Reports by record number and file: malformed records, images that are missing or unreadable, pairs of unequal size,
crops outside the image, unknown task tags, another number of images than the task's, answers and regions of prompts
that cannot be read, special tokens, files without a record, and images that the records of ``--other`` have too. Exits
with 1 if there is anything.
"""

import argparse
import sys
from functools import partial

from rich.progress import track

from rstoolbox.datasets.falcon import verify_records
from rstoolbox.engine.errors import count, readable_errors


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('records', help='.json, .jsonl, .parquet or a store, .arrow')
    parser.add_argument('--image-root', default='.', help='folder that the image paths begin in')
    parser.add_argument('--other', nargs='+', help='records of other splits, which must share no image with these')
    parser.add_argument('--show', type=count, default=20, help='how many findings are printed')
    args = parser.parse_args()
    with readable_errors():
        report = verify_records(args.records, args.image_root, args.other,
                                partial(track, description='records', total=None), most=args.show)
    for text in report.findings:
        print(text)
    if report.found > args.show:
        print(f'... and {report.found - args.show} more')
    if report.unclassed:
        print(f'{report.unclassed} records ask for a class in words of their own. They can be learnt, but are never '
              "reworded, and scores count all their classes as one, 'object', unless they name it as \"category\".")
    print(f'{report.records} records, {report.images} images, {report.found} findings')
    sys.exit(report.found > 0)


if __name__ == '__main__':
    main()
