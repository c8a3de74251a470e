"""Numbers that the worker processes of a data loader see change."""

import copy

import torch


class SharedInts:
    """Whole numbers in shared memory: written in the main process, read by persistent workers.

    Args:
        values (Sequence[int] | np.ndarray): The first values; their number stays.
    """

    def __init__(self, values):
        self._tensor = torch.as_tensor(values, dtype=torch.int64).clone().share_memory_()

    def __getitem__(self, index):
        return int(self._tensor[index])

    def __len__(self):
        return len(self._tensor)

    def numpy(self):
        """Return a copy of the values as an int64 array."""
        return self._tensor.numpy().copy()

    def write(self, values):
        """Overwrite all values."""
        self._tensor.copy_(torch.as_tensor(values, dtype=torch.int64))

    def __deepcopy__(self, memo):
        # A plain copy of the tensor would lie in private memory, where workers would not see changes.
        return SharedInts(copy.deepcopy(self._tensor, memo))
