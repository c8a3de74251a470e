"""How fast every transfer loss is beside its formula written plainly, and in how much memory those of pairs are.

    python tools/benchmarks/transfer.py --json

Forward and backward of both run in this process on the same numbers, in turns; times are medians. That both mean the
same is checked first, by value and gradient in double precision on ``--check-batch`` samples. Losses that depend on the
number of classes are timed for each of ``--classes``. Memory is that of a process of its own with ``--memory-batch``
samples.
"""

import argparse
import copy
import difflib
import json
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import plain_feature_losses
import plain_score_losses
import torch
from matching import memory_mib

import rstoolbox.models  # noqa: F401, registers the losses
from rstoolbox.engine.errors import count
from rstoolbox.registry import TRANSFER_LOSSES

PLAIN = {**plain_score_losses.PLAIN, **plain_feature_losses.PLAIN}
PAIRWISE = ('RKD', 'CC', 'NST', 'SP')
ALLOWED = 1e-6  # relative difference in double precision
SHORTEST = 0.02  # seconds that are timed at once
# Without them the plan stops where the plain one goes on.
CHECKED_SETTINGS = dict(SKA=dict(num_iters=300, tol=0))


def main():
    """Print a line for each loss and number of classes, and the memory of the pairwise ones."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--json', action='store_true', help='print one JSON object and nothing else')
    parser.add_argument('--losses', nargs='+', default=sorted(PLAIN), metavar='NAME', help='default: all')
    parser.add_argument('--batch', type=int, default=256)
    parser.add_argument('--classes', type=count, nargs='+', default=[10, 1000])
    parser.add_argument('--width', type=count, default=512, help='of embeddings, tokens and the last maps')
    parser.add_argument('--map-size', type=count, default=7, help='height and width of the last maps; tokens are as '
                        'many as these have places, the maps before have half the width and twice the size')
    parser.add_argument('--repeats', type=count, default=5)
    parser.add_argument('--check-batch', type=int, default=32)
    parser.add_argument('--memory-batch', type=int, default=1024)
    parser.add_argument('--memory-only', metavar='NAME', help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.memory_only:
        print(memory_growth(args.memory_only, args))
        return
    for name in args.losses:
        if name not in PLAIN:
            near = difflib.get_close_matches(name, PLAIN, n=1, cutoff=0.3)
            parser.error(f"there is no transfer loss '{name}'"
                         + (f"; did you mean '{near[0]}'?" if near else f'; there are {", ".join(sorted(PLAIN))}'))
    for name in ('batch', 'check_batch', 'memory_batch'):
        if getattr(args, name) < 4:
            parser.error(f'--{name.replace("_", "-")} {getattr(args, name)}: at least 4 samples are compared')
    if min(args.classes) < 3:
        parser.error(f'--classes {min(args.classes)}: at least 3 are compared, as two beside the own one have an order')
    show = (lambda line: None) if args.json else (lambda line: print(line, flush=True))
    show(f'{"loss":15} {"classes":>7} {"ours ms":>9} {"plain ms":>9} {"ratio":>6}  same value and gradient')
    rows = []
    for row in (row for name in args.losses for row in measure(name, args)):
        rows.append(row)
        show(f'{row["loss"]:15} {row["classes"] or "-":>7} {row["milliseconds"]:9.2f} '
             f'{row["plain_milliseconds"]:9.2f} {row["ratio"]:6.2f}  {"yes" if row["same"] else "NO"} '
             f'({row["value_difference"]:.0e}, {row["gradient_difference"]:.0e})')
    memory = {}
    for name in (name for name in PAIRWISE if name in args.losses):
        memory[name] = growth_of_its_own(name)
        show(f'{name} with {args.memory_batch} samples: {memory[name]:.0f} MiB beyond its inputs')
    if args.json:
        print(json.dumps(dict(losses=rows, memory_mib=memory, batch=args.batch, memory_batch=args.memory_batch,
                              width=args.width, map_size=args.map_size, threads=torch.get_num_threads())))
    if not all(row['same'] for row in rows):
        sys.exit('error: ' + ', '.join(row['loss'] for row in rows if not row['same']) + ' differ from the formula')


def measure(name, args):
    """One row for every number of classes that matters to a loss."""
    depends = {'logits'} & set(TRANSFER_LOSSES.get(name)().needs) or name == 'CRD'
    for classes in args.classes if depends else args.classes[:1]:
        differences = compare(name, args, classes)
        ours, plain = seconds(name, args, classes)
        yield dict(loss=name, classes=classes if depends else None, ratio=ours / plain, milliseconds=1e3 * ours,
                   plain_milliseconds=1e3 * plain, same=max(differences.values()) <= ALLOWED, **differences)


def compare(name, args, classes):
    """Relative differences of the value and of the gradient in the student's outputs, at the second of two steps."""
    pair = both(name, args, args.check_batch, classes, torch.float64, CHECKED_SETTINGS.get(name, {}))
    for _ in range(2):  # a queue is empty at first
        results = []
        for step, inputs in pair:
            torch.manual_seed(0)
            value = step()
            results.append((value.detach(), torch.cat([values.grad.flatten() for values in inputs
                                                         if values.grad is not None])))
    (value, gradient), (expected, expected_gradient) = results
    return dict(value_difference=((value - expected).abs() / expected.abs()).item(),
                gradient_difference=((gradient - expected_gradient).norm() / expected_gradient.norm()).item())


