"""Mean and standard deviation of every band, in one pass over the images; written as JSON, keyed by band name.

python tools/dataset_converters/compute_statistics.py data/mine/MS --sensor sentinel2_l2a --out statistics.json
python tools/dataset_converters/compute_statistics.py config.py --key ms_data.train --out statistics.json

A folder is read as a whole unless --split-file names its training samples; --key reads the split of that data set.
Files that hold their bands in another order than the sensor's need --file-bands.
"""

import argparse
import sys
from pathlib import Path

from mmengine.config import DictAction

from rstoolbox.datasets import Split, compute_statistics, get_sensor
from rstoolbox.datasets.transforms.readers import SUFFIXES
from rstoolbox.engine.config import load_config, resolve
from rstoolbox.registry import DATASETS
from rstoolbox.structures import write_json


def main():
    args = parse_args()
    try:
        infos, transforms = from_config(args) if args.source.suffix == '.py' else from_folder(args)
        result = compute_statistics(infos, transforms, show_progress=True)
        write_json(result, args.out)
    except (ValueError, OSError) as error:
        sys.exit(f'error: {error}')
    print(f'\n{result["num_images"]} images, {result["unit"]} -> {args.out}')
    for band, values in result['statistics'].items():
        print(f'{band:>6}  ' + '  '.join(f'{key} {value:10.5f}' for key, value in values.items()))


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('source', type=Path, help='a folder of images (searched in depth), or a config (.py)')
    parser.add_argument('--out', type=Path, required=True, help='the JSON file to write')
    parser.add_argument('--key', default='train_dataloader.dataset', help='where the data set stands in the config')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE', help='override the config')
    parser.add_argument('--sensor', default='rgb', help='of the images in a folder')
    parser.add_argument('--bands', type=names, help='bands to read, by name, with commas between; all if not given')
    parser.add_argument('--file-bands', type=names, help="names of the files' bands, in their order")
    parser.add_argument('--split-file', help='a saved split; only its training samples count')
    return parser.parse_args()


def names(text):
    return text.split(',')


def from_config(args):
    node = resolve(load_config(args.source, args.cfg_options), args.key)
    if not isinstance(node, dict) or 'type' not in node:
        raise ValueError(f"'{args.key}' in {args.source} is no data set (a dict with a type).")
    dataset = DATASETS.build(node)
    if not hasattr(dataset, 'pipeline'):
        raise ValueError(f"'{args.key}' is a {type(dataset).__name__} of several data sets: name one, e.g. "
                         f'--key {args.key}.student.')
    return [dataset.get_data_info(index) for index in range(len(dataset))], dataset.pipeline.transforms


def from_folder(args):
    if not args.source.is_dir():
        raise ValueError(f'There is no folder {args.source}.')
    files = sorted(path for path in args.source.rglob('*') if path.suffix.lower() in SUFFIXES)
    if args.split_file:
        chosen = set(Split.load(args.split_file).train)
        files = [path for path in files if path.relative_to(args.source).as_posix() in chosen]
        if len(files) != len(chosen):
            raise ValueError(f'{args.split_file} names {len(chosen)} training samples, of which {len(files)} are in '
                             f'{args.source}. Its ids are relative to the data root: give that folder.')
    if not files:
        raise ValueError(f'{args.source} holds no images ({", ".join(SUFFIXES)}).')
    sensor = get_sensor(args.sensor).name
    return [dict(img_path=str(path), sensor=sensor, bands=args.bands, file_bands=args.file_bands)
            for path in files], None


if __name__ == '__main__':
    main()
