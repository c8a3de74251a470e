"""Records by the million: memory-mapped, shared by all workers, opened at once."""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from rstoolbox.structures import open_whole

from .records import SCHEMA, Record, batched

# In each record batch but the last, so that a record's batch follows from its number. The columns of so few records lie
# within a few pages of the file: reading one maps these and no more.
ROWS = 128
ROWS_KEY = b'rows'  # under which a store says how many it has
ROWS_IN_MEMORY = 4096  # where nothing is mapped, only the heads of batches count


class RecordStore:
    """An Arrow file of records, mapped into memory.

    Opening reads the file's footer only; a record is read from the page cache, which all processes share. The store can
    be pickled: a worker of a data loader maps the same file.

    Args:
        path (str | Path): The file, made by :meth:`create`.
        content (pyarrow.Buffer, optional): What the file would hold, of a store in memory; see :meth:`in_memory`.

    Raises:
        FileNotFoundError, ValueError: If there is no such file, or it is no store or not whole.
    """

    def __init__(self, path, content=None):
        self.path, self._content = Path(path), content
        if content is None and not self.path.is_file():
            raise FileNotFoundError(f"There is no record store '{self.path}'; make one with "
                                    'tools/dataset_converters/make_record_store.py.')
        try:
            self._file = pa.ipc.open_file(pa.memory_map(str(self.path)) if content is None else content)
            columns = ', '.join(self._file.schema.names)
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            raise self._broken(error) from None
        rows = (self._file.schema.metadata or {}).get(ROWS_KEY, b'')
        if self._file.schema != SCHEMA or not rows.isdigit():
            raise ValueError(f"'{self.path}' was written by something else than this version's "
                             f'tools/dataset_converters/make_record_store.py: it has the columns {columns}, and a '
                             f'store {", ".join(SCHEMA.names)} in parts of equal size. Make it anew with that tool.')
        self._count = self._file.num_record_batches
        self._rows = int(rows)
        self._length = (self._count - 1) * self._rows + self._batch(self._count - 1).num_rows if self._count else 0

    @classmethod
    def create(cls, records, path):
        """Write records to a store; the file appears whole or not at all.

        Args:
            records (Iterable[Record]): They may come one by one; memory stays constant.
            path (str | Path): The file.

        Returns:
            RecordStore: The store, opened.
        """
        with open_whole(path) as file:
            _write(records, file, ROWS)
        return cls(path)

    @classmethod
    def in_memory(cls, records, path):
        """Hold records in memory without an object for each of their texts, which forked workers would copy.

        Args:
            records (Iterable[Record]): They may come one by one.
            path (str | Path): Where they come from, for messages.
        """
        sink = pa.BufferOutputStream()
        _write(records, sink, ROWS_IN_MEMORY)
        return cls(path, sink.getvalue())

    def __len__(self):
        return self._length

    def __getitem__(self, number):
        if not -self._length <= number < self._length:
            raise IndexError(f'{self.path} has no record {number}, only {self._length}.')
        batch, row = divmod(number % self._length, self._rows)
        return Record(**self._sound(self._batch(batch).slice(row, 1)).to_pylist()[0])

    def __iter__(self):
        for number in range(self._count):
            yield from (Record(**row) for row in self._sound(self._batch(number)).to_pylist())

    def column(self, name):
        """pyarrow.ChunkedArray: One attribute of all records, mapped as well, e.g. ``task``."""
        columns = [self._sound(self._batch(number).column(name)) for number in range(self._count)]
        return pa.chunked_array(columns, SCHEMA.field(name).type)

    def lengths(self, name):
        """pyarrow.ChunkedArray: Length in bytes of one text of all records, without reading the texts."""
        lengths = [pc.binary_length(self._batch(number).column(name)) for number in range(self._count)]
        return pa.chunked_array(lengths, pa.int32())

    def _batch(self, number):
        # It refers to the mapped file; nothing but its head is read here.
        try:
            return self._file.get_batch(number)
        except (pa.ArrowException, OSError) as error:
            raise self._broken(error) from None

    def _sound(self, part):
        """A part of the file, looked through: Arrow reads whatever places a damaged one names, and crashes."""
        if self._content is not None:  # this process wrote it
            return part
        try:
            part.validate(full=True)
        except pa.ArrowException as error:
            raise self._broken(error) from None
        return part

    def _broken(self, error):
        return ValueError(f"'{self.path}' is no whole record store ({error}); make it anew with "
                          'tools/dataset_converters/make_record_store.py.')

    def __getstate__(self):
        return dict(path=self.path, content=self._content)

    def __setstate__(self, state):
        self.__init__(**state)


def _write(records, file, rows):
    with pa.ipc.new_file(file, SCHEMA.with_metadata({ROWS_KEY: str(rows)})) as writer:
        for batch in batched(records, rows):
            writer.write_batch(batch)
