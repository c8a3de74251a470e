"""A map of classes with its legend."""

import numpy as np
import rasterio
from matplotlib.colors import ListedColormap
from matplotlib.patches import Patch

from .figure import colour, new_figure, save_figure

LONGEST_SIDE = 1500


def draw_class_map(path, shares, out):
    """Draw a raster of class numbers with its legend.

    Args:
        path (str | Path): A raster of class numbers, counted from 0; its nodata value stays white.
        shares (dict[str, float]): The share of each class in percent, in the order of the numbers; the legend leaves
            out those of 0.
        out (str | Path): PNG to write.

    Returns:
        Path: ``out``.
    """
    with rasterio.open(path) as source:
        step = max(1, max(source.width, source.height) / LONGEST_SIDE)
        numbers = source.read(1, out_shape=(max(1, round(source.height / step)), max(1, round(source.width / step))),
                              masked=True)
    colours = [colour(index) for index in range(len(shares))]
    there = sorted((-share, index, name) for index, (name, share) in enumerate(shares.items()) if share)
    handles = [Patch(color=colours[index], label=f'{name}  {-share:.1f} %') for share, index, name in there]
    figure = new_figure(9, np.clip(6.5 * numbers.shape[0] / numbers.shape[1], max(3, 0.3 * len(handles)), 20))
    axes = figure.subplots()
    axes.imshow(numbers, cmap=ListedColormap(colours), vmin=-0.5, vmax=len(colours) - 0.5, interpolation='nearest')
    axes.set_axis_off()
    figure.legend(handles=handles, loc='outside right upper', frameon=False)
    return save_figure(figure, out)
