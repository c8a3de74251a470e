import numpy as np
import pytest

from rstoolbox.visualization import plot_tsne

CLASSES = ('Forest', 'Highway', 'River')


def _vectors(seed, number, width=8):
    rng = np.random.default_rng(seed)
    labels = np.arange(number) % 3
    return rng.normal(size=(number, width)) + 4 * np.eye(3, width)[labels], labels


def test_same_picture_for_the_same_seed(tmp_path, look):
    (student, student_labels), (teacher, teacher_labels) = _vectors(0, 30), _vectors(1, 24)
    panels = {'before': (student + 3, teacher), 'after': (student, teacher)}
    pictures = [look(plot_tsne(panels, student_labels, teacher_labels, CLASSES, tmp_path / f'{run}.png', max_points=20))
                for run in range(2)]
    assert (pictures[0] == pictures[1]).all()


@pytest.mark.parametrize('student, teacher, message', [
    (np.zeros((6, 4)), np.zeros((6, 5)), "'before': student vectors are 4 wide and teacher vectors 5"),
    (np.zeros((5, 4)), np.zeros((6, 4)), r'the student vectors have shape \(5, 4\), expected \(6, D\)'),
    (np.zeros((6, 4)), np.full((6, 4), np.nan), 'row 0 of the teacher vectors is not finite'),
])
def test_bad_vectors_are_explained(tmp_path, student, teacher, message):
    labels = np.arange(6) % 3
    with pytest.raises(ValueError, match=message):
        plot_tsne({'before': (student, teacher)}, labels, labels, CLASSES, tmp_path / 'x.png')
