"""The rows of a map so far, kept beside it until it is whole."""

from pathlib import Path

import numpy as np


class KeptRows:
    """Rows of numbers in ``<out>.part``, so that an interrupted map goes on: 16 characters of a key, then the rows.

    Args:
        out (str | Path): The map.
        key (str): 16 hex digits, of everything that the rows depend on; those of another key are thrown away.
        shape (tuple[int, ...]): Of a row, in float32.
    """

    def __init__(self, out, key, shape):
        self.path, self.shape, self._header = Path(f'{out}.part'), shape, key.encode()
        self._bytes = 4 * int(np.prod(shape))
        known = b''
        if self.path.is_file():
            with self.path.open('rb') as file:
                known = file.read(len(self._header))
        if known != self._header:
            self.path.write_bytes(self._header)
        # A row that was being written when the map was interrupted is no row.
        self.count = (self.path.stat().st_size - len(self._header)) // self._bytes
        with self.path.open('r+b') as file:
            file.truncate(self._place(self.count))

    def read(self, row):
        """The row of that number, below ``count``."""
        return np.fromfile(self.path, np.float32, self._bytes // 4, offset=self._place(row)).reshape(self.shape)

    def add(self, row):
        """Keep the row behind the last."""
        with self.path.open('ab') as file:
            file.write(np.ascontiguousarray(row, np.float32).tobytes())
        self.count += 1

    def remove(self):
        """The map is whole."""
        self.path.unlink()

    def _place(self, row):
        return len(self._header) + row * self._bytes
