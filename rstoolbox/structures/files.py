"""Writing of files that are either whole or not there."""

import json
import os
import tempfile
from pathlib import Path


def write_json(content, path):
    """Write ``content`` as JSON under a temporary name in the same folder, then give it its name.

    Args:
        content (dict): What to write.
        path (str | Path): The file; its folder is made if need be.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix='.part')
    try:
        with os.fdopen(handle, 'w', encoding='utf-8') as file:
            json.dump(content, file, ensure_ascii=False, indent=1)
        os.chmod(temporary, 0o666 & ~_umask())  # mkstemp's files are private
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask
