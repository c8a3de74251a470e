"""What the runs of a benchmark left, as rows of one CSV file."""

import csv
import io
import logging
import math
from pathlib import Path

from mmengine.logging import print_log

from rstoolbox.models.checkpoint import CheckpointError, load_state
from rstoolbox.structures.files import read_record, write_whole
from rstoolbox.visualization.curves import read_scalars, validation_curve

from ..testing import METRICS

RECORD = 'run.json'  # which run a folder is of
WORDS = dict(dataset=str, config=str, pair=str, method=str, sembridge=str, seed=int, config_hash=str, split_hash=str)
NUMBERS = ('val_accuracy', 'seconds_per_epoch', 'extra_parameters', 'peak_memory_mib')
COLUMNS = (*WORDS, *METRICS, *NUMBERS)


def read_result(run, folder):
    """The row of a run, from the files of its folder.

    Args:
        run (Run): The run.
        folder (str | Path): Where it was trained.

    Returns:
        dict | None: From column to value: ``config_hash``, the fingerprint of everything the training depends on, the
        hash of the test split, metrics of the test split and accuracy on the validation split at the chosen epoch in
        percent, and what it cost. None where the run is not finished, its weights are gone or damaged, or it is of
        other settings than ``run``.
    """
    folder = Path(folder)
    if read_record(folder / RECORD, ('key',)).get('key') != run.key:
        return None
    state = read_record(folder / 'stage.json', ('fingerprint', 'finished'))
    test = read_record(folder / 'test.json', ('metrics',))
    cost = read_record(folder / 'cost.json', ('seconds_per_epoch', 'extra_parameters', 'peak_memory_mib'))
    environment = read_record(folder / 'environment.json', ('splits',))
    weights = folder / Path(state.get('artifact') or 'none').name  # the folder may have been moved since
    if not (state.get('finished') and test and cost and environment and weights.is_file()):
        return None
    try:
        epoch = load_state(weights)['meta']['epoch']
    except CheckpointError as error:
        print_log(f'{run.name} counts as unfinished: {error}', logger='current', level=logging.WARNING)
        return None
    curve = dict(validation_curve(read_scalars(sorted(folder.glob('*/vis_data/scalars.json'))), 'accuracy'))
    return dict(dataset=run.dataset, config=run.config, pair=run.pair, method=run.method,
                sembridge='yes' if run.sembridge else 'no', seed=run.seed, config_hash=state['fingerprint'],
                split_hash=environment['splits'].get('test'), **{key: test['metrics'].get(key) for key in METRICS},
                val_accuracy=curve.get(epoch), **{key: cost[key] for key in NUMBERS[1:]})


def write_csv(rows, path):
    """Write rows as :func:`read_result` gives them; the file appears whole or not at all."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator='\n')
    writer.writeheader()
    writer.writerows(rows)
    write_whole(text.getvalue().encode(), path)


def read_csv(path):
    """The rows of a CSV of :func:`write_csv`, with numbers as numbers and None where a cell is empty.

    Raises:
        FileNotFoundError: No such file.
        ValueError: It is no text, lacks columns, a line is cut short, a cell holds what cannot be there, or a run
            stands there twice.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no '{path}'. tools/benchmark.py writes a results.csv.")
    try:
        text = path.read_text(encoding='utf-8-sig')  # a spreadsheet may put a mark in front
    except UnicodeDecodeError:
        raise ValueError(f"'{path}' is no text in UTF-8. tools/benchmark.py --report-only writes it anew.") from None
    reader = csv.DictReader(io.StringIO(text))
    missing = [column for column in COLUMNS if column not in (reader.fieldnames or ())]
    if missing:
        raise ValueError(f"'{path}' is no result of tools/benchmark.py: it has no column {', '.join(missing)} among "
                         'those that commas separate. --report-only writes the file anew.')
    rows, seen = [], set()
    for number, cells in enumerate(reader, 2):
        row = {column: _value(cells[column], column, f'{path}, line {number}') for column in COLUMNS}
        identity = tuple(row[key] for key in ('dataset', 'pair', 'method', 'sembridge', 'seed'))
        if identity in seen:
            raise ValueError(f"'{path}', line {number}: the run {'/'.join(map(str, identity))} stands there twice.")
        seen.add(identity)
        rows.append(row)
    return rows


def _value(text, column, where):
    if text is None:
        raise ValueError(f'{where} ends before {column}. tools/benchmark.py --report-only writes the file anew.')
    if column == 'sembridge' and text not in ('yes', 'no'):
        raise ValueError(f"{where}: sembridge = '{text}', expected yes or no.")
    kind = WORDS.get(column, float)
    if not text and kind is float:
        return None
    try:
        value = kind(text)
    except ValueError:
        value = math.nan
    if kind is not str and not math.isfinite(value):
        raise ValueError(f"{where}: {column} = '{text}', expected a {'whole ' if kind is int else ''}number.")
    return value
