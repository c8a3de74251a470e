"""Pairs of dates with a mask of what changed."""

from rstoolbox.structures import Answer

from ..images import SUFFIXES, image_size, load_mask
from .base import Converter
from .listed import ListedFiles
from .rings import OutlinedMasks


class ChangeRecords(ListedFiles, OutlinedMasks, Converter):
    """``A/`` before, ``B/`` after and ``label/`` (true where it changed) of the same names, as in LEVIR-CD.

    ``source`` is the folder of labels, ``images`` the one that holds ``A`` and ``B``. A pair whose changes are all too
    small to outline gives no record.
    """

    tasks = ('PIX_CHG',)

    def records(self):
        for path in self.files(SUFFIXES, 'labels'):
            (before, size), (after, later) = (self._dated(path, folder) for folder in 'AB')
            label = load_mask(path, colours=True) > 0
            mask = label.any(axis=2) if label.ndim == 3 else label
            if not size == later == mask.shape[::-1]:
                raise ValueError(f"'{before}' is {size}, '{after}' {later} and the label {mask.shape[::-1]} pixels "
                                 'wide and high; expected one size.')
            polygons = self.outline(mask)
            if polygons or not mask.any():
                yield self.record('PIX_CHG', [before, after], size, Answer(polygons=polygons))

    def _dated(self, label, folder):
        image = self.images / folder / label.name
        image = image if image.is_file() else self.image_of(label.stem, folder)
        if image is None:
            raise FileNotFoundError(f"The label '{label}' has no image of its name in '{self.images / folder}'.")
        return image, image_size(image)
