"""Records by the million: memory-mapped, shared by all workers, opened at once."""

from pathlib import Path

import pyarrow as pa

from rstoolbox.structures import open_whole

from .records import SCHEMA, Record, batched

ROWS = 1 << 16  # in each record batch but the last, so that a record's batch follows from its number


class RecordStore:
    """An Arrow file of records, mapped into memory.

    Opening reads the file's footer only; a record is read from the page cache, which all processes share. The store can
    be pickled: a worker of a data loader maps the same file.

    Args:
        path (str | Path): The file, made by :meth:`create`.

    Raises:
        FileNotFoundError, ValueError: If there is no such file, or it is no store or not whole.
    """

    def __init__(self, path):
        self.path = Path(path)
        if not self.path.is_file():
            raise FileNotFoundError(f"There is no record store '{self.path}'; make one with "
                                    'tools/dataset_converters/make_record_store.py.')
        try:
            file = pa.ipc.open_file(pa.memory_map(str(self.path)))
            # They refer to the mapped file; nothing of it is read here.
            self._batches = [file.get_batch(number) for number in range(file.num_record_batches)]
        except pa.ArrowInvalid as error:
            raise ValueError(f"'{self.path}' is no whole record store ({error}); make it anew with "
                             'tools/dataset_converters/make_record_store.py.') from None
        if file.schema != SCHEMA:
            raise ValueError(f"'{self.path}' has the columns {', '.join(file.schema.names)}, expected "
                             f"{', '.join(SCHEMA.names)}; make it anew with "
                             'tools/dataset_converters/make_record_store.py.')
        self._length = sum(batch.num_rows for batch in self._batches)

    @classmethod
    def create(cls, records, path):
        """Write records to a store; the file appears whole or not at all.

        Args:
            records (Iterable[Record]): They may come one by one; memory stays constant.
            path (str | Path): The file.

        Returns:
            RecordStore: The store, opened.
        """
        with open_whole(path) as file, pa.ipc.new_file(file, SCHEMA) as writer:
            for batch in batched(records, ROWS):
                writer.write_batch(batch)
        return cls(path)

    def __len__(self):
        return self._length

    def __getitem__(self, number):
        if not -self._length <= number < self._length:
            raise IndexError(f'{self.path} has no record {number}, only {self._length}.')
        batch, row = divmod(number % self._length, ROWS)
        return Record(**self._batches[batch].slice(row, 1).to_pylist()[0])

    def __iter__(self):
        for batch in self._batches:
            for start in range(0, batch.num_rows, 1024):
                yield from (Record(**row) for row in batch.slice(start, 1024).to_pylist())

    def column(self, name):
        """pyarrow.ChunkedArray: One attribute of all records, mapped as well, e.g. ``task``."""
        return pa.chunked_array([batch.column(name) for batch in self._batches], SCHEMA.field(name).type)

    def __getstate__(self):
        return dict(path=self.path)

    def __setstate__(self, state):
        self.__init__(state['path'])

