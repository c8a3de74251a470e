"""Records of one image side by side and answers of similar length, so that a batch computes little twice or in vain."""

import math

import numpy as np
from mmengine.dist import get_dist_info, sync_random_seed
from torch.utils.data import Sampler

from rstoolbox.registry import DATA_SAMPLERS


@DATA_SAMPLERS.register_module()
class ImageGroupSampler(Sampler):
    """Draws all records once an epoch in random order, up to ``group`` records of one image together.

    Instruction data ask many things about one image (Falcon_SFT 14 on average); a batch that holds several records of
    an image encodes it once (:class:`FalconPreprocessor`). A group takes answers of similar length, and so does a batch
    among the groups of a random window: few tokens are padding. Batches come in random order, those of all processes at
    one step from the same place.

    Args:
        dataset (FalconSFT): With ``image_keys`` and ``answer_lengths``.
        batch_size (int): That of the data loader.
        group (int): Most records of one image that stay together; fewer images are encoded for a batch then, and
            fewer are mixed in it.
        window (int): Steps whose groups are sorted by length together: more pad less and mix worse. 0 leaves lengths to
            chance: batches are alike then, and steps of long and of short answers do not pull in turns.
        shuffle (bool): Required to be true; a sampler in order needs no groups.
        seed (int, optional): The same on all processes; drawn where it is not given.

    Raises:
        ValueError: If ``batch_size`` or ``group`` is below 1, ``window`` below 0 or ``shuffle`` is false.
    """

    def __init__(self, dataset, batch_size, group=8, window=16, shuffle=True, seed=None):
        if batch_size < 1 or group < 1 or window < 0 or not shuffle:
            raise ValueError('ImageGroupSampler shuffles batches and groups of at least one record in windows of no '
                             f'fewer than 0 steps, got batch_size={batch_size}, group={group}, window={window}, '
                             f'shuffle={shuffle}. For records in order use DefaultSampler.')
        self.rank, self.world_size = get_dist_info()
        self.batch_size, self.group, self.window = batch_size, group, window
        self.seed, self.epoch = sync_random_seed() if seed is None else seed, 0
        self._before, self._first = 0, 0  # whole epochs that were skipped, and records of the one behind them
        _, self._images = np.unique(dataset.image_keys, return_inverse=True)
        self._lengths = dataset.answer_lengths if window else np.zeros_like(self._images)

    def __iter__(self):
        rng = np.random.default_rng((self.seed, self.epoch))
        order, share = self._in_groups(rng), len(self)
        step = self.batch_size * self.world_size
        order = np.resize(order, share * self.world_size)  # as many for each process
        whole = len(order) // step * step
        batches = order[:whole].reshape(-1, self.world_size, self.batch_size)
        rng.shuffle(batches)
        # The incomplete step is the last, else it would shift the borders of all batches behind it.
        rest = order[whole:].reshape(self.world_size, -1)
        # A batch at a time: numbers as objects take ten times the memory.
        first, self._first = self._first, 0
        for batch in (*batches[first // self.batch_size:, self.rank], rest[self.rank]):
            yield from batch.tolist()

    def _in_groups(self, rng):
        """All records, those of a group side by side, groups of a window by their longest answer."""
        order = rng.permutation(len(self._images))
        # By image, within it by length, at random where these are equal.
        order = order[np.lexsort((self._lengths[order], self._images[order]))]
        images = self._images[order]
        starts = np.flatnonzero(np.r_[True, images[1:] != images[:-1]])
        within = np.arange(len(order)) - np.repeat(starts, np.diff(np.r_[starts, len(order)]))
        first = np.flatnonzero(within % self.group == 0)
        sizes = np.diff(np.r_[first, len(order)])
        longest = self._lengths[order[first + sizes - 1]]
        places = rng.permutation(len(first))
        window = max(self.window * self.batch_size * self.world_size // self.group, 1)
        numbers = np.lexsort((places, longest, places // window))
        # Begun anywhere, else the incomplete last step would always hold the longest answers.
        numbers = np.roll(numbers, rng.integers(len(first)))
        return order[_ranges(first[numbers], sizes[numbers])]

    def __len__(self):
        return math.ceil(len(self._images) / self.world_size)

    def set_epoch(self, epoch):
        """Draw another order for this epoch, counted from the one where a skip has led."""
        self.epoch = self._before + epoch

    def skip(self, num_samples):
        """Go on behind so many records, without a look at them, where a run that counts iterations was interrupted.

        Args:
            num_samples (int): Steps that were taken times the batch size, although the last step of an epoch may have
                had fewer records.
        """
        steps = math.ceil(len(self) / self.batch_size)
        self._before, taken = divmod(num_samples // self.batch_size, steps)
        self.epoch, self._first = self._before, taken * self.batch_size


def _ranges(starts, sizes):
    """start, start + 1, ... of each size, one range after the other."""
    return np.arange(sizes.sum()) + np.repeat(starts - np.cumsum(sizes) + sizes, sizes)
