"""Write the embedded records mini_falcon: all 14 tasks over drawn scenes."""

import argparse

from rstoolbox.datasets.falcon.mini_falcon import make_mini_falcon
from rstoolbox.engine.errors import readable_errors, seed_number


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--out', default='data/mini_falcon', help='folder to write (default: %(default)s)')
    parser.add_argument('--seed', type=seed_number, default=0, help='the same seed gives the same bytes')
    parser.add_argument('--scenes', type=int, default=1000, help='scenes of the training split (default: %(default)s)')
    parser.add_argument('--force', action='store_true', help='write anew even if the data set is there')
    args = parser.parse_args()
    with readable_errors():
        info = make_mini_falcon(args.out, args.seed, args.scenes, args.force)
    print(f'{args.out}: ' + ', '.join(f'{split} {count} records' for split, count in info['records'].items()))


if __name__ == '__main__':
    main()
