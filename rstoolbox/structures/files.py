"""Files that are either whole or not there, told apart by what they hold, and written by one process at a time."""

import errno
import hashlib
import json
import logging
import os
import tempfile
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from filelock import FileLock, Timeout
from mmengine.logging import print_log


def write_json(content, path):
    """Write ``content`` as JSON; the file appears whole or not at all.

    Args:
        content (dict): What to write.
        path (str | Path): The file; its folder is made if need be.

    Raises:
        OSError: If it cannot be written; on a full disk the text says so.
    """
    write_whole(json.dumps(content, ensure_ascii=False, indent=1).encode(), path)


def read_record(path, keys):
    """The JSON mapping in a file with these keys at least; empty, with a warning, where the file is damaged."""
    if not path.is_file():
        return {}
    try:
        record = json.loads(path.read_text(encoding='utf-8'))
    except ValueError:
        record = None
    if isinstance(record, dict) and record.keys() >= set(keys):
        return record
    print_log(f'{path} is damaged; what it recorded counts as unfinished', logger='current', level=logging.WARNING)
    return {}


def write_whole(content, path):
    """Write bytes under a temporary name in the same folder, then give the file its name.

    Args:
        content (bytes | memoryview): What to write.
        path (str | Path): The file; its folder is made if need be.

    Raises:
        OSError: If it cannot be written; on a full disk the text says so.
    """
    with open_whole(path) as file:
        file.write(content)


@contextmanager
def open_whole(path):
    """Open a file to write bytes to piece by piece; it appears under its name when the block ends without an error.

    Args:
        path (str | Path): The file; its folder is made if need be.

    Yields:
        BinaryIO: A file with a temporary name in the same folder.

    Raises:
        OSError: If it cannot be written; on a full disk the text says so.
    """
    with whole_file(path) as temporary, open(temporary, 'wb') as file:
        yield file


@contextmanager
def whole_file(path):
    """A temporary name for a file that a library writes; it gets its own when the block ends without an error.

    Args:
        path (str | Path): The file; its folder is made if need be.

    Yields:
        str: The path of an empty file in the same folder, of the same suffix.

    Raises:
        OSError: If it cannot be written; on a full disk the text says so.
    """
    path = Path(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f'.{path.name}.', suffix=f'.part{path.suffix}')
        os.close(handle)
        yield temporary
        os.chmod(temporary, 0o666 & ~_umask())  # mkstemp's files are private
        os.replace(temporary, path)
    except BaseException as error:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise OSError(error.errno, f"The disk is full: could not write '{path}', and what was there before is "
                          'untouched. Free some space and run the same command again') from None
        raise


def content_hash(path):
    """Hash what a file or folder holds, wherever it lies; a file that stays as it is, is read once in a process.

    Args:
        path (str | Path): A file, or a folder, of which names and contents of all files count.

    Returns:
        str: 16 hexadecimal digits.

    Raises:
        OSError: If it is not there or cannot be read.
    """
    path = Path(path)
    if path.is_dir():
        files = sorted(file for file in path.rglob('*') if file.is_file())
        text = '\n'.join(f'{file.relative_to(path).as_posix()} {content_hash(file)}' for file in files)
        return hashlib.sha256(text.encode()).hexdigest()[:16]
    state = path.stat()
    return _hash_of_file(path.absolute(), state.st_size, state.st_mtime_ns, state.st_ino)


def with_contents(tree):
    """The same tree of plain values, with the hash of what a file holds in place of its path.

    Args:
        tree (dict | list | tuple | Any): Settings; a text with a suffix that is the path of a file names that file.

    Returns:
        dict | list | Any: Equal for equal settings, wherever the files lie.
    """
    if isinstance(tree, dict):
        return {key: with_contents(value) for key, value in tree.items()}
    if isinstance(tree, (list, tuple)):
        return [with_contents(value) for value in tree]
    if isinstance(tree, str) and os.path.splitext(tree)[1] and os.path.isfile(tree):
        return content_hash(tree)
    return tree


@cache
def _hash_of_file(path, *_state):
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        while chunk := file.read(2**20):
            digest.update(chunk)
    return digest.hexdigest()[:16]


@contextmanager
def locked(path):
    """Hold the lock file ``path``; says so once where another process holds it and this one has to wait.

    Args:
        path (str | Path): The lock file; its folder must exist.
    """
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print_log(f'waiting for {path}, held by another process', logger='current')
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask
