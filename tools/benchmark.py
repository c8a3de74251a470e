"""Train and test methods, plain and with SemBridge, on pairs of networks, data sets and seeds, and compare them.

python tools/benchmark.py configs/benchmarks/mini.py --jobs 2
python tools/benchmark.py configs/benchmarks/real.py --cfg-options data_root=DATA --amp

What is finished is never run again: the same command goes on where the last one stopped.
"""

import argparse
import signal
import sys
from pathlib import Path

from rstoolbox.engine.benchmark import Scheduler, check_data, read_result, read_spec
from rstoolbox.engine.benchmark.progress import Progress
from rstoolbox.engine.benchmark.report import draw, write_rows
from rstoolbox.engine.benchmark.scheduler import DONE, FAILED
from rstoolbox.engine.errors import OptionAction, check_output, count, readable_errors


def parse_args():
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('spec', help='a Python file that says what is compared, e.g. configs/benchmarks/mini.py')
    parser.add_argument('--out', type=Path, help='output folder (default: work_dirs/benchmark/<name of the spec>)')
    parser.add_argument('--jobs', type=count, default=1, help='how many runs at a time (default: 1)')
    parser.add_argument('--launcher', choices=('none', 'slurm'), default='none', help="'slurm' starts each with srun")
    parser.add_argument('--partition', help='partition of the Slurm cluster')
    parser.add_argument('--amp', action='store_true', help='train in mixed precision, as of tools/train.py')
    parser.add_argument('--cfg-options', nargs='+', action=OptionAction, default={}, metavar='KEY=VALUE',
                        help='override settings of every run, e.g. data_root=data/mine max_epochs=5')
    parser.add_argument('--report-only', action='store_true', help='write the results of what is finished; run nothing')
    args = parser.parse_args()
    if (args.launcher == 'slurm') != bool(args.partition):
        parser.error('--launcher slurm and --partition NAME go together')
    return args


def main():
    """Run the command; the exit code tells whether every run has a result."""
    args = parse_args()
    out = args.out or Path('work_dirs/benchmark', Path(args.spec).stem)
    runs = read_spec(args.spec, args.cfg_options, args.amp)
    check_output('--out', out, folder=True)
    scheduler = Scheduler(runs, out / 'runs', out / 'stages', args.jobs, args.partition)
    progress = Progress(scheduler.cells)

    def rows():
        return [cell.result for cell in scheduler.cells if cell.result]

    def changed(cell):
        progress.changed(cell)
        if cell.state == DONE:
            write_rows(rows(), out)

    if args.report_only:
        scheduler.look()
        if not rows():  # maybe of other options, whose results may be there
            sys.exit(_missing(scheduler.cells))
    else:
        check_data([cell.run for cell in scheduler.cells if read_result(cell.run, cell.folder) is None], out / 'runs')
        scheduler.changed = changed
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) != signal.SIG_IGN:  # nohup
                signal.signal(number, signal.default_int_handler)
        try:
            with progress:
                scheduler.run(progress.tick)
        except KeyboardInterrupt:
            sys.exit('stopped; the same command goes on from here')
    write_rows(rows(), out)
    draw(rows(), out)
    print(f'\n{(out / "table.md").read_text()}\nresults.csv, table.md and pictures are in {out}')
    if missing := _missing(scheduler.cells):
        sys.exit(missing)


def _missing(cells):
    """What runs have no result, and why; None if there is none."""
    missing = [cell for cell in cells if cell.state != DONE]
    if missing:
        return f'{len(missing)} of {len(cells)} runs have no result:\n  ' + '\n  '.join(map(_reason, missing))


def _reason(cell):
    if cell.state == FAILED:
        return f'{cell.run.name} {cell.why}, see {cell.log}'
    if cell.earlier != cell.run.key:
        return f'{cell.run.name} was run with other settings; the spec and --cfg-options of then show its result'
    return cell.run.name


if __name__ == '__main__':
    with readable_errors():
        main()
