"""Where the samples of both modalities lie in a common space."""

import numpy as np
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

from .figure import colour, new_figure, save_figure


def plot_tsne(panels, student_labels, teacher_labels, classes, out, seed=0, max_points=400,
              title='Both modalities in two dimensions (t-SNE)'):
    """Plot t-SNE maps side by side, such as before and after distillation.

    Args:
        panels (dict[str, tuple]): Title of a panel -> (student vectors (N, D), teacher vectors (M, D)): embeddings or
            logits, of one width within a panel.
        student_labels (array-like): (N,) class indices.
        teacher_labels (array-like): (M,) class indices.
        classes (Sequence[str]): Class names.
        out (str | Path): PNG to write.
        seed (int): Of the choice of points and of t-SNE.
        max_points (int): Most points drawn of each modality, chosen once for all panels.
        title (str): Title of the picture.

    Returns:
        Path: ``out``.

    Raises:
        ValueError: If vectors and labels differ in number, widths differ within a panel, or a value is not finite.
    """
    student_labels, teacher_labels = np.asarray(student_labels), np.asarray(teacher_labels)
    rng = np.random.default_rng(seed)
    kept = [np.sort(rng.permutation(len(labels))[:max_points]) for labels in (student_labels, teacher_labels)]
    labels = np.concatenate([student_labels[kept[0]], teacher_labels[kept[1]]])
    is_student = np.arange(len(labels)) < len(kept[0])
    figure = new_figure(6 * len(panels) + 1.8, 6)
    grid = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, (name, (student, teacher)) in zip(grid, panels.items()):
        student, teacher = np.asarray(student, np.float64), np.asarray(teacher, np.float64)
        _check(name, student, teacher, len(student_labels), len(teacher_labels))
        points = _embed(np.concatenate([student[kept[0]], teacher[kept[1]]]), seed)
        _draw(axes, points, labels, is_student, classes)
        axes.set_title(name, fontsize=13)
    handles = [axes.scatter([], [], color=colour(index), s=45, label=name) for index, name in enumerate(classes)]
    handles += [axes.scatter([], [], color='0.35', s=40, marker='o', label='student (RGB)'),
                axes.scatter([], [], facecolor='none', edgecolor='0.35', s=45, marker='^', label='teacher (MS)')]
    figure.legend(handles=handles, loc='outside right upper', frameon=False, fontsize=10)
    figure.suptitle(title, fontweight='bold')
    return save_figure(figure, out, dpi=120)


def _embed(vectors, seed):
    # 50 principal components first, as van der Maaten and Hinton (2008) do: faster, and less noise.
    if vectors.shape[1] > 50 and len(vectors) > 50:
        vectors = PCA(50, random_state=seed).fit_transform(vectors)
    perplexity = max(1., min(30., (len(vectors) - 1) / 3))
    return TSNE(2, perplexity=perplexity, init='pca', random_state=seed).fit_transform(vectors)


def _draw(axes, points, labels, is_student, classes):
    for index in range(len(classes)):
        of_student, of_teacher = points[(labels == index) & is_student], points[(labels == index) & ~is_student]
        axes.scatter(*of_student.T, color=colour(index), s=16, marker='o', linewidth=0, alpha=.85)
        axes.scatter(*of_teacher.T, facecolor='none', edgecolor=colour(index), s=22, marker='^', linewidth=.9)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_xlabel('t-SNE 1 (no unit)')
    axes.set_ylabel('t-SNE 2 (no unit)')


def _check(name, student, teacher, num_student, num_teacher):
    for side, vectors, number in (('student', student, num_student), ('teacher', teacher, num_teacher)):
        if vectors.ndim != 2 or len(vectors) != number:
            raise ValueError(f"Panel '{name}': the {side} vectors have shape {vectors.shape}, expected ({number}, D), "
                             'one for each label.')
        if not np.isfinite(vectors).all():
            raise ValueError(f"Panel '{name}': row {np.argwhere(~np.isfinite(vectors))[0][0]} of the {side} vectors is "
                             'not finite.')
    if student.shape[1] != teacher.shape[1]:
        raise ValueError(f"Panel '{name}': student vectors are {student.shape[1]} wide and teacher vectors "
                         f'{teacher.shape[1]}; t-SNE needs one space for both, such as projected embeddings or logits.')
