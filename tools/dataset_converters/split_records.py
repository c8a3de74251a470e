"""Split instruction records into train, val and test by their images.

    python tools/dataset_converters/split_records.py scenes.jsonl vqa.jsonl data/falcon --ratio 0.8 0.1 0.1

writes data/falcon/train.jsonl, val.jsonl and test.jsonl. All records of an image stay together, and so do images that
are a pair anywhere; scene classes (IMG_CLS) are shared out evenly. The same seed gives the same split, whatever the
order of the records. Records without an image come into the first file.
"""

import argparse
import itertools
import os
from collections import Counter
from pathlib import Path

from rich.progress import track

from rstoolbox.datasets.falcon import read_records, write_records
from rstoolbox.datasets.falcon.record_files import at_least_one
from rstoolbox.datasets.splits import PARTS, seeded_place
from rstoolbox.engine.errors import check_output, readable_errors, seed_number


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('source', nargs='+', help='files of records (.json, .jsonl, .parquet)')
    parser.add_argument('out', help='folder of the three files')
    parser.add_argument('--ratio', type=float, nargs=3, default=(0.8, 0.1, 0.1), metavar=('TRAIN', 'VAL', 'TEST'),
                        help='shares of the images, of sum 1 (default 0.8 0.1 0.1); without a share, no file')
    parser.add_argument('--seed', type=seed_number, default=0)
    parser.add_argument('--format', choices=('jsonl', 'json', 'parquet'), default='jsonl', help='default: jsonl')
    args = parser.parse_args()
    if min(args.ratio) < 0 or not abs(sum(args.ratio) - 1) <= 1e-6:
        parser.error(f'--ratio is three shares of sum 1, got {args.ratio}')
    files = {part: Path(args.out, f'{part}.{args.format}') for part, share in zip(PARTS, args.ratio) if share}
    for path in args.source:
        if Path(path).resolve() in [file.resolve() for file in files.values()]:
            parser.error(f"'{path}' is read, and would be written; name another folder than '{args.out}'")
    with readable_errors():
        check_output('OUT', args.out, folder=True)
        places, labels = related_images(args.source)
        parts = share_out(labels, dict(zip(PARTS, args.ratio)), args.seed)
        counts = {part: sum(other == part for other in parts.values()) for part in files}
        for part, count in counts.items():
            if not count:
                raise ValueError(f'{part} would have no image: there are {len(labels)} (pairs of) images to share out '
                                 f'by {args.ratio}. Take another --ratio.')
        tasks = {part: Counter() for part in files}
        for part, path in files.items():
            chosen = (record for record in track(records(args.source), part, total=None)
                      if (parts[places[key(record)]] if record.images else next(iter(files))) == part)
            written = write_records(counted(chosen, tasks[part]), path)
            print(f'{path}: {written} records of {counts[part]} (pairs of) images')
        for task in sorted(set().union(*tasks.values())):
            print(f'{task or "without a task":16}', *(f'{part} {found[task]:<8}' for part, found in tasks.items()))


def share_out(labels, shares, seed):
    """The part of each name: class by class, in a random order, each time that which lacks most of its share."""
    parts, counts = {}, dict.fromkeys(shares, 0)
    for number, name in enumerate(sorted(labels, key=lambda name: (labels[name], seeded_place(seed, name))), 1):
        parts[name] = max(shares, key=lambda part: shares[part] * number - counts[part])
        counts[parts[name]] += 1
    return parts


def counted(chosen, tasks):
    """The records, as they are counted by task."""
    for record in chosen:
        tasks[record.task] += 1
        yield record


def records(paths):
    return itertools.chain.from_iterable(at_least_one(read_records(path), path) for path in paths)


def key(record):
    """The name of a record's first image, the same however its path is written."""
    return os.path.normpath(record.images[0])


def related_images(paths):
    """For each image the name of the first of all that it is related to by pairs, and for each of those its class."""
    parent, classes = {}, {}

    def root(name):
        while parent[name] != name:
            parent[name] = name = parent[parent[name]]
        return name

    for record in track(records(paths), 'images', total=None):
        names = [os.path.normpath(name) for name in record.images]
        for name in names:
            parent.setdefault(name, name)
        for name in names[1:]:
            first, last = sorted((root(names[0]), root(name)))
            parent[last] = first
        if record.task == 'IMG_CLS' and names:
            classes[names[0]] = min(classes.get(names[0], record.answer), record.answer)
    places = {name: root(name) for name in parent}
    labels = {}
    for name in sorted(places):
        labels[places[name]] = labels.get(places[name]) or classes.get(name, '')
    return places, labels


if __name__ == '__main__':
    main()
