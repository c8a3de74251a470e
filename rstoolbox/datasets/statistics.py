"""Mean, standard deviation and range of every band, in one pass over the images."""

import numpy as np
from rich.progress import track

from .transforms import LoadRaster, PseudoRGB, SelectBands, ToReflectance

# Transforms that say what a pixel's value means; anything else changes where pixels lie, or is random.
UNIT_TRANSFORMS = (LoadRaster, ToReflectance, SelectBands, PseudoRGB)


class RunningStatistics:
    """Statistics of a stream of values per band (Chan, Golub and LeVeque 1983: merging of means and squared sums).

    Args:
        bands (Sequence[str]): Band names in channel order.
    """

    def __init__(self, bands):
        self.bands = tuple(bands)
        self.count = np.zeros(len(self.bands))
        self.mean = np.zeros(len(self.bands))
        self.squares = np.zeros(len(self.bands))
        self.minimum = np.full(len(self.bands), np.inf)
        self.maximum = np.full(len(self.bands), -np.inf)

    def update(self, image, valid=None):
        """Add the pixels of an image.

        Args:
            image (np.ndarray): H x W x C.
            valid (np.ndarray, optional): H x W x C bool; pixels to count. None: all.
        """
        pixels = image.reshape(-1, image.shape[2]).astype(np.float64)
        # A mask makes each sum several times slower, and few images need one.
        counted = True if valid is None else valid.reshape(pixels.shape)
        count = np.full(len(self.bands), len(pixels)) if valid is None else counted.sum(axis=0)
        mean = pixels.sum(axis=0, where=counted) / np.maximum(count, 1)
        squares = ((pixels - mean) ** 2).sum(axis=0, where=counted)
        delta, total = mean - self.mean, np.maximum(self.count + count, 1)
        self.squares += squares + delta ** 2 * self.count * count / total
        self.mean += delta * count / total
        self.count += count
        self.minimum = np.minimum(self.minimum, pixels.min(axis=0, where=counted, initial=np.inf))
        self.maximum = np.maximum(self.maximum, pixels.max(axis=0, where=counted, initial=-np.inf))

    def result(self):
        """Return band -> dict(mean, std, min, max); ValueError if a band has no valid pixel."""
        empty = [band for band, count in zip(self.bands, self.count) if count == 0]
        if empty:
            raise ValueError(f"Band '{empty[0]}' has no valid pixel in any image.")
        stds = np.sqrt(self.squares / self.count)
        return {band: dict(mean=float(self.mean[place]), std=float(stds[place]), min=float(self.minimum[place]),
                           max=float(self.maximum[place])) for place, band in enumerate(self.bands)}


def compute_statistics(infos, transforms=None, show_progress=False):
    """Compute the statistics of images, in the units that the transforms give them.

    Args:
        infos (Sequence[dict]): What :class:`LoadRaster` starts from, one dict per image.
        transforms (Sequence, optional): Those of a data set's pipeline; of them the ones that load, select bands and
            set units are run. Defaults to loading and reflectance.
        show_progress (bool): Show a progress bar.

    Returns:
        dict: ``unit``, ``num_images`` and ``statistics``, the form that ``load_statistics`` reads.

    Raises:
        ValueError: If there is no image, an image cannot be read, or an image has other bands than the first.
    """
    steps = [step for step in transforms or () if isinstance(step, UNIT_TRANSFORMS)] or [LoadRaster(), ToReflectance()]
    running, unit = None, None
    for info in track(infos, description='images') if show_progress else infos:
        results = dict(info)
        for step in steps:
            results = step.transform(results)
        if running is None:
            running, unit = RunningStatistics(results['bands']), results['unit']
        if tuple(results['bands']) != running.bands:
            raise ValueError(f"{info['img_path']} has the bands {', '.join(results['bands'])}, the images before it "
                             f'{", ".join(running.bands)}.')
        running.update(results['img'], results.get('valid_mask'))
    if running is None:
        raise ValueError('There are no images to compute statistics of.')
    return dict(unit=unit, num_images=len(infos), statistics=running.result())
