"""Several sets of instruction records, each with images of its own, as one to train on."""

from itertools import chain, repeat

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
        repeats = [1] * len(parts) if repeats is None else list(repeats)
        counts = all(isinstance(times, int) and times > 0 for times in repeats)
        if not parts or len(repeats) != len(parts) or not counts:
            raise ValueError('MixedRecords takes one data set or more, and for each how many times it comes, 1 or '
                             f'more; got {len(parts)} parts and repeats={repeats}.')
        self.parts = [DATASETS.build(part) if isinstance(part, dict) else part for part in parts]
        for number, part in enumerate(self.parts, 1):
            if not (hasattr(part, 'image_keys') and hasattr(part, 'answer_lengths')):
                raise TypeError(f'MixedRecords: part {number} is a {type(part).__name__}, which holds no instruction '
                                'records; expected a data set such as FalconSFT.')
        self._numbers = list(chain.from_iterable(map(repeat, range(len(parts)), repeats)))
        super().__init__([self.parts[number] for number in self._numbers])

    @property
    def image_keys(self):
        """np.ndarray: A number for each item; those of one image have the same, but not those of a repetition."""
        # A record that comes again must not stand beside itself in a batch.
        counts = [part.image_keys.max() + 1 for part in self.datasets]
        starts = np.cumsum([0, *counts[:-1]])
        return np.concatenate([part.image_keys + start for part, start in zip(self.datasets, starts)])

    @property
    def answer_lengths(self):
        """np.ndarray: Length in bytes of each item's answer."""
        return np.concatenate([part.answer_lengths for part in self.datasets])

    def __getitem__(self, index):
        item = super().__getitem__(index)
        number = self._numbers[int(np.searchsorted(self.cumulative_sizes, index % len(self), side='right'))]
        sample = item['data_samples']
        sample.set_metainfo(dict(sample_id=f'{number + 1}.{sample.sample_id}'))
        return item
