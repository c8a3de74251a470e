"""What all pictures share: palette, type, and saving without pyplot's global state."""

from pathlib import Path

import matplotlib
from matplotlib.colors import hsv_to_rgb, to_hex
from matplotlib.figure import Figure
from PIL import ImageFont

from rstoolbox.structures import open_whole

# Okabe and Ito's eight colours, told apart with any kind of colour vision, then Tol's "muted" ones.
PALETTE = ('#0072B2', '#E69F00', '#009E73', '#D55E00', '#CC79A7', '#56B4E9', '#000000', '#F0E442',
           '#332288', '#882255', '#44AA99', '#999933', '#AA4499', '#88CCEE', '#DDCC77', '#777777')


def new_figure(width, height):
    """Return an empty figure of a size in inches."""
    return Figure(figsize=(width, height), layout='constrained', facecolor='white')


def save_figure(figure, out, dpi=150):
    """Write a figure as PNG; the file appears whole or not at all.

    Args:
        figure (matplotlib.figure.Figure): The picture.
        out (str | Path): File to write, ending in ``.png``.
        dpi (int): Pixels per inch.

    Returns:
        Path: ``out``.

    Raises:
        ValueError: If ``out`` does not end in ``.png``.
    """
    return write_png(lambda file: figure.savefig(file, dpi=dpi, format='png'), out)


def write_png(save, out):
    """Write a PNG that appears whole or not at all.

    Args:
        save (Callable): Called with the open file, writes the picture to it.
        out (str | Path): File to write, ending in ``.png``.

    Returns:
        Path: ``out``.

    Raises:
        ValueError: If ``out`` does not end in ``.png``.
    """
    out = Path(out)
    if out.suffix.lower() != '.png':
        raise ValueError(f"Pictures are written as PNG; '{out}' should end in .png.")
    with open_whole(out) as file:
        save(file)
    return out


def font(size):
    """Letters of a height in pixels: Latin, Greek and Cyrillic, which Pillow's own lack in part, but no others."""
    return ImageFont.truetype(str(Path(matplotlib.get_data_path(), 'fonts/ttf/DejaVuSans.ttf')), size)


def colour(index):
    """The colour of a class or run; beyond the sixteen of the palette, hues that differ from one to the next."""
    if index < len(PALETTE):
        return PALETTE[index]
    golden = (5 ** 0.5 - 1) / 2
    return to_hex(hsv_to_rgb((index * golden % 1, (0.55, 0.9)[index % 2], (0.95, 0.7)[index // 2 % 2])))
