"""Make instruction records of an annotated data set.

    python tools/dataset_converters/make_records.py coco instances_train.json images train.jsonl --absent 2
    python tools/dataset_converters/make_records.py dota labelTxt images train.jsonl --tasks REG_DET_OBB
    python tools/dataset_converters/make_records.py masks masks images train.jsonl --classes 1=building 2=road

Image paths in the records begin in --root, by default the folder of images.
"""

import argparse
import inspect

from rich.progress import track

from rstoolbox.datasets.falcon import write_records
from rstoolbox.datasets.falcon.converters import CONVERTERS
from rstoolbox.engine.errors import check_output, count, readable_errors, seed_number


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('kind', choices=CONVERTERS, help='what the source is')
    parser.add_argument('source', help='annotation file or folder')
    parser.add_argument('images', help='folder of the images')
    parser.add_argument('out', help='.json, .jsonl or .parquet')
    parser.add_argument('--tasks', nargs='+', metavar='TAG', help='task tags (default: all that the source can give)')
    parser.add_argument('--root', help='folder that image paths begin in (default: IMAGES)')
    parser.add_argument('--absent', type=int, help='absent classes asked for, for each image (default 0)')
    parser.add_argument('--seed', type=seed_number, help='of their choice (default 0)')
    parser.add_argument('--split', help='captions: take this split only')
    parser.add_argument('--names', metavar='FILE',
                        help='voc, dota, masks, change: take the images only that begin the lines of this file')
    parser.add_argument('--classes', nargs='+', type=value_and_name, metavar='VALUE=NAME',
                        help='masks: the class of each value, a number or r,g,b')
    parser.add_argument('--suffix', help="masks: what a mask's name has after its image's")
    parser.add_argument('--instances', help='masks: what the mask of instances has there')
    parser.add_argument('--tolerance', type=float,
                        help='masks, change, coco: pixels that a simplified outline may lie off the exact one '
                             '(default 1)')
    parser.add_argument('--smallest', type=count,
                        help='masks, change, coco (run lengths): leave out parts of fewer pixels (default 16)')
    args = parser.parse_args()
    options = {key: value for key, value in vars(args).items()
               if key not in ('kind', 'source', 'images', 'out') and value is not None}
    unknown = [f'--{key}' for key in options if key not in options_of(CONVERTERS[args.kind])]
    if unknown:
        parser.error(f'{args.kind} takes no {", ".join(unknown)}')
    if 'classes' in options:
        names = dict(options['classes'])
        for value, name in options['classes']:
            if names[value] != name:
                parser.error(f"--classes calls the value {value} '{name}' and '{names[value]}'; a value has one name")
        options['classes'] = names
    elif args.kind == 'masks':
        parser.error('masks need --classes, e.g. --classes 1=building 2=road')
    with readable_errors():
        check_output('OUT', args.out)
        converter = CONVERTERS[args.kind](args.source, args.images, **options)
        written = write_records(track(converter, 'records', total=None), args.out)
        if not written:
            raise ValueError(f"'{args.source}' gave not a single record, '{args.out}' is empty. Check what --tasks, "
                             '--classes, --names, --split and --smallest say.')
        print(f'{args.out}: {written} records')


def options_of(converter):
    """What a converter takes: each of its classes names its own, and hands the others on."""
    return {name for kind in converter.__mro__ for name in inspect.signature(kind.__init__).parameters}


def value_and_name(text):
    value, _, name = text.partition('=')
    numbers = [int(part) for part in value.split(',') if part.strip().isdecimal()]
    if not name or len(numbers) != value.count(',') + 1 or len(numbers) not in (1, 3):
        raise argparse.ArgumentTypeError(f"'{text}' is not VALUE=NAME with a number or r,g,b as the value")
    return numbers[0] if len(numbers) == 1 else tuple(numbers), name


if __name__ == '__main__':
    main()
