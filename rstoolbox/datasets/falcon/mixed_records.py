"""Several sets of instruction records, each with images of its own, as one to train on."""

from itertools import chain, repeat
from numbers import Integral

import numpy as np
from torch.utils.data import ConcatDataset

from rstoolbox.registry import DATASETS


@DATASETS.register_module()
class MixedRecords(ConcatDataset):
    """Records of several data sets in one, small ones several times an epoch.

    An item is that of its part; ``sample_id`` is the number of the part, from 1 on, a dot, and the id there.

    Args:
        parts (Sequence[dict]): Configs of the data sets, each with ``image_keys`` and ``answer_lengths`` as
            :class:`FalconSFT` has them.
        repeats (Sequence[int], optional): How many times an epoch each part's records come; once by default.

    Raises:
        TypeError, ValueError: If there is no part, one is of another kind, or ``repeats`` does not fit ``parts``.
    """

    metainfo = {}  # mmengine warns of a data set that has none

    def __init__(self, parts, repeats=None):
        repeats = [1] * len(parts) if repeats is None else repeats
        if not parts or np.shape(repeats) != (len(parts),) or not all(
                isinstance(times, Integral) and times > 0 for times in repeats):
            raise ValueError('MixedRecords takes one data set or more, and for each how many times it comes, 1 or '
                             f'more; got {len(parts)} parts and repeats={repeats}.')
        self.parts = [DATASETS.build(part) if isinstance(part, dict) else part for part in parts]
        for number, part in enumerate(self.parts, 1):
            # To read them takes a while where there are millions.
            if not {'image_keys', 'answer_lengths'} <= set(dir(part)):
                raise TypeError(f'MixedRecords: part {number} is a {type(part).__name__}, which holds no instruction '
                                'records; expected a data set such as FalconSFT.')
        self._numbers = list(chain.from_iterable(map(repeat, range(len(parts)), repeats)))
        super().__init__([self.parts[number] for number in self._numbers])

    @property
    def image_keys(self):
        """np.ndarray: A number for each item; those of one image have the same, but not those of a repetition."""
        keys = [part.image_keys for part in self.parts]
        counts = [keys[number].max() + 1 for number in self._numbers]
        # A record that comes again must not stand beside itself in a batch.
        starts = np.cumsum([0, *counts[:-1]])
        return np.concatenate([keys[number] + start for number, start in zip(self._numbers, starts)])

    @property
    def answer_lengths(self):
        """np.ndarray: Length in bytes of each item's answer."""
        lengths = [part.answer_lengths for part in self.parts]
        return np.concatenate([lengths[number] for number in self._numbers])

    def __getitem__(self, index):
        item = super().__getitem__(index)
        number = self._numbers[int(np.searchsorted(self.cumulative_sizes, index % len(self), side='right'))]
        sample = item['data_samples']
        sample.set_metainfo(dict(sample_id=f'{number + 1}.{sample.sample_id}'))
        return item
