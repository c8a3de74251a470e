"""Student samples beside the teacher samples they were matched with."""

from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np

from rstoolbox.structures import nearest_band

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
    # One stretch for the whole sheet: stretched by itself, an even lake or wood would show nothing but its noise.
    rgb_limits = [limit.mean() for limit in display_limits(pair.student_image for pair in pairs)]
    limits = display_limits(select_bands(image, pair.bands, shown) for pair in pairs
                            for image in (pair.first_image, pair.last_image))
    for row, (pair, axes) in enumerate(zip(pairs, grid)):
        changed = '' if pair.first_id == pair.last_id else ' (changed)'
        cells = ((stretch(pair.student_image, rgb_limits), pair.student_id, ''),
                 (false_colour(pair.first_image, pair.bands, shown, limits), pair.first_id,
                  _score(first_label, pair.first_score)),
                 (false_colour(pair.last_image, pair.bands, shown, limits), pair.last_id,
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


def false_colour(image, bands, shown=FALSE_COLOUR, limits=None):
    """Show three named bands of a multispectral image.

    Args:
        image (numpy.ndarray): (H, W, C) in any unit.
        bands (Sequence[str]): Band names in channel order.
        shown (tuple[str]): Bands for red, green and blue.
        limits (tuple, optional): See :func:`stretch`.

    Returns:
        numpy.ndarray: (H, W, 3) in [0, 1].

    Raises:
        ValueError: If the image has another number of channels, or a band is not among ``bands``.
    """
    return stretch(select_bands(image, bands, shown), limits)


def select_bands(image, bands, shown):
    """Return the channels (H, W, len(shown)) of the named bands; errors as in :func:`false_colour`."""
    bands = list(bands)
    if np.ndim(image) != 3 or image.shape[2] != len(bands):
        raise ValueError(f'The image has shape {np.shape(image)}, expected (H, W, {len(bands)}) for the bands '
                         f'{", ".join(bands)}.')
    for name in shown:
        if name not in bands:
            raise ValueError(f"There is no band '{name}' to show{nearest_band(name, bands)}. The bands are "
                             f'{", ".join(bands)}.')
    return image[..., [bands.index(name) for name in shown]]


def display_limits(images, low=2, high=98):
    """Return two percentiles of each channel over several images (H, W, C), not finite values left out."""
    values = np.concatenate([np.asarray(image, np.float64).reshape(-1, image.shape[-1]) for image in images])
    values = values[np.isfinite(values).all(1)]
    if not len(values):
        return np.zeros(values.shape[1]), np.zeros(values.shape[1])
    return np.percentile(values, (low, high), axis=0)


def stretch(image, limits=None):
    """Stretch an image linearly to [0, 1] for display.

    Args:
        image (numpy.ndarray): (H, W, C) in any unit; values that are not finite become black.
        limits (tuple, optional): What becomes 0 and 1, a number each or one for each channel. Defaults to the 2nd and
            98th percentile of each channel; a channel that is the same everywhere becomes mid-grey.

    Returns:
        numpy.ndarray: Of the same shape, in [0, 1].
    """
    image = np.asarray(image, np.float64)
    bottom, top = display_limits([image]) if limits is None else limits
    span = np.asarray(top) - bottom
    finite = np.where(np.isfinite(image), image, bottom)
    stretched = np.where(span > 0, (finite - bottom) / np.where(span > 0, span, 1), .5)
    return np.clip(np.where(np.isfinite(image), stretched, 0), 0, 1)


def _score(label, value):
    return '' if value is None else f'{label} {value:.3f}'
