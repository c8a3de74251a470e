"""Train a tokenizer on the prompts and answers of records, for a model that starts from random weights.

python tools/dataset_converters/train_tokenizer.py train.jsonl work_dirs/tokenizer --coordinates tokens
"""

import argparse
from pathlib import Path

from rstoolbox.datasets.falcon import read_records
from rstoolbox.datasets.falcon.record_files import at_least_one
from rstoolbox.engine.errors import check_output, count, readable_errors
from rstoolbox.heads import head_for
from rstoolbox.models.falcon import train_tokenizer
from rstoolbox.structures.files import write_json, write_whole


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('records', nargs='+', help='.json, .jsonl or .parquet')
    parser.add_argument('out', help='folder of the tokenizer')
    parser.add_argument('--vocab-size', type=count, default=1000, help='tokens, those of coordinates not counted')
    parser.add_argument('--coordinates', choices=('text', 'tokens'), default='text',
                        help="'tokens': one token for each coordinate, for shorter answers")
    args = parser.parse_args()
    with readable_errors():
        check_output('OUT', args.out, folder=True)
        tokenizer = train_tokenizer(texts(args.records), args.vocab_size, args.coordinates)
        write_whole(tokenizer.backend_tokenizer.to_str().encode(), Path(args.out) / 'tokenizer.json')
        # Without it transformers takes the tokenizer for one of another class, and says so each time.
        write_json(dict(tokenizer_class='BartTokenizerFast'), Path(args.out) / 'tokenizer_config.json')
        print(f'{args.out}: {len(tokenizer)} tokens')


def texts(paths):
    """Every answer, and every prompt in all wordings of its task."""
    for path in paths:
        for number, record in enumerate(at_least_one(read_records(path), path), 1):
            yield record.answer
            yield record.prompt
            try:
                yield from other_wordings(record)
            except KeyError as error:
                raise ValueError(f'{path}, record {number}: {error}') from None


def other_wordings(record):
    head = head_for(record.task) if record.task else None
    return [head.reword(record.prompt, number) for number in range(1, len(head.prompts))] if head else []


if __name__ == '__main__':
    main()
