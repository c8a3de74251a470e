"""Arrays that grow on disk and survive being stopped at any point."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from rstoolbox.structures.files import write_json

MARKER = 'progress.json'


class GalleryWriter:
    """Appends batches of rows to ``.npy`` files of known length; a context manager.

    After every batch the number of finished rows is marked in ``progress.json``. A new writer of the same key and ids
    goes on after the marked rows and cuts off what stands behind them; with another key it starts anew. The arrays are
    written, not memory-mapped: a full disk is then an error and not a crash.

    Args:
        folder (str | Path): Where the arrays grow.
        key (str): Identifies what is written.
        ids (Sequence[str]): One for each row of the finished arrays.

    Attributes:
        done (int): Rows finished so far.
    """

    def __init__(self, folder, key, ids):
        self.folder, self.total = Path(folder), len(ids)
        self.identity = hashlib.sha256('\n'.join([key, *ids]).encode()).hexdigest()
        self.done, self.shapes, self._files = 0, {}, {}

    def __enter__(self):
        marked = self._read_marker()
        if marked is None:
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder.mkdir(parents=True)
        else:
            self.done, self.shapes = marked['done'], {name: tuple(shape) for name, shape in marked['shapes'].items()}
            for name in self.shapes:
                self._open(name)
        return self

    def __exit__(self, *error):
        for file in self._files.values():
            file.close()
        self._files.clear()

    def append(self, rows):
        """Write one batch.

        Args:
            rows (Mapping[str, ndarray]): Name -> (b, ...) float32, the same names and row shapes every time.

        Raises:
            OSError: If the disk is full.
        """
        try:
            if not self.shapes:
                self._create(rows)
            for name, values in rows.items():
                _write_all(self._files[name], np.ascontiguousarray(values, dtype=np.float32).tobytes())
            self.done += len(next(iter(rows.values())))
            self._write_marker()
        except OSError as error:
            raise OSError(error.errno, f'{error.strerror or error} while the gallery was written. {self.done} of '
                          f'{self.total} rows are kept in {self.folder}; free some space and run the same command '
                          'again to go on') from None

    @staticmethod
    def forget(folder):
        """Remove the marker of a finished folder."""
        (folder / MARKER).unlink()

    def _create(self, rows):
        self.shapes = {name: values.shape[1:] for name, values in rows.items()}
        needed = self.total * sum(4 * int(np.prod(shape)) for shape in self.shapes.values())
        free = shutil.disk_usage(self.folder).free
        if needed > free:
            raise OSError(28, f'No space left on device: the gallery needs {needed / 2**20:.0f} MiB, '
                          f'{free / 2**20:.0f} MiB are free')
        for name, shape in self.shapes.items():
            with open(self._path(name), 'wb') as file:
                header = dict(descr='<f4', fortran_order=False, shape=(self.total, *shape))
                npy.write_array_header_1_0(file, header)
            self._open(name)

    def _open(self, name):
        file = open(self._path(name), 'r+b', buffering=0)  # noqa: SIM115, closed by __exit__
        end = _end_of_rows(file, self.done, self.shapes[name])
        file.truncate(end)
        file.seek(end)
        self._files[name] = file

    def _read_marker(self):
        """The marker of an unfinished run that can go on, else None."""
        try:
            marked = json.loads((self.folder / MARKER).read_text(encoding='utf-8'))
            whole = all(self._holds(name, marked['done'], shape) for name, shape in marked['shapes'].items())
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return marked if marked['identity'] == self.identity and whole else None

    def _holds(self, name, rows, shape):
        with open(self._path(name), 'rb') as file:
            return self._path(name).stat().st_size >= _end_of_rows(file, rows, shape)

    def _write_marker(self):
        write_json(dict(identity=self.identity, done=self.done, shapes=self.shapes), self.folder / MARKER)

    def _path(self, name):
        return self.folder / f'{name}.npy'


def _end_of_rows(file, rows, shape):
    """Where so many rows of this shape end in an open ``.npy`` file, behind its header."""
    npy.read_magic(file)
    npy.read_array_header_1_0(file)
    return file.tell() + 4 * rows * int(np.prod(shape))


def _write_all(file, data):
    view = memoryview(data)
    while view:
        view = view[file.write(view):]
