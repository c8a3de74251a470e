"""How a command ends when it was given something wrong."""

import argparse
import os
import sys
import traceback
from contextlib import contextmanager
from pathlib import Path

from mmengine.config import DictAction

from rstoolbox.registry import UnknownTypeError

from .config import ConfigError, load_config

PACKAGE = Path(__file__).resolve().parents[1]
OURS = (PACKAGE, PACKAGE.parent / 'tools')

# Settings that count something, wherever they stand in a config, with the least that makes sense.
LEAST = dict(max_epochs=1, teacher_epochs=1, matcher_epochs=1, batch_size=1, matcher_batch_size=1, num_workers=0,
             seed=0)


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


class OptionAction(DictAction):
    """``--cfg-options KEY=VALUE ...``, where what is not of that form ends the command with the usage."""

    def __call__(self, parser, namespace, values, option_string=None):
        for text in values:
            if not text.partition('=')[0] or '=' not in text:
                parser.error(f"argument {option_string}: '{text}' is not of the form KEY=VALUE, e.g. max_epochs=5")
            try:
                super().__call__(parser, argparse.Namespace(), [text], option_string)
            except AssertionError as error:
                parser.error(f"argument {option_string}: '{text}': {error}")
            except RecursionError:  # mmengine's reading of commas inside dict(...)
                parser.error(f"argument {option_string}: '{text}' cannot be read; write lists as [a,b], and a dict key "
                             'by key: matching.start=4 matching.interval=2')
        super().__call__(parser, namespace, values, option_string)


def seed_number(text):
    """Type of a ``--seed`` for argparse: what NumPy takes, a whole number from 0 to 2**32 - 1."""
    if not text.isdecimal() or int(text) >= 2**32:
        raise argparse.ArgumentTypeError(f"'{text}' is no whole number from 0 to {2**32 - 1}")
    return int(text)


def count(text):
    """Type of an option for argparse that says how many of something there are, at least one."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is no whole number from 1 on")
    return int(text)


def read_config(path, options=None):
    """:func:`~rstoolbox.engine.config.load_config` for a command: whatever is wrong with the file is a `ConfigError`.

    Args:
        path (str): As for ``load_config``.
        options (dict, optional): As for ``load_config``.

    Returns:
        mmengine.config.Config: The unresolved config of a model.

    Raises:
        ConfigError: The file or one of its bases cannot be read, describes no model, or counts something by what is
            no number or too small.
    """
    try:
        cfg = load_config(path, options)
    except ConfigError:
        raise
    except Exception as error:  # a config is code, which may fail in any way there is
        raise ConfigError(f"The config '{path}' cannot be read: {_reason(error)}.") from error
    if 'model' not in cfg:
        raise ConfigError(f"The config '{path}' describes no 'model'. Give it a _base_ that does, such as those in "
                          'configs/_base_, or name one of the configs that inherit from it.')
    _check_counts(cfg._cfg_dict, '', path)
    return cfg


def _check_counts(node, where, path):
    items = node.items() if isinstance(node, dict) else enumerate(node)
    for key, value in items:
        if isinstance(value, (dict, list, tuple)):
            _check_counts(value, f'{where}{key}.', path)
        elif key in LEAST and not (value is None or _is_reference(value) or _is_count(value, LEAST[key])):
            raise ConfigError(f'{where}{key} = {value!r} in {path}: expected a whole number, {LEAST[key]} or more.')


def _is_reference(value):
    return isinstance(value, str) and '${' in value


def _is_count(value, least):
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _reason(error):
    """One line that says what stopped the reading of a config."""
    if isinstance(error, SyntaxError):
        return f'line {error.lineno} is no Python ({error.msg}): {(error.text or "").strip()}'
    if isinstance(error, FileNotFoundError):
        return f"there is no file '{error.filename or error}', which a _base_ or another key names"
    if isinstance(error, ImportError):
        text = str(error).partition(', the current sys.path')[0].partition('\n')[0]
        return f'{text}. Install what is missing, or put its folder on PYTHONPATH'
    return f'{type(error).__name__}: {str(error).partition(chr(10))[0]}'
