"""Pairs of dates with a mask of what changed."""

from rstoolbox.structures import Answer

from ..images import SUFFIXES, load_mask
from .base import Converter
from .listed import ListedFiles
from .rings import mask_to_instances


class ChangeRecords(ListedFiles, Converter):
    """``A/`` before, ``B/`` after and ``label/`` (true where it changed) of the same file names, as in LEVIR-CD.

    ``source`` is the folder of labels, ``images`` the one that holds ``A`` and ``B``.
    """

    tasks = ('PIX_CHG',)

    def records(self):
        for path in self.files(SUFFIXES, 'labels'):
            (before, size), (after, later) = (self.image(f'{folder}/{path.name}') for folder in 'AB')
            label = load_mask(path, colours=True) > 0
            mask = label.any(axis=2) if label.ndim == 3 else label
            if not size == later == mask.shape[::-1]:
                raise ValueError(f"'{before}' is {size}, '{after}' {later} and the label {mask.shape[::-1]} pixels "
                                 'wide and high; expected one size.')
            yield self.record('PIX_CHG', [before, after], size, Answer(polygons=mask_to_instances(mask)))
