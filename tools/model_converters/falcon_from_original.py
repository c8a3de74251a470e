"""A Florence-2 or Falcon checkpoint of the published layout -> a folder for Falcon.from_pretrained, or back.

python tools/model_converters/falcon_from_original.py Falcon-Large work_dirs/falcon_large
python tools/model_converters/falcon_from_original.py work_dirs/falcon_large Falcon-Large --reverse
"""

import argparse
import sys
from collections import Counter
from pathlib import Path

from rstoolbox.models.falcon.conversion import from_original, to_original
from rstoolbox.models.falcon.tokenizer import has_tokenizer


def main():
    args = parse_args()
    try:
        changes = (to_original if args.reverse else from_original)(args.source, args.target)
    except (ValueError, OSError, ImportError) as error:
        sys.exit(f'error: {error}')
    for change in changes:
        print(change)
    print(f'{args.target}: ' + ', '.join(f'{count} {action}' for action, count in Counter(
        change.action for change in changes).items()))
    if not has_tokenizer(args.target):
        print(f'{args.source} holds no tokenizer, so the model can neither read nor write texts: copy tokenizer.json, '
              f'or vocab.json and merges.txt, to {args.target}.')


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('source', type=Path, help='a folder with config.json, the weights and a tokenizer')
    parser.add_argument('target', type=Path, help='the folder to write')
    parser.add_argument('--reverse', action='store_true', help='from our layout to the published one')
    return parser.parse_args()


if __name__ == '__main__':
    main()
