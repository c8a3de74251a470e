"""How fast a store of many instruction records is made, opened and read, and in how much memory.

    python tools/benchmarks/record_store.py --json

Drawn records are converted from .jsonl as tools/dataset_converters/make_record_store.py does, in a temporary folder.
Processes of their own then open the store and read records at random: one alone, and two at once that read the same
ones. The store is in the page cache by then. Memory is what a process grows by after its imports: ``resident`` counts
mapped pages, which the system may take back; ``private`` does not; ``workers`` is both processes together, each mapped
page shared out among those that map it.
"""

import argparse
import itertools
import json
import multiprocessing
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

from matching import memory_mib

from rstoolbox.datasets.falcon import Record, RecordStore, read_records, write_records
from rstoolbox.engine.errors import count, readable_errors

PART = 100_000  # records of the .jsonl file, which is converted over and over


def main():
    """Make a store, measure it and delete it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--json', action='store_true', help='print one JSON object and nothing else')
    parser.add_argument('--records', type=count, default=10_000_000)
    parser.add_argument('--reads', type=count, default=1000, help='records that a process reads')
    parser.add_argument('--folder', help='where the temporary folder is made; default: that of the system')
    args = parser.parse_args()
    if args.folder and not Path(args.folder).is_dir():
        parser.error(f"--folder '{args.folder}' is no folder that is there")
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        result = dict(records=args.records, reads=args.reads, **convert(Path(folder), args.records))
        (alone,), workers = (read_at_once(Path(folder) / 'store.arrow', args.reads, number) for number in (1, 2))
    result |= alone | dict(workers_mib=sum(worker['shared_out_mib'] for worker in workers))
    del result['shared_out_mib']
    if args.json:
        print(json.dumps(result))
        return
    print(f'{args.records} records: {result["convert_seconds"]:.0f} s to convert, {result["store_gib"]:.2f} GiB\n'
          f'Opened in {1e3 * result["open_seconds"]:.0f} ms; {result["read_microseconds"]:.0f} microseconds a record\n'
          f'{result["resident_mib"]:.0f} MiB after {args.reads} records, {result["private_mib"]:.0f} MiB of them '
          f'private; two workers together {result["workers_mib"]:.0f} MiB')


def convert(folder, records):
    """Seconds and size of a store made of a file of records."""
    source, store = folder / 'part.jsonl', folder / 'store.arrow'
    part = min(records, PART)
    write_records(draw_records(part), source)
    room, needed = shutil.disk_usage(folder).free, source.stat().st_size * records // part
    if room < needed:
        sys.exit(f'error: {records} records take about {needed / 2**30:.1f} GiB, but {folder} has room for '
                 f'{room / 2**30:.1f} GiB; choose another --folder or fewer --records')
    begin = time.perf_counter()
    parts = (read_records(source) for _ in range(-(-records // part)))
    RecordStore.create(itertools.islice(itertools.chain.from_iterable(parts), records), store)
    return dict(convert_seconds=time.perf_counter() - begin, store_gib=store.stat().st_size / 2**30)


def draw_records(number):
    """Detections of 1 to 20 objects."""
    draw = random.Random(0)
    for place in range(number):
        boxes = ''.join('<box>' + ''.join(f'<{draw.randrange(1000)}>' for _ in range(4)) + '</box>'
                        for _ in range(draw.randint(1, 20)))
        yield Record(images=[f'images/{place // 14:09d}.png'], task='REG_DET_HBB', category='ship',
                     prompt='Detect all ship in the image.', answer=f'ship{boxes}')


def read_at_once(path, reads, processes):
    """What each of so many processes measures while all hold the store open."""
    context = multiprocessing.get_context('spawn')
    barrier, queue = context.Barrier(processes), context.SimpleQueue()
    started = [context.Process(target=measure, args=(path, reads, barrier, queue)) for _ in range(processes)]
    for process in started:
        process.start()
    results = [queue.get() for _ in started]
    for process in started:
        process.join()
    return results


def measure(path, reads, barrier, queue):
    """Open the store, read records at random and put times and memory in the queue."""
    draw = random.Random(0)
    barrier.wait()
    before = memory_mib('VmRSS'), memory_mib('RssAnon'), shared_out_mib()
    barrier.wait()
    begin = time.perf_counter()
    store = RecordStore(path)
    opened = time.perf_counter()
    for _ in range(reads):
        store[draw.randrange(len(store))]
    read = time.perf_counter()
    barrier.wait()
    after = memory_mib('VmRSS'), memory_mib('RssAnon'), shared_out_mib()
    barrier.wait()
    names = 'resident_mib', 'private_mib', 'shared_out_mib'
    queue.put(dict(open_seconds=opened - begin, read_microseconds=1e6 * (read - opened) / reads,
                   **{name: now - then for name, now, then in zip(names, after, before)}))


def shared_out_mib():
    """This process's memory, of each page its share among the processes that map it, on Linux."""
    line = next(line for line in Path('/proc/self/smaps_rollup').read_text().splitlines() if line.startswith('Pss:'))
    return int(line.split()[1]) / 2**10


if __name__ == '__main__':
    with readable_errors():
        main()
