"""What all pictures share: palette, type, and saving without pyplot's global state."""

import os
from pathlib import Path

from matplotlib.figure import Figure

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
    out = Path(out)
    if out.suffix.lower() != '.png':
        raise ValueError(f"Pictures are written as PNG; '{out}' should end in .png.")
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(f'.{out.stem}.{os.getpid()}.png')
    try:
        figure.savefig(temporary, dpi=dpi)
        os.replace(temporary, out)
    finally:
        temporary.unlink(missing_ok=True)
    return out


def colour(index):
    """The colour of a class or run; repeats after sixteen."""
    return PALETTE[index % len(PALETTE)]
