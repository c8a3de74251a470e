"""Grouped bars with error bars, such as one group for each class."""

import numpy as np

from .figure import colour, new_figure, save_figure


def plot_bars(panels, groups, out, ylabel='', title=''):
    """Plot panels of grouped bars below each other.

    Args:
        panels (dict[str, dict]): Title of a panel -> name of a series -> (means, deviations), one for each group.
        groups (Sequence[str]): Names of the groups, such as classes.
        out (str | Path): PNG to write.
        ylabel (str): What is measured, with its unit.
        title (str): Title of the picture.

    Returns:
        Path: ``out``.

    Raises:
        ValueError: If a series has not one mean and one deviation for each group.
    """
    figure = new_figure(max(7., 1.3 * len(groups) + 2), 3.4 * len(panels) + 1)
    for axes, (name, series) in zip(figure.subplots(len(panels), 1, squeeze=False)[:, 0], panels.items()):
        width = 0.8 / len(series)
        for index, (label, values) in enumerate(series.items()):
            if any(np.shape(numbers) != (len(groups),) for numbers in values):
                raise ValueError(f"Panel '{name}': the series '{label}' needs a mean and a deviation for each of the "
                                 f'{len(groups)} groups, got shapes {" and ".join(str(np.shape(v)) for v in values)}.')
            means, deviations = values
            axes.bar(np.arange(len(groups)) + (index + 0.5) * width - 0.4, means, width, yerr=deviations, capsize=2,
                     color=colour(index), ecolor='0.3', error_kw=dict(linewidth=.8), label=label)
        axes.set_xticks(range(len(groups)), groups, rotation=25, ha='right', rotation_mode='anchor')
        axes.set_ylabel(ylabel)
        axes.set_title(name, fontsize=12)
        axes.grid(axis='y', alpha=.3)
        axes.set_axisbelow(True)
    figure.legend(*axes.get_legend_handles_labels(), loc='outside lower center', ncols=min(len(series), 3),
                  frameon=False)
    figure.suptitle(title, fontweight='bold')
    return save_figure(figure, out)
