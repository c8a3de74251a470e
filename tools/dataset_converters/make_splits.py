"""Split a folder-per-class data set into train, val and test; written as JSON with a hash.

python tools/dataset_converters/make_splits.py data/EuroSAT --group-by-utm-cell 100000 --out split.json
python tools/dataset_converters/make_splits.py data/mine --data-prefix MS --ratio 0.6 0.2 0.2 --out ms_split.json
"""

import argparse
import sys
from pathlib import Path

import numpy as np

from rstoolbox.datasets import SceneDataset, make_split, utm_cell
from rstoolbox.datasets.splits import PARTS
from rstoolbox.engine.errors import seed_number


def main():
    args = parse_args()
    try:
        dataset = SceneDataset(args.data_root, data_prefix=args.data_prefix, class_map=args.class_map,
                               classes=args.classes)
        ids, labels = dataset.sample_ids, dataset.gt_labels.tolist()
        groups = None
        if args.group_by_utm_cell:
            groups = [utm_cell(Path(args.data_root, name), args.group_by_utm_cell) for name in ids]
        split = make_split(ids, labels, args.ratio, args.seed, groups)
        check_no_part_is_empty(split, args, groups)
        if groups:
            split.meta['utm_cell'] = args.group_by_utm_cell
        split.save(args.out)
    except (ValueError, OSError) as error:
        sys.exit(f'error: {error}')
    report(split, dict(zip(ids, labels)), dict(zip(ids, groups)) if groups else None, dataset.metainfo['classes'])
    print(f'hash {split.hash} -> {args.out}')


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('data_root', help='folder that sample ids are relative to')
    parser.add_argument('--data-prefix', default='', help='sub-folder that holds the class folders')
    parser.add_argument('--out', required=True, help='the JSON file to write')
    parser.add_argument('--ratio', type=float, nargs=3, default=(0.6, 0.2, 0.2), metavar=('TRAIN', 'VAL', 'TEST'))
    parser.add_argument('--seed', type=seed_number, default=0)
    parser.add_argument('--classes', nargs='+', help='class names; all folders if not given')
    parser.add_argument('--class-map', type=pair, nargs='+', metavar='FOLDER=CLASS', default=())
    parser.add_argument('--group-by-utm-cell', type=float, metavar='METRES',
                        help='keep samples of one square of the UTM grid together (GeoTIFF only)')
    args = parser.parse_args()
    args.class_map = dict(args.class_map)
    return args


def pair(text):
    folder, separator, name = text.partition('=')
    if not (folder and separator and name):
        raise argparse.ArgumentTypeError(f"'{text}' is not of the form FOLDER=CLASS")
    return folder, name


def check_no_part_is_empty(split, args, groups):
    empty = [part for part, share in zip(PARTS, args.ratio) if share > 0 and not split.part(part)]
    if not empty:
        return
    counts = ', '.join(f'{part} {len(split.part(part))}' for part in PARTS)
    cells = f' in {len(set(groups))} cells of {args.group_by_utm_cell:.0f} m' if groups else ''
    raise ValueError(f"The split would have no {' and no '.join(empty)} samples ({counts}), though --ratio asks for "
                     f'some. There are {len(split.all)} samples{cells}: take '
                     f'{"smaller cells or " if groups else ""}another ratio.')


def report(split, labels, groups, classes):
    for part in PARTS:
        ids = split.part(part)
        counts = np.bincount([labels[name] for name in ids], minlength=len(classes))
        cells = f', {len({groups[name] for name in ids})} cells' if groups else ''
        print(f'{part:>5}: {len(ids)} samples{cells}; '
              + ', '.join(f'{name} {count}' for name, count in zip(classes, counts)))


if __name__ == '__main__':
    main()
