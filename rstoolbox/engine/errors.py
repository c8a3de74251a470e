"""How a command ends when it was given something wrong."""

import os
import sys
import traceback
from contextlib import contextmanager
from pathlib import Path

from rstoolbox.registry import UnknownTypeError

from .config import ConfigError

PACKAGE = Path(__file__).resolve().parents[1]
OURS = (PACKAGE, PACKAGE.parent / 'tools')


@contextmanager
def readable_errors():
    """End the command with one message where the toolbox itself found something wrong with what it was given.

    Those errors say what to do, and a traceback would bury that. All others keep theirs, and with the environment
    variable ``RSTOOLBOX_TRACEBACK`` set every error does.
    """
    try:
        yield
    except (ValueError, OSError, ArithmeticError, UnknownTypeError) as error:
        if os.environ.get('RSTOOLBOX_TRACEBACK'):
            raise
        text = str(error)
        if 'Original Traceback' in text:  # from a worker of a data loader, as text
            ours = any(f'{folder}{os.sep}' in text.rsplit('  File "', 1)[-1] for folder in OURS)
            text = text.rstrip().rsplit('\n', 1)[-1].partition(': ')[2]
        else:
            innermost = traceback.extract_tb(error.__traceback__)[-1].filename
            parents = Path(innermost).resolve().parents
            ours = isinstance(error, ConfigError) or any(folder in parents for folder in OURS)
        if not ours:
            raise
        sys.exit(f'error: {text}')
