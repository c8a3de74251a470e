"""Files of instruction records: JSON as published, JSON lines and Parquet, read and written one record at a time."""

import json
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as parquet

from rstoolbox.structures import nearest, open_whole

from .records import SCHEMA, as_published, batched, parse_record

BLANKS = re.compile(r'\s*')
DECODER = json.JSONDecoder()
CHUNK, LONGEST = 1 << 20, 1 << 26  # characters read at a time, and of the longest record


def read_records(path):
    """Read records one after the other, in constant memory.

    Files are told by their suffix:

    - ``.json``: a list of records as Falcon_SFT publishes them, ``{"images": [...] or null, "crop": [] or [x1, y1, x2,
      y2], "conversations": [{"content": instruction}, {"content": answer}]}``. The instruction may begin with lines of
      ``<image>`` and then one with the ``[TAG]``.
    - ``.jsonl``: one such record, or one with the keys of :class:`Record`, in each line.
    - ``.parquet``: columns with the names of :class:`Record`'s attributes.

    Args:
        path (str | Path): The file.

    Yields:
        Record: In the order of the file.

    Raises:
        FileNotFoundError, ValueError: Naming the file, the record (counted from 1) and its line, and what is wrong.
    """
    for entry in read_entries(path):
        if isinstance(entry, ValueError):
            raise entry
        yield entry


def read_entries(path):
    """As :func:`read_records`, but yields a ValueError in place of each record that is wrong, and goes on behind it.

    Where a file breaks off in a way that nothing behind can be told from, that error is raised.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no file '{path}' with records.")
    readers = {'.json': _read_json, '.jsonl': _read_json_lines, '.parquet': _read_parquet}
    if path.suffix not in readers:
        raise ValueError(f"'{path}': records are read from {', '.join(readers)}, not from '{path.suffix}'.")
    for number, (line, entry) in enumerate(readers[path.suffix](path), 1):
        where = f'{path}, record {number}' + (f' (line {line})' if line else '')
        try:
            record = entry if isinstance(entry, ValueError) else parse_record(entry, where)
        except ValueError as error:
            record = error
        yield record


def at_least_one(records, path):
    """Yield the records; ValueError naming the file that they come from if there is none."""
    record = None
    for record in records:
        yield record
    if record is None:
        raise ValueError(f"'{path}' holds no record. Leave it out, or make it anew.")


def write_records(records, path):
    """Write records; the file appears whole or not at all.

    Args:
        records (Iterable[Record]): They may come one by one.
        path (str | Path): The file; its suffix says the form, ``.json``, ``.jsonl`` or ``.parquet``, see
            :func:`read_records`.

    Returns:
        int: How many were written.

    Raises:
        ValueError: If the suffix is none of them, or a text cannot be written in UTF-8.
    """
    path = Path(path)
    writers = {'.json': _write_json, '.jsonl': _write_json_lines, '.parquet': _write_parquet}
    if path.suffix not in writers:
        raise ValueError(f"'{path}': records are written to {', '.join(writers)}, not to '{path.suffix}'.")
    try:
        with open_whole(path) as file:
            return writers[path.suffix](records, file)
    except UnicodeEncodeError as error:
        text = error.object[max(error.start - 60, 0):error.end + 20]
        raise ValueError(f"'{path}' is text in UTF-8, which cannot hold {error.object[error.start]!a} in {text!a}: it "
                         'is half of a character, or of a file name in another encoding. Rename the file, or correct '
                         'the text.') from None


def read_json(path):
    """The content of a JSON file that fits into memory; ValueError naming the file if it is cut off."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no file '{path}'.")
    try:
        return json.loads(path.read_text(encoding='utf-8-sig'))
    except ValueError as error:
        raise ValueError(f"'{path}' is no whole JSON file: {error}") from None


def read_lists(path, *keys):
    """The lists of objects that a JSON file holds under these keys.

    Raises:
        FileNotFoundError, ValueError: Naming the file and the key, if there is no such list or not all are objects.
    """
    content = read_json(path)
    for key in keys:
        if not isinstance(content, dict) or key not in content:
            raise ValueError(f"'{path}' has no '{key}'"
                             + (f', only {", ".join(content)}.' if isinstance(content, dict) else '.'))
        check_objects(content[key], f"'{key}' of '{path}'")
    return [content[key] for key in keys]


def check_objects(entries, where):
    """ValueError that says where, and at which place, something else stands than a list of objects."""
    if not isinstance(entries, list):
        raise ValueError(f'{where} is {type(entries).__name__}, expected a list of objects.')
    for number, entry in enumerate(entries, 1):
        if not isinstance(entry, dict):
            raise ValueError(f'{where} is no list of objects: number {number} is {entry!r:.60}.')


