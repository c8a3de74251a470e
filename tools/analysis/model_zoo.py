"""Bring the tables of docs/model_zoo.md and the entries of the metafiles in line with results of tools/benchmark.py.

    python tools/analysis/model_zoo.py docs/benchmarks/real.csv
    python tools/analysis/model_zoo.py docs/benchmarks/real.csv --check

What it writes stands between two comments that name the CSV file, and is replaced as a whole the next time; where the
comments are not there yet it is added at the end. Each config of the toolbox gets an entry for each pair: KD with
SemBridge, as the benchmark trains it, whose networks and options come on top of the config.
"""

import argparse
import re
import sys
from pathlib import Path
from statistics import mean

import yaml

from rstoolbox.engine.benchmark import markdown, read_csv, summarise
from rstoolbox.engine.errors import readable_errors
from rstoolbox.engine.report import TITLES
from rstoolbox.engine.testing import METRICS
from rstoolbox.structures.files import write_whole

ROOT = Path(__file__).resolve().parents[2]
PACKAGED = 'rstoolbox::'


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('csv', type=Path, help='results.csv of tools/benchmark.py, kept under the name of its spec')
    parser.add_argument('--root', type=Path, default=ROOT, help='the checkout (default: that of this tool)')
    parser.add_argument('--check', action='store_true', help='write nothing; exit code 1 if something would change')
    args = parser.parse_args()
    changes = {path: text for path, text in updated(args.csv, args.root).items() if text != path.read_text()}
    for path, text in changes.items():
        print(f'{path} {"differs from" if args.check else "brought in line with"} {args.csv}')
        if not args.check:
            write_whole(text.encode(), path)
    if args.check and changes:
        sys.exit(f'Run tools/analysis/model_zoo.py {args.csv}')


def updated(csv, root):
    """The texts of docs/model_zoo.md and of the metafiles with the results of a CSV file in them.

    Args:
        csv (Path): Results of a benchmark.
        root (Path): The checkout.

    Returns:
        dict[Path, str]: From file to its whole new text.

    Raises:
        FileNotFoundError: The root has no model zoo, or a config's family no metafile.
        ValueError: The CSV holds no run, or a metafile is not one of collections and models.
    """
    rows = read_csv(csv)
    if not rows:
        raise ValueError(f"'{csv}' holds no run.")
    zoo = root / 'docs/model_zoo.md'
    if not zoo.is_file():
        raise FileNotFoundError(f"There is no '{zoo}': the root is the folder of a checkout, with docs and configs.")
    table = f'## Benchmark {csv.stem}\n\n{markdown(rows, level=3)}'
    begin, end = f'<!-- benchmark {csv.stem} -->', f'<!-- end of benchmark {csv.stem} -->'
    texts = {zoo: put_between(zoo.read_text(), begin, end, f'\n{table}\n')}
    families = {}
    spec = f'configs/benchmarks/{csv.stem}.py'
    for entry in model_entries(rows, spec if (root / spec).is_file() else csv.stem):
        families.setdefault(Path(entry['Config']).parent, []).append(entry)
    for folder, entries in families.items():
        path = root / folder / 'metafile.yml'
        if not path.is_file():
            raise FileNotFoundError(f"There is no '{path}' for {entries[0]['Config']}, which '{csv}' names. Write one, "
                                    'with Collections as configs/sembridge/metafile.yml has them.')
        old = path.read_text()
        collection = read_metafile(old, path)['Collections'][0]['Name']
        entries = [{'Name': entry.pop('Name'), 'In Collection': collection, **entry} for entry in entries]
        body = yaml.safe_dump(entries, sort_keys=False, allow_unicode=True, width=120)
        body = ''.join(f'  {line}\n' for line in body.splitlines())
        text = put_between(old, f'  # benchmark {csv.stem}', f'  # end of benchmark {csv.stem}', body)
        names = [model['Name'] for model in read_metafile(text, path)['Models']]
        if not {entry['Name'] for entry in entries} <= set(names):
            raise ValueError(f'{path}: the entries would not be among the Models. Let these be the last key.')
        double = sorted({name for name in names if names.count(name) > 1})
        if double:
            raise ValueError(f'{path} has two models called {", ".join(double)}. Rename or remove the one that stands '
                             'outside of the comments.')
        texts[path] = text
    return texts


def read_metafile(text, path):
    """The content of a metafile with at least one collection, and models."""
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"'{path}', as it is or with the new entries at its end, is no YAML: "
                         f"{' '.join(str(error).split())}") from None
    content = content if isinstance(content, dict) else {}
    for key, least in (('Collections', 1), ('Models', 0)):
        items = content.get(key)
        if not isinstance(items, list) or len(items) < least or not all(
                isinstance(item, dict) and 'Name' in item for item in items):
            raise ValueError(f"'{path}' has no list of {key} with a Name each, as configs/sembridge/metafile.yml has.")
    return content


def model_entries(rows, benchmark):
    """An entry of a metafile for each packaged config and pair, without the name of its collection."""
    configs = {row['dataset']: row['config'] for row in rows}
    used = list(configs.values())
    entries = []
    for (dataset, pair), methods in summarise(rows).items():
        config = configs[dataset]
        for method in methods:
            if method['method'] == 'kd' and method['sembridge'] and config.startswith(PACKAGED):
                config = f'configs/{config.removeprefix(PACKAGED)}'
                number = len(method['seeds'])
                name = Path(config).stem + (f'_{dataset}' if used.count(configs[dataset]) > 1 else '')
                metrics = {TITLES[key]: round(mean(method[key].values()), 2) for key in METRICS if method[key]}
                entries.append({
                    'Name': f'{name}_{pair}', 'Config': config,
                    'Metadata': {'Pair': pair, 'Benchmark': benchmark},
                    'Results': [{
                        'Task': 'Image Classification',
                        'Dataset': dataset + (f' (mean of {number} seeds)' if number > 1 else ' (one seed)'),
                        'Metrics': metrics}]})
    return entries


def put_between(text, begin, end, content):
    """``text`` with ``content`` on the lines between ``begin`` and ``end``, which are added at the end if need be."""
    block = f'{begin}\n{content}{end}\n'
    pattern = re.compile(f'^{re.escape(begin)}\n.*?^{re.escape(end)}\n', re.DOTALL | re.MULTILINE)
    if pattern.search(text):
        return pattern.sub(lambda _: block, text, count=1)
    separator = '' if begin.startswith(' ') else '\n'
    return f'{text.rstrip()}\n{separator}{block}'


if __name__ == '__main__':
    with readable_errors():
        main()
