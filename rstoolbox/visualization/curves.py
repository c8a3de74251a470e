"""Training curves of several runs in one picture."""

import json
from pathlib import Path

from .figure import colour, new_figure, save_figure


def plot_curves(runs, out, train_key='loss', val_key='accuracy', title='Training'):
    """Plot training loss and validation metric over epochs, one line per run.

    Args:
        runs (dict[str, str | Path | list]): Name of a run -> its ``vis_data/scalars.json`` as mmengine writes it, or
            several of them in order of time where the run was resumed.
        out (str | Path): PNG to write.
        train_key (str): Scalar of the left panel, averaged over each epoch.
        val_key (str): Scalar of the right panel, in percent.
        title (str): Title of the picture.

    Returns:
        Path: ``out``.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If a line is no JSON, or no run has one of the two scalars.
    """
    scalars = {name: read_scalars(files) for name, files in runs.items()}
    figure = new_figure(11, 4.2)
    left, right = figure.subplots(1, 2)
    for axes, key, read in ((left, train_key, train_curve), (right, val_key, validation_curve)):
        curves = {name: read(records, key) for name, records in scalars.items()}
        if not any(curves.values()):
            found = sorted({name for records in scalars.values() for record in records for name in record})
            raise ValueError(f"No run has the scalar '{key}'; found: {', '.join(found) or 'nothing'}.")
        for index, (name, curve) in enumerate(curves.items()):
            if curve:
                axes.plot(*zip(*curve), color=colour(index), marker='o', markersize=3, linewidth=1.6, label=name,
                          linestyle=('-', '--', '-.', ':')[index % 4])
        axes.set_xlabel('epoch')
        axes.grid(alpha=.3)
        axes.legend(frameon=False)
        axes.xaxis.get_major_locator().set_params(integer=True)
    left.set_ylabel(f'training {train_key}')
    left.set_title(f'Training {train_key}, mean of each epoch')
    right.set_ylabel(f'validation {val_key} (%)')
    right.set_title(f'Validation {val_key}')
    figure.suptitle(title, fontweight='bold')
    return save_figure(figure, out)


def read_scalars(files):
    """Read the records of a run.

    Args:
        files (str | Path | list): One ``scalars.json`` (a JSON object per line) or several in order of time.

    Returns:
        list[dict]: The records in order.
    """
    records = []
    for file in [files] if isinstance(files, (str, Path)) else files:
        lines = Path(file).read_text().splitlines()
        for number, line in enumerate(lines, 1):
            try:
                records.append(json.loads(line))
            except json.JSONDecodeError as error:
                if number == len(lines):  # a run that was killed leaves half a line
                    break
                raise ValueError(f"{file}, line {number} is no JSON ({error.msg}); expected mmengine's "
                                 'vis_data/scalars.json.') from None
    return records


def train_curve(records, key):
    """Means of a training scalar by epoch; of an epoch that was run again after a resume, the last time counts."""
    steps = {}
    for record in records:
        if key in record and 'epoch' in record:
            steps[record.get('step', record.get('iter'))] = (record['epoch'], record[key])
    epochs = {}
    for epoch, value in steps.values():
        epochs.setdefault(epoch, []).append(value)
    return [(epoch, sum(values) / len(values)) for epoch, values in sorted(epochs.items())]


def validation_curve(records, key):
    """A validation scalar by epoch (mmengine writes the epoch as ``step`` there)."""
    epochs = {record['step']: record[key] for record in records if key in record and 'epoch' not in record}
    return sorted(epochs.items())
