"""Confusion matrix of a single-label classifier."""

import numpy as np

from .figure import new_figure, save_figure


def plot_confusion_matrix(matrix, classes, out, title='Confusion matrix'):
    """Plot counts, coloured by the share of each true class.

    Args:
        matrix (array-like): Counts (C, C), rows the truth and columns the prediction.
        classes (Sequence[str]): Class names.
        out (str | Path): PNG to write.
        title (str): Title; the overall accuracy is added.

    Returns:
        Path: ``out``.

    Raises:
        ValueError: If the matrix is not square or does not fit the classes.
    """
    matrix = np.asarray(matrix)
    if matrix.shape != (len(classes), len(classes)):
        raise ValueError(f'The confusion matrix has shape {matrix.shape}, expected {(len(classes),) * 2} for the '
                         f'classes {", ".join(classes)}.')
    totals = matrix.sum(1, keepdims=True)
    share = 100 * matrix / np.maximum(totals, 1)
    side = 3 + .58 * len(classes)
    figure = new_figure(side + 1, side)
    axes = figure.subplots()
    picture = axes.imshow(share, cmap='Blues', vmin=0, vmax=100)
    for row, column in np.argwhere(matrix > 0):
        axes.text(column, row, str(matrix[row, column]), ha='center', va='center', fontsize=9,
                  color='white' if share[row, column] > 55 else 'black')
    axes.set_xticks(range(len(classes)), classes, rotation=40, ha='right', rotation_mode='anchor')
    axes.set_yticks(range(len(classes)), [f'{name} ({int(total)})' for name, total in zip(classes, totals[:, 0])])
    axes.set_xlabel('predicted class')
    axes.set_ylabel('true class (samples)')
    axes.set_title(f'{title}\noverall accuracy {100 * np.trace(matrix) / max(matrix.sum(), 1):.1f} % of '
                   f'{int(matrix.sum())} samples', fontweight='bold')
    figure.colorbar(picture, ax=axes, shrink=.8, label='share of the true class (%)')
    return save_figure(figure, out)
