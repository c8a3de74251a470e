"""How fast teacher samples are matched, against a loop over the student's samples, and in how much memory.

    python tools/benchmarks/matching.py --json

Both run in this process on the same numbers, one after the other in turns. The loop scores one student sample after the
other against the gallery samples of its class; it runs over ``--loop-samples`` of them, and its time is scaled to all.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F

from rstoolbox.engine.errors import count, readable_errors
from rstoolbox.models.sembridge.matching import match_by_divergence

TAU = 3.


def main():
    """Print the ratio of both times, whether the choices are equal, and the memory of a large gallery."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--json', action='store_true', help='print one JSON object and nothing else')
    parser.add_argument('--classes', type=count, default=10)
    parser.add_argument('--students', type=count, default=5000)
    parser.add_argument('--gallery', type=count, default=20_000)
    parser.add_argument('--loop-samples', type=count, default=5000, help='student samples that the loop runs over')
    parser.add_argument('--large-gallery', type=count, default=1_000_000,
                        help='gallery samples of the memory measurement')
    parser.add_argument('--large-students', type=count, default=5000, help='student samples of the memory measurement')
    parser.add_argument('--repeats', type=count, default=3)
    parser.add_argument('--memory-only', action='store_true', help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.memory_only:
        print(json.dumps(large_gallery(args)))
        return
    result = speed(args)
    # A process of its own: the peak of this one would hide it.
    large = subprocess.run([sys.executable, __file__, '--memory-only', *sys.argv[1:]], capture_output=True, text=True)
    if large.returncode:
        sys.exit(large.stderr.splitlines()[-1])
    result |= json.loads(large.stdout)
    if args.json:
        print(json.dumps(result))
        return
    print(f'{result["ratio"]:.0f}x a loop over the samples ({result["seconds"]:.3f} s against '
          f'{result["loop_seconds"]:.2f} s, {result["loop_samples"]} of {args.students} samples timed); '
          f'same choices: {result["same_indices"]}')
    print(f'{args.large_gallery} gallery samples: {result["large_seconds"]:.1f} s, '
          f'{result["large_growth_mib"]:.0f} MiB beyond the inputs of {result["large_input_mib"]:.0f} MiB')


def speed(args):
    """Time both ways in turns and compare what they choose."""
    students, student_labels = samples(args.students, args.classes, seed=0)
    gallery, gallery_labels = samples(args.gallery, args.classes, seed=1)
    timed = min(args.loop_samples, args.students)
    seconds, loop_seconds = [], []
    match_by_divergence(students, student_labels, gallery, gallery_labels, tau=TAU)
    for _ in range(args.repeats):
        start = time.perf_counter()
        found = match_by_divergence(students, student_labels, gallery, gallery_labels, tau=TAU)
        seconds.append(time.perf_counter() - start)
        start = time.perf_counter()
        match_one_by_one(students[:timed], student_labels[:timed], gallery, gallery_labels)
        loop_seconds.append((time.perf_counter() - start) * args.students / timed)
    # Timed in float32, as published; compared in float64, as rounding decides between near ones otherwise.
    expected = match_one_by_one(students[:timed].double(), student_labels[:timed], gallery.double(), gallery_labels)
    fast, slow = sorted(seconds)[len(seconds) // 2], sorted(loop_seconds)[len(loop_seconds) // 2]
    return dict(ratio=slow / fast, seconds=fast, loop_seconds=slow, loop_samples=timed, students=args.students,
                gallery=args.gallery, classes=args.classes, same_indices=bool(torch.equal(found[:timed], expected)))


def match_one_by_one(students, student_labels, gallery, gallery_labels):
    """The loop: for every student sample the divergence of all gallery samples of its class."""
    rows_of_class = [torch.nonzero(gallery_labels == label)[:, 0] for label in range(int(gallery_labels.max()) + 1)]
    chosen = []
    for logits, label in zip(students, student_labels.tolist(), strict=True):
        rows = rows_of_class[label]
        teacher = F.log_softmax(gallery[rows] / TAU, dim=1)
        student = F.log_softmax(logits / TAU, dim=0).expand_as(teacher)
        divergence = F.kl_div(student, teacher, reduction='none', log_target=True).sum(dim=1)
        chosen.append(rows[divergence.argmin()])
    return torch.stack(chosen)


def large_gallery(args):
    """Match against a large gallery; how much the peak of this process's memory grows."""
    students, student_labels = samples(args.large_students, args.classes, seed=0)
    gallery, gallery_labels = samples(args.large_gallery, args.classes, seed=1)
    match_by_divergence(students[:100], student_labels[:100], gallery[:5000], gallery_labels[:5000], tau=TAU)
    # Linux forgets the peak so far, which the imports and the making of the inputs have driven up.
    Path('/proc/self/clear_refs').write_text('5')
    before, start = memory_mib('VmRSS'), time.perf_counter()
    match_by_divergence(students, student_labels, gallery, gallery_labels, tau=TAU)
    return dict(large_seconds=time.perf_counter() - start, large_growth_mib=memory_mib('VmHWM') - before,
                large_gallery=args.large_gallery, large_students=args.large_students,
                large_input_mib=(gallery.nbytes + gallery_labels.nbytes) / 2**20)


def samples(number, classes, seed):
    """Logits that lean towards their class as those of a trained network do, and labels."""
    random = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, classes, (number,), generator=random)
    logits = 2 * torch.randn(number, classes, generator=random)
    return logits + 4 * F.one_hot(labels, classes), labels


def memory_mib(name):
    """This process's resident memory, now (VmRSS) or at most since the last reset (VmHWM), on Linux."""
    line = next(line for line in Path('/proc/self/status').read_text().splitlines() if line.startswith(f'{name}:'))
    return int(line.split()[1]) / 2**10


if __name__ == '__main__':
    with readable_errors():
        main()
