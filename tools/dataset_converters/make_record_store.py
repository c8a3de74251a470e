"""Convert instruction records to a memory-mapped store that training opens at once.

    python tools/dataset_converters/make_record_store.py train.json train.arrow

SOURCE is one or more files of records (.json as Falcon_SFT publishes them, .jsonl, .parquet); they are read one record
at a time, so their size does not matter.
"""

import argparse
import itertools

from rich.progress import track

from rstoolbox.datasets.falcon import RecordStore, read_records
from rstoolbox.datasets.falcon.record_files import at_least_one
from rstoolbox.engine.errors import check_output, readable_errors


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('source', nargs='+', help='files of records')
    parser.add_argument('out', help='the store, *.arrow')
    args = parser.parse_args()
    with readable_errors():
        if not args.out.endswith('.arrow'):
            raise ValueError(f"The store '{args.out}' must end in .arrow.")
        check_output('OUT', args.out)
        records = itertools.chain.from_iterable(at_least_one(read_records(path), path) for path in args.source)
        store = RecordStore.create(track(records, 'records', total=None), args.out)
        print(f'{args.out}: {len(store)} records')


if __name__ == '__main__':
    main()
