"""Writing of files that are either whole or not there."""

import errno
import json
import os
import tempfile
from contextlib import contextmanager
from pathlib import Path


def write_json(content, path):
    """Write ``content`` as JSON; the file appears whole or not at all.

    Args:
        content (dict): What to write.
        path (str | Path): The file; its folder is made if need be.

    Raises:
        OSError: If it cannot be written; on a full disk the text says so.
    """
    write_whole(json.dumps(content, ensure_ascii=False, indent=1).encode(), path)


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
    path = Path(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f'.{path.name}.', suffix='.part')
        with os.fdopen(handle, 'wb') as file:
            yield file
        os.chmod(temporary, 0o666 & ~_umask())  # mkstemp's files are private
        os.replace(temporary, path)
    except BaseException as error:
        if temporary is not None:
            os.unlink(temporary)
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise OSError(error.errno, f"The disk is full: could not write '{path}', and what was there before is "
                          'untouched. Free some space and run the same command again') from None
        raise


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask
