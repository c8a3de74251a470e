"""Records of one image side by side, so that a batch encodes each image once."""

import math

import numpy as np
from mmengine.dist import get_dist_info, sync_random_seed
from torch.utils.data import Sampler

from rstoolbox.registry import DATA_SAMPLERS


@DATA_SAMPLERS.register_module()
class ImageGroupSampler(Sampler):
    """Draws all records once an epoch in random order, up to ``group`` records of one image together.

    Instruction data ask many things about one image (Falcon_SFT 14 on average); a batch that holds several records of
    an image encodes it once (:class:`FalconPreprocessor`).

    Args:
        dataset (FalconSFT): With ``image_keys``.
        group (int): Most records of one image that stay together; fewer images are encoded for a batch then, and
            fewer are mixed in it.
        shuffle (bool): Required to be true; a sampler in order needs no groups.
        seed (int, optional): The same on all processes; drawn where it is not given.

    Raises:
        ValueError: If ``group`` is below 1 or ``shuffle`` is false.
    """

    def __init__(self, dataset, group=8, shuffle=True, seed=None):
        if group < 1 or not shuffle:
            raise ValueError(f'ImageGroupSampler shuffles groups of at least one record, got group={group}, '
                             f'shuffle={shuffle}. For records in order use DefaultSampler.')
        self.rank, self.world_size = get_dist_info()
        self.group, self.seed, self.epoch = group, sync_random_seed() if seed is None else seed, 0
        _, self._images = np.unique(dataset.image_keys, return_inverse=True)

    def __iter__(self):
        rng = np.random.default_rng((self.seed, self.epoch))
        order = rng.permutation(len(self._images))
        order = order[np.argsort(self._images[order], kind='stable')]  # by image, in random order within
        images = self._images[order]
        starts = np.flatnonzero(np.r_[True, images[1:] != images[:-1]])
        within = np.arange(len(order)) - np.repeat(starts, np.diff(np.r_[starts, len(order)]))
        pieces = np.split(order, np.flatnonzero(within % self.group == 0)[1:])
        order = np.concatenate([pieces[number] for number in rng.permutation(len(pieces))])
        # As many for each process, in one piece, so that groups stay whole.
        share = len(self)
        order = np.resize(order, share * self.world_size)
        return iter(order[self.rank * share:(self.rank + 1) * share].tolist())

    def __len__(self):
        return math.ceil(len(self._images) / self.world_size)

    def set_epoch(self, epoch):
        """Draw another order for this epoch."""
        self.epoch = epoch
