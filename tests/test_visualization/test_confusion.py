import numpy as np
import pytest

from rstoolbox.visualization import plot_confusion_matrix

CLASSES = ('Forest', 'Highway', 'River')


def test_plots_counts(tmp_path, look):
    look(plot_confusion_matrix(np.diag([9, 8, 7]) + 1, CLASSES, tmp_path / 'matrix.png'))


def test_a_class_without_samples_and_an_empty_matrix_are_drawn(tmp_path, look):
    look(plot_confusion_matrix([[3, 1, 0], [0, 0, 0], [1, 0, 5]], CLASSES, tmp_path / 'a.png'))
    look(plot_confusion_matrix(np.zeros((3, 3), int), CLASSES, tmp_path / 'b.png'))


def test_a_matrix_of_other_size_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r'shape \(2, 2\), expected \(3, 3\)'):
        plot_confusion_matrix(np.eye(2), CLASSES, tmp_path / 'x.png')
