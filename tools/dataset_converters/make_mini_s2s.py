"""Write the embedded data set mini_s2s: synthetic multispectral GeoTIFFs and RGB JPEGs of eight classes."""

import argparse
import sys
import time
from pathlib import Path

from rstoolbox.datasets.mini_s2s import make_mini_s2s
from rstoolbox.engine.errors import seed_number


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--out', default='data/mini_s2s', help='folder to write (default: %(default)s)')
    parser.add_argument('--seed', type=seed_number, default=0, help='the same seed gives the same bytes')
    parser.add_argument('--images-per-class', type=int, default=64, help='of each modality (default: %(default)s)')
    parser.add_argument('--force', action='store_true', help='write anew even if the data set is there')
    return parser.parse_args()


def main():
    args = parse_args()
    start = time.perf_counter()
    try:
        info = make_mini_s2s(args.out, args.seed, args.images_per_class, args.force)
    except (ValueError, OSError) as error:
        sys.exit(f'make_mini_s2s: {error}')
    root = Path(args.out).absolute()
    size = sum(path.stat().st_size for path in root.rglob('*') if path.is_file())
    print(f'{root}: {info["num_images"]} images, {size / 2 ** 20:.1f} MiB, in {time.perf_counter() - start:.1f} s')
    for folder, kind in (('MS', f'GeoTIFF, uint16, bands {" ".join(info["bands"])}'), ('RGB', 'JPEG')):
        print(f'  {folder:4} region {info["regions"][folder]:7} {len(info["classes"])} classes x '
              f'{info["images_per_class"]} images of 64 x 64, {kind}')
    print(f'  classes: {", ".join(info["classes"])}')
    print(f'  seed {info["seed"]}, version {info["version"]}, md5 {info["md5"]}')


if __name__ == '__main__':
    main()
