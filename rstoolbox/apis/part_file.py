"""What a long map has so far, in a file beside it."""

import hashlib
import json
from pathlib import Path

from filelock import FileLock, Timeout

from rstoolbox.structures import content_hash


class PartFile:
    """``<out>.part``, to which one run at a time appends, so that an interrupted map goes on. A context manager.

    Args:
        out (str | Path): The map.
        key (str): Of everything that the content depends on (:func:`key_of`); the first line of the file.

    Raises:
        ValueError: If another run holds the file, it is of another key, or it cannot be written.
    """

    def __init__(self, out, key):
        self.path, self._header = Path(f'{out}.part'), f'{key}\n'.encode()
        self._lock = FileLock(f'{self.path}.lock')

    def __enter__(self):
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise ValueError(f"'{self.path}' is being written: another run makes this map. Wait for it, or name "
                             'another file.') from None
        try:
            self._file = self.path.open('a+b')
        except OSError as error:
            self._unlock()
            raise ValueError(f"'{self.path}', where what is done so far is kept, cannot be written ({error.strerror}). "
                             'Name another file.') from None
        self._file.seek(0)
        known = self._file.read(len(self._header))
        if not self._header.startswith(known):
            self.__exit__()
            raise ValueError(f"'{self.path}' holds what another map has so far, with other settings or weights or of "
                             'another scene. Run the command that made it once more, delete it, or name another file.')
        if known != self._header:
            self._file.truncate(0)
            self.append(self._header)
        return self

    def __exit__(self, *_):
        self._file.close()
        self._unlock()

    @property
    def size(self):
        """int: How many bytes there are behind the first line."""
        return self.path.stat().st_size - len(self._header)

    def read(self, start=0, size=-1):
        """Bytes behind the first line, from one of them on."""
        self._file.seek(len(self._header) + start)
        return self._file.read(size)

    def truncate(self, size):
        """Keep so many bytes behind the first line."""
        self._file.truncate(len(self._header) + size)

    def append(self, content):
        """Write bytes at the end.

        Raises:
            OSError: If they cannot be written; what was there before stays.
        """
        try:
            self._file.write(content)
            self._file.flush()
        except OSError as error:
            raise OSError(error.errno, f"'{self.path}', where what is done so far is kept, could not be written on "
                          f'({error.strerror}). Free some space and run the same command again: it goes on') from None

    def remove(self):
        """The map is whole."""
        self.path.unlink()

    def _unlock(self):
        Path(self._lock.lock_file).unlink(missing_ok=True)
        self._lock.release()


def key_of(files, *settings):
    """16 hex digits that change with what files hold and with settings, plain values.

    Args:
        files (Sequence[str]): Paths; what is none, such as a name inside of an archive, counts as it is written.
        *settings: Numbers, texts, lists and dicts of such.
    """
    contents = [content_hash(name) if Path(name).exists() else str(name) for name in files]
    return hashlib.sha256(json.dumps([contents, settings], default=str).encode()).hexdigest()[:16]
