"""A raster too large to be read at once, read from top to bottom in overlapping tiles."""

import numpy as np

from rstoolbox.datasets.bands import band_indices, get_sensor
from rstoolbox.datasets.transforms.loading import names_in_file, valid_mask
from rstoolbox.datasets.transforms.readers import reading_raster


class Strips:
    """Tiles of an open raster on a regular grid that covers all of it; every pixel is read once.

    The last column and row of tiles may reach over the raster's edge, where it is mirrored.

    Args:
        source (rasterio.DatasetReader): The raster.
        tile (int): Side of a tile in pixels.
        stride (int): Pixels from one tile to the next, a divisor of ``tile``. A cell is a square of that side.
        sensor (str): See :mod:`rstoolbox.datasets.bands`.
        bands (Sequence[str], optional): What to read, in this order. Defaults to all bands of the file.
        file_bands (Sequence[str], optional): Names of the file's bands, in its order.

    Raises:
        ValueError: If the stride is no divisor of the tile, or the bands are not those of the file.
    """

    def __init__(self, source, tile, stride, sensor='rgb', bands=None, file_bands=None):
        if not 1 <= stride <= tile or tile % stride:
            raise ValueError(f'Tiles of {tile} pixels cannot be {stride} pixels apart: the stride is a divisor of the '
                             f'tile, such as {usual_stride(tile)}.')
        if tile > min(source.width, source.height):
            raise ValueError(f"'{source.name}' of {source.width} x {source.height} pixels is smaller than a tile of "
                             f'{tile} x {tile}.')
        self.source, self.tile, self.stride = source, tile, stride
        self.sensor = get_sensor(sensor)
        names = names_in_file(source.name, self.sensor, source.count, source.descriptions, file_bands)
        self.bands = list(bands or names)
        self.places = [place + 1 for place in band_indices(self.bands, names, source.name)]

    @property
    def num_cells(self):
        """tuple[int, int]: Columns and rows of cells that cover the raster."""
        return tuple(-(-side // self.stride) for side in (self.source.width, self.source.height))

    @property
    def num_tiles(self):
        """tuple[int, int]: Columns and rows of tiles."""
        return tuple(max(0, -(-(side - self.tile) // self.stride)) + 1
                     for side in (self.source.width, self.source.height))

    def tiles(self, image, mask):
        """Cut a row into its tiles, pairs of image and mask."""
        return [(image[:, left:left + self.tile], mask[:, left:left + self.tile])
                for left in range(0, self.num_tiles[0] * self.stride, self.stride)]

    def rows(self, first=0):
        """Read the rows of tiles, from one of them on.

        Yields:
            tuple[np.ndarray, np.ndarray, np.ndarray]: Image (tile, width, bands); which of it is measured, bool, of the
            same shape; and which cells below it hold a measured pixel of the raster, (tile / stride, columns) bool.
        """
        image, mask, inside = self._read(first * self.stride, first * self.stride + self.tile)
        yield image, mask, self._cells(inside)
        for row in range(first + 1, self.num_tiles[1]):
            top = (row - 1) * self.stride + self.tile
            image, mask, inside = (np.concatenate([old[self.stride:], new]) for old, new in zip(
                (image, mask, inside), self._read(top, top + self.stride)))
            yield image, mask, self._cells(inside)

    def _cells(self, measured):
        side, (rows, width) = self.stride, measured.shape
        return measured.reshape(rows // side, side, width // side, side).any((1, 3))

    def _read(self, top, bottom):
        """Rows, mirrored beyond the edges: image, what of it is measured, and which pixels of the raster are."""
        width, height = self.source.width, self.source.height
        beyond = (self.num_tiles[0] - 1) * self.stride + self.tile - width
        parts = [self._window(top, min(bottom, height))]
        if bottom > height:
            mirrored = self._window(2 * height - 1 - bottom, height - 1)
            parts.append([rows[::-1] for rows in mirrored])
        image, mask = (np.pad(np.concatenate(rows), ((0, 0), (0, beyond), (0, 0)), 'reflect') for rows in zip(*parts))
        inside = mask.any(2)
        inside[:, width:] = inside[height - top:] = False
        return image, mask, inside

    def _window(self, top, bottom):
        window = (top, bottom), (0, self.source.width)
        with reading_raster(self.source.name):
            image = self.source.read(self.places, window=window).transpose(1, 2, 0)
            seen = self.source.dataset_mask(window=window) > 0  # knows of alpha bands too
        nodata = [self.source.nodatavals[place - 1] for place in self.places]
        known = valid_mask(image, nodata, self.sensor.nodata)
        mask = np.broadcast_to(seen[..., None], image.shape)
        return image, mask if known is None else mask & known


def usual_stride(tile):
    """About a quarter of a tile: its largest divisor that is no more."""
    return next(stride for stride in range(max(1, tile // 4), 0, -1) if tile % stride == 0)
