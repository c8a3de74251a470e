"""Student samples beside the teacher samples they were matched with."""

import difflib
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np

from .figure import new_figure, save_figure

FALSE_COLOUR = ('B08', 'B04', 'B03')


@dataclass
class MatchedPair:
    """One row of the sheet of matched pairs; images are (H, W, C) in any unit.

    Attributes:
        class_name (str): Class of all three samples.
        student_id (str): Sample id of the RGB image.
        student_image (numpy.ndarray): In the order red, green, blue.
        first_id (str): Sample id of the first match.
        first_image (numpy.ndarray): Multispectral.
        last_id (str): Sample id of the match after the last re-matching.
        last_image (numpy.ndarray): Multispectral.
        bands (Sequence[str]): Band names of both multispectral images in channel order.
        first_score (float, optional): How good the first match was, e.g. its cosine similarity.
        last_score (float, optional): How good the last match is, e.g. its KL divergence.
    """

    class_name: str
    student_id: str
    student_image: np.ndarray
    first_id: str
    first_image: np.ndarray
    last_id: str
    last_image: np.ndarray
    bands: tuple
    first_score: float | None = None
    last_score: float | None = None


def plot_matched_pairs(pairs, out, first_label='cosine', last_label='KL', shown=FALSE_COLOUR,
                       title='Matched samples'):
    """Plot a sheet: student RGB, first match and last match of each pair, the matches in false colour.

    Args:
        pairs (Sequence[MatchedPair]): Rows, best of several classes.
        out (str | Path): PNG to write.
        first_label (str): Name of the first match's score.
        last_label (str): Name of the last match's score.
        shown (tuple[str]): Bands shown as red, green and blue.
        title (str): Title of the sheet.

    Returns:
        Path: ``out``.

    Raises:
        ValueError: If there is no pair, or a band to show is not among the bands.
    """
    if not pairs:
        raise ValueError('There are no matched pairs to plot.')
    figure = new_figure(7.8, 2.55 * len(pairs) + 1.1)
    grid = figure.subplots(len(pairs), 3, squeeze=False)
    for row, (pair, axes) in enumerate(zip(pairs, grid)):
        changed = '' if pair.first_id == pair.last_id else ' (changed)'
        cells = ((stretch(pair.student_image), pair.student_id, ''),
                 (false_colour(pair.first_image, pair.bands, shown), pair.first_id, _score(first_label, pair.first_score)),
                 (false_colour(pair.last_image, pair.bands, shown), pair.last_id,
                  _score(last_label, pair.last_score) + changed))
        for axis, (image, name, note) in zip(axes, cells):
            axis.imshow(image, interpolation='nearest')
            axis.set_xticks([])
            axis.set_yticks([])
            axis.set_xlabel('\n'.join(filter(None, (PurePosixPath(name).name, note))), fontsize=8.5)
        axes[0].set_ylabel(pair.class_name, fontsize=11, fontweight='bold')
        if row == 0:
            bands = '/'.join(shown)
            for axis, text in zip(axes, ('student\nRGB', f'first match\nteacher, {bands}',
                                         f'last match\nteacher, {bands}')):
                axis.set_title(text, fontsize=11)
    figure.suptitle(title, fontweight='bold')
    return save_figure(figure, out, dpi=110)


def false_colour(image, bands, shown=FALSE_COLOUR):
    """Show three named bands of a multispectral image.

    Args:
        image (numpy.ndarray): (H, W, C) in any unit.
        bands (Sequence[str]): Band names in channel order.
        shown (tuple[str]): Bands for red, green and blue.

    Returns:
        numpy.ndarray: (H, W, 3) in [0, 1].

    Raises:
        ValueError: If the image has another number of channels, or a band is not among ``bands``.
    """
    bands = list(bands)
    if np.ndim(image) != 3 or image.shape[2] != len(bands):
        raise ValueError(f'The image has shape {np.shape(image)}, expected (H, W, {len(bands)}) for the bands '
                         f'{", ".join(bands)}.')
    for name in shown:
        if name not in bands:
            near = difflib.get_close_matches(name, bands, n=1, cutoff=0)
            raise ValueError(f"Band '{name}' to show is not among {', '.join(bands)}; nearest is '{near[0]}'.")
    return stretch(image[..., [bands.index(name) for name in shown]])


def stretch(image, low=2, high=98):
    """Stretch each channel linearly between two percentiles to [0, 1]; an even one becomes mid-grey, NaN black."""
    image = np.asarray(image, np.float64)
    bottom, top = np.nanpercentile(np.where(np.isfinite(image), image, np.nan), (low, high), axis=(0, 1))
    span = top - bottom
    even = ~(span > 0)
    stretched = np.where(even, .5, (image - bottom) / np.where(even, 1, span))
    return np.clip(np.nan_to_num(np.where(np.isfinite(image), stretched, 0)), 0, 1)


def _score(label, value):
    return '' if value is None else f'{label} {value:.3f}'