def seconds(name, args, classes):
    """Median seconds of a forward and backward pass, ours and plain."""
    steps = [step for step, _ in both(name, args, args.batch, classes, torch.float32)]
    times = [[], []]
    counts = []
    for step in steps:
        step()
        begin = time.perf_counter()
        step()
        counts.append(max(round(SHORTEST / (time.perf_counter() - begin)), 1))
    for _ in range(args.repeats):
        for step, found in zip(steps, times):
            begin = time.perf_counter()
            for _ in range(min(counts)):
                step()
            found.append((time.perf_counter() - begin) / min(counts))
    return map(median, times)


def both(name, args, batch, classes, dtype, settings=None):
    """Of a loss and its plain writing a function that makes one step, and the student's outputs it has gradients in."""
    student, teacher, labels = samples(args, batch, classes, dtype)
    loss = TRANSFER_LOSSES.build(dict(type=name, loss_weight=1., **(settings or {})))
    torch.manual_seed(0)
    loss.prepare(student, teacher)
    plain = PLAIN[name], copy.deepcopy(loss)
    return [stepper(loss, loss, student, teacher, labels),
            stepper(lambda *batch: plain[0](plain[1], *batch), plain[1], student, teacher, labels)]


def stepper(function, module, student, teacher, labels):
    student = {name: ([map_.clone().requires_grad_() for map_ in values] if name == 'feats'
                      else values.clone().requires_grad_()) for name, values in student.items() if name in module.needs}
    inputs = [values for output in student.values() for values in (output if isinstance(output, list) else [output])]

    def step():
        for values in (*inputs, *module.parameters()):
            values.grad = None
        value = function(student, teacher, labels)
        value.backward()
        return value

    return step, inputs


def samples(args, batch, classes, dtype):
    """Outputs of a student and a teacher that resemble each other, as a random half is common to both; and labels."""
    random = torch.Generator().manual_seed(0)
    size, width = args.map_size, args.width
    shapes = dict(logits=(batch, classes), embedding=(batch, width), tokens=(batch, size ** 2, width),
                  first=(batch, max(width // 2, 1), 2 * size, 2 * size), last=(batch, width, size, size))
    sides = []
    common = {name: torch.randn(shape, generator=random, dtype=dtype) for name, shape in shapes.items()}
    for _ in range(2):
        side = {name: (values + torch.randn(values.shape, generator=random, dtype=dtype)) / 2 ** 0.5
                for name, values in common.items()}
        sides.append(dict(side, feats=[side.pop('first'), side.pop('last')]))
    return *sides, torch.randint(0, classes, (batch,), generator=random)


def growth_of_its_own(name):
    # A process of its own: the peak of this one would hide it.
    done = subprocess.run([sys.executable, __file__, '--memory-only', name, *sys.argv[1:]], check=True,
                          capture_output=True, text=True)
    return float(done.stdout.splitlines()[-1])


def memory_growth(name, args):
    """By how many MiB a forward and backward pass drives up this process's memory, gradients of inputs included."""
    student, teacher, labels = samples(args, args.memory_batch, args.classes[0], torch.float32)
    needs = TRANSFER_LOSSES.get(name)().needs
    sides = [{key: values for key, values in side.items() if key in needs} for side in (student, teacher)]
    warm = [{key: values[:4] if key != 'feats' else [map_[:4] for map_ in values] for key, values in side.items()}
            for side in sides]
    loss = TRANSFER_LOSSES.build(dict(type=name))
    stepper(loss, loss, *warm, labels[:4])[0]()
    step, _ = stepper(loss, loss, *sides, labels)
    del student, teacher
    # Linux forgets the peak so far, which the imports and the making of the inputs have driven up.
    Path('/proc/self/clear_refs').write_text('5')
    before = memory_mib('VmRSS')
    step()
    return memory_mib('VmHWM') - before


if __name__ == '__main__':
    main()
