"""The rows of a map so far."""

import numpy as np


class KeptRows:
    """Rows of numbers in a file, each as many.

    Args:
        part (PartFile): The file.
        shape (tuple[int, ...]): Of a row, in float32.

    Attributes:
        count (int): How many there are.
    """

    def __init__(self, part, shape):
        self._part, self.shape, self._bytes = part, shape, 4 * int(np.prod(shape))
        self.count = part.size // self._bytes
        part.truncate(self.count * self._bytes)  # a row that was being written when the map was interrupted is none

    def read(self, row):
        """The row of that number, below ``count``."""
        return np.frombuffer(self._part.read(row * self._bytes, self._bytes), np.float32).reshape(self.shape)

    def add(self, row):
        """Keep the row behind the last; returns it as it is kept."""
        row = np.ascontiguousarray(row, np.float32)
        self._part.append(row.tobytes())
        self.count += 1
        return row
