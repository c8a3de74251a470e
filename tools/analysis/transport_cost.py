"""Does a weaker tie between teacher and student samples cost more transport? Measured on a finished experiment.

    python tools/analysis/transport_cost.py configs/sembridge/r18_ms2rgb.py work_dirs/r18_ms2rgb

Pairings from the strongest tie to the weakest: an image and its own pseudo-RGB; an RGB sample and its match; and a
random teacher sample of its class; and one of another class. Each costs the mean distance of its pairs; the Wasserstein
distance of the two sets is the least that any pairing of them costs. Writes transport_cost.json and transport_cost.png.
"""

import argparse
from pathlib import Path

import numpy as np

from rstoolbox.engine import Experiment
from rstoolbox.engine.errors import OptionAction, check_output, count, read_config, readable_errors, seed_number
from rstoolbox.engine.representations import Representations
from rstoolbox.evaluation import transport_costs
from rstoolbox.structures import write_json
from rstoolbox.visualization import plot_bars

TITLES = dict(matcher="In the matcher's shared space", classes='Between class probabilities of teacher and student')
KINDS = dict(pairing='cost of the pairing', wasserstein='Wasserstein distance of the sets')


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='the experiment, as given to tools/train.py')
    parser.add_argument('work_dir', help='where its finished run is')
    parser.add_argument('--out', type=Path, help='folder for the numbers and the picture (default: the work dir)')
    parser.add_argument('--samples', type=count, help='drawn of each class in a resample (default: 3 of 4 of what the '
                        'smallest class has)')
    parser.add_argument('--resamples', type=count, default=20)
    parser.add_argument('--seed', type=seed_number, default=0)
    parser.add_argument('--cfg-options', nargs='+', action=OptionAction, default={}, metavar='KEY=VALUE',
                        help='those that the run was started with')
    args = parser.parse_args()
    check_output('--out', args.out, folder=True)
    experiment = Experiment(read_config(args.config, args.cfg_options), args.work_dir)
    experiment.open()
    found = Representations(experiment)
    smallest = min(np.bincount(labels)[np.unique(labels)].min()
                   for labels in (found.teacher_labels, found.student_labels))
    samples = max(3 * int(smallest) // 4, 1) if args.samples is None else args.samples
    if samples > smallest:
        parser.error(f'--samples {samples}: expected 1 to {smallest}, which is what the smallest class has')
    result = measure(found, samples, args.resamples, args.seed)
    out = args.out or Path(args.work_dir)
    for space, costs in result.items():
        print(f'{TITLES[space]}, {samples} samples a class, mean ± deviation of {args.resamples} resamples:\n\n'
              f'{markdown(costs)}\n')
    write_json(dict(samples=samples, resamples=args.resamples, seed=args.seed, spaces=result),
               out / 'transport_cost.json')
    print(f'Written: {out / "transport_cost.json"}, {draw(result, list(found.classes), out / "transport_cost.png")}')


def measure(found, samples, resamples, seed):
    """For each space, pairing and class, or ``all``, mean and deviation of both costs."""
    partners = {**found.tables, 'random, same class': _draw(found, seed, same=True),
                'random, other class': _draw(found, seed, same=False)}
    labels = {'same image': found.teacher_labels, **dict.fromkeys(partners, found.student_labels)}
    result = {}
    for space, views in found.spaces.items():
        pairs = {'same image': (views['pseudo'], views['teacher'])}
        pairs.update({name: (views['student'], views['teacher'][rows]) for name, rows in partners.items()})
        costs = transport_costs(pairs, labels, samples, resamples, seed)
        result[space] = {name: {label if isinstance(label, str) else found.classes[label]: values
                                for label, values in of_pairing.items()} for name, of_pairing in costs.items()}
    return result


def markdown(costs):
    """The cost of every pairing, and Wasserstein distances: of all samples, mean within classes and of each class."""
    names = [name for name in next(iter(costs.values())) if name not in ('all', 'within')]
    titles = ['Pairs', 'Pairing', 'Wasserstein, all', 'mean within classes', *names]
    lines = ['| ' + ' | '.join(titles) + ' |', '|---|' + '---:|' * (len(titles) - 1)]
    for pairing, groups in costs.items():
        cells = [groups['all']['pairing'], *(groups[name]['wasserstein'] for name in ('all', 'within', *names))]
        lines.append(f'| {pairing} | ' + ' | '.join(f'{cell["mean"]:.3f} ± {cell["deviation"]:.3f}' for cell in cells)
                     + ' |')
    return '\n'.join(lines)


def draw(result, classes, out):
    """Bars for every class, their mean and all as one set; a panel for each space and cost."""
    found = next(iter(result['matcher'].values()))
    groups = [name for name in (*classes, 'within', 'all') if name in found]
    panels = {f'{TITLES[space]}: {text}': {
        name: tuple([values[group][kind][key] for group in groups] for key in ('mean', 'deviation'))
        for name, values in costs.items()} for space, costs in result.items() for kind, text in KINDS.items()}
    names = [dict(within='mean within classes').get(name, name) for name in groups]
    return plot_bars(panels, names, out, ylabel='Euclidean distance', title='Transport cost by the tie of the pairs')


def _draw(found, seed, same):
    """For every RGB sample a random teacher sample of its class, or of any other."""
    random = np.random.default_rng([seed, same])
    return np.array([random.choice(np.flatnonzero((found.teacher_labels == label) == same))
                     for label in found.student_labels])


if __name__ == '__main__':
    with readable_errors():
        main()
