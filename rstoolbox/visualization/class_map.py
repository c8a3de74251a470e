"""A map of classes with its legend."""

import numpy as np
import rasterio
from matplotlib.colors import ListedColormap
from matplotlib.patches import Patch

from .figure import colour, new_figure, save_figure

LONGEST_SIDE = 1500


def draw_class_map(path, classes, out):
    """Draw a raster of class numbers, with the share of each class that is there.

    Args:
        path (str | Path): A raster of class numbers, counted from 0; its nodata value stays white.
        classes (Sequence[str]): Names of the classes.
        out (str | Path): PNG to write.

    Returns:
        Path: ``out``.
    """
    with rasterio.open(path) as source:
        step = max(1, max(source.width, source.height) / LONGEST_SIDE)
        numbers = source.read(1, out_shape=(max(1, round(source.height / step)), max(1, round(source.width / step))),
                              masked=True)
    figure = new_figure(9, max(3., 6.5 * numbers.shape[0] / numbers.shape[1]))
    axes = figure.subplots()
    colours = [colour(index) for index in range(len(classes))]
    axes.imshow(numbers, cmap=ListedColormap(colours), vmin=-0.5, vmax=len(classes) - 0.5, interpolation='nearest')
    axes.set_axis_off()
    counts = np.bincount(numbers.compressed(), minlength=len(classes))
    handles = [Patch(color=colours[index], label=f'{classes[index]}  {100 * counts[index] / counts.sum():.1f} %')
               for index in np.argsort(-counts, kind='stable') if counts[index]]
    figure.legend(handles=handles, loc='outside right upper', frameon=False)
    return save_figure(figure, out)