def check_keys(entry, keys, where):
    """ValueError that says where an object lacks one of these keys, and which it has."""
    missing = [key for key in keys if entry.get(key) is None]
    if missing:
        raise ValueError(f'{where} has no "{missing[0]}"{nearest(missing[0], entry, 0.6)}, only '
                         f'{", ".join(sorted(entry))}.')


def _read_json(path):
    """Elements of a list, decoded one at a time: a published file holds 78 million and fits no memory."""
    with open(path, encoding='utf-8-sig') as file:
        source = _JsonSource(file, path)
        source.expect('[')
        ended = source.peek() == ']' and source.expect(']')
        while not ended:
            source.peek()
            yield source.line, source.value()
            ended = source.expect(',]') == ']'
        # Of two lists one after the other the second would be left out.
        if source.peek():
            raise ValueError(f'{path}, line {source.line}: the list of records ends, but more text follows.')


def _read_json_lines(path):
    with open(path, 'rb') as file:
        for line, text in enumerate(file, 1):
            if text.strip():
                try:
                    entry = json.loads(text.rstrip())
                except json.JSONDecodeError as error:
                    entry = ValueError(f'{path}, line {line}, column {error.colno}: {error.msg}.')
                except UnicodeDecodeError as error:
                    entry = ValueError(f'{path}, line {line}: it is not text in UTF-8 ({error}).')
                except (ValueError, RecursionError) as error:  # a number or a nesting beyond Python's limits
                    entry = ValueError(f'{path}, line {line}: {error}.')
                yield line, entry


def _read_parquet(path):
    try:
        file = parquet.ParquetFile(path)
        missing = {'prompt', 'answer'} - set(file.schema_arrow.names)
        if missing:
            raise ValueError(f"'{path}' has no column '{sorted(missing)[0]}', only "
                             f"{', '.join(file.schema_arrow.names)}.")
        for batch in file.iter_batches(batch_size=4096):
            yield from ((None, row) for row in batch.to_pylist())
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"'{path}' is no whole Parquet file: {error}") from None


def _write_json(records, file):
    count = 0
    for count, record in enumerate(records, 1):
        file.write((b'[\n' if count == 1 else b',\n') + json.dumps(as_published(record), ensure_ascii=False).encode())
    file.write(b'\n]\n' if count else b'[]\n')
    return count


def _write_json_lines(records, file):
    return sum(bool(file.write(json.dumps(vars(record), ensure_ascii=False).encode() + b'\n')) for record in records)


def _write_parquet(records, file):
    count = 0
    with parquet.ParquetWriter(file, SCHEMA) as writer:
        for batch in batched(records, 4096):
            writer.write_batch(batch)
            count += batch.num_rows
    return count


class _JsonSource:
    """JSON text read in pieces: what comes next, and in which line."""

    def __init__(self, file, path):
        self.file, self.path = file, path
        self.text, self.place, self.line = '', 0, 1
        self.before = 0  # characters of a line whose end alone is in the text

    def peek(self):
        """The next character that is no blank; empty at the end."""
        while True:
            self._advance(BLANKS.match(self.text, self.place).end())
            if self.place < len(self.text):
                return self.text[self.place]
            if not self._more(CHUNK):
                return ''

    def expect(self, characters):
        """Take the next character; ValueError if it is none of these."""
        found = self.peek()
        if not found or found not in characters:
            expected = ' or '.join(f"'{character}'" for character in characters)
            raise ValueError(f'{self.path}, line {self.line}: expected {expected}, found '
                             + (f'{self.text[self.place:self.place + 20]!r}.' if found else 'the end of the file.'))
        self._advance(self.place + 1)
        return found

    def value(self):
        """Take one whole value."""
        while True:
            try:
                value, end = DECODER.raw_decode(self.text, self.place)
            except json.JSONDecodeError as error:
                held, where = len(self.text) - self.place, self._where(error.pos)
                # Cut off by the piece's end, or wrong: only more text can tell.
                if held < LONGEST and self._more(max(CHUNK, held)):
                    continue
                raise ValueError(f'{self.path}, {where}: {error.msg}.') from None
            except (ValueError, RecursionError) as error:  # a number or a nesting beyond Python's limits
                raise ValueError(f'{self.path}, line {self.line}: {error}.') from None
            self._advance(end)
            return value

    def _more(self, size):
        try:
            piece = self.file.read(size)
        except UnicodeDecodeError as error:
            raise ValueError(f'{self.path}, after line {self.line}: it is not text in UTF-8 ({error}).') from None
        start = self._line_start(self.place)
        self.before = self.place - start if start else self.before + self.place
        self.text, self.place = self.text[self.place:] + piece, 0
        return bool(piece)

    def _line_start(self, place):
        return self.text.rfind('\n', 0, place) + 1

    def _where(self, place):
        start = self._line_start(place)
        column = place - start if start else self.before + place
        return f'line {self.line + self.text.count(chr(10), self.place, place)}, column {column + 1}'

    def _advance(self, place):
        self.line += self.text.count('\n', self.place, place)
        self.place = place
