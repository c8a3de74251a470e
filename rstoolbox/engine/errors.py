"""How a command ends when it was given something wrong."""

import argparse
import importlib
import os
import sys
import tempfile
import traceback
from contextlib import contextmanager
from pathlib import Path

import mmengine
from mmengine.config import DictAction

from rstoolbox.registry import UnknownTypeError, first_cause

from .config import ConfigError, load_config

PACKAGE = Path(__file__).resolve().parents[1]
OURS = (PACKAGE, PACKAGE.parent / 'tools')
# Frames of these say how a config is read, not where what it names went wrong.
READERS = {*OURS, *(Path(package.__file__).resolve().parent for package in (mmengine, importlib))}

# Settings that count something, with the least that makes sense: wherever they stand in a config, or at a dotted path.
LEAST = {'max_epochs': 1, 'teacher_epochs': 1, 'matcher_epochs': 1, 'max_iters': 1, 'warmup_iters': 0,
         'batch_size': 1, 'matcher_batch_size': 1, 'num_workers': 0, 'seed': 0, 'val_interval': 1,
         'checkpoint_interval': 1, 'accumulative_counts': 1, 'matching.start': 0,
         'matching.interval': 1, 'matching.growth': 0}
# What else to set, where another toolbox gives a smaller number a meaning.
INSTEAD = {'checkpoint_interval': " For no checkpoint before the last write '${max_epochs}', or '${max_iters}' in a "
                                  'config that counts iterations; an interrupted run then starts from the beginning.'}
LEVELS = ('DEBUG', 'INFO', 'WARNING', 'WARN', 'ERROR', 'CRITICAL', 'FATAL', 'NOTSET')


@contextmanager
def readable_errors(interrupted='Interrupted.'):
    """End the command with one message where the toolbox itself found something wrong with what it was given.

    Those errors say what to do, and a traceback would bury that. All others keep theirs, and with the environment
    variable ``RSTOOLBOX_TRACEBACK`` set every error does. Ctrl-C ends the command with the exit code 130.

    Args:
        interrupted (str): What to say after Ctrl-C.
    """
    try:
        yield
    except BaseException as error:
        if isinstance(error, SystemExit) or os.environ.get('RSTOOLBOX_TRACEBACK'):
            raise
        if _is_interrupt(error):
            print(f'\n{interrupted}', file=sys.stderr)
            sys.exit(130)
        if not isinstance(error, (ValueError, OSError, ArithmeticError, UnknownTypeError)):
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


def _is_interrupt(error):
    """Whether it is Ctrl-C, or an error that came of it, such as that of a data loader whose worker it ended."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None


def check_output(option, path, folder=False):
    """Make the folder of what a command will write, and see, before hours of work, that it can be written.

    Args:
        option (str): The option that named it, for the message.
        path (str): A file, or with ``folder`` a folder; None passes.
        folder (bool): Which of the two it is.

    Raises:
        ConfigError: It is the other of the two, or nothing can be written there.
    """
    if path is None:
        return
    path, kinds = Path(path), ('file', 'folder')
    try:
        if path.exists() and path.is_dir() != folder:
            raise ConfigError(f"{option}: '{path}' is a {kinds[not folder]}. Name a {kinds[folder]} that is there, or "
                              'is yet to be made.')
        where = path if folder else path.parent
        where.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=where).close()
    except OSError as error:
        raise ConfigError(f"{option}: '{path}' cannot be written ({error.strerror}). Name a {kinds[folder]} "
                          'elsewhere.') from error


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
        ConfigError: The file or one of its bases cannot be read, describes no model, counts something by what is no
            number or too small, has rows or stages that are no dicts or of one name, or has no such log level.
    """
    try:
        cfg = load_config(path, options)
    except ConfigError:
        raise
    except (Exception, SystemExit) as error:  # a config is code, which may fail in any way there is
        raise ConfigError(f"The config '{path}' cannot be read: {reason_of(error)}.") from error
    if 'model' not in cfg:
        raise ConfigError(f"The config '{path}' describes no 'model'. Give it a _base_ that does, such as those in "
                          'configs/_base_, or name one of the configs that inherit from it.')
    _check_counts(cfg._cfg_dict, '', path)
    _check_dicts(cfg, path)
    level = cfg.get('log_level', 'INFO')
    if not (isinstance(level, int) or level in LEVELS or _is_reference(level)):
        raise ConfigError(f'log_level = {level!r} in {path}: expected one of {", ".join(LEVELS)}.')
    return cfg


def _check_counts(node, where, path):
    items = node.items() if isinstance(node, dict) else enumerate(node)
    for key, value in items:
        if isinstance(value, (dict, list, tuple)):
            _check_counts(value, f'{where}{key}.', path)
            continue
        least = LEAST.get(key, LEAST.get(f'{where}{key}'))
        if least is not None and not (value is None or _is_reference(value) or _is_count(value, least)):
            raise ConfigError(f'{where}{key} = {value!r} in {path}: expected a whole number, {least} or more.'
                              + INSTEAD.get(key, ''))


def _check_dicts(cfg, path):
    for key in ('artifacts', 'stages', 'rows'):
        entries = cfg.get(key)
        if not isinstance(entries, (dict, type(None))):
            raise ConfigError(f'{key} = {entries!r} in {path}: expected a dict, or None for no {key}.')
    for name, settings in (cfg.get('rows') or {}).items():
        if not isinstance(settings, dict):
            raise ConfigError(f"rows.{name} = {settings!r} in {path}: expected a dict of what this row sets otherwise, "
                              "as in {'model.start': None}.")
    names = [*(cfg.get('stages') or {}), *(cfg.get('rows') or {}), cfg.get('row', 'student')]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"'{name}' is the name of two of the stages, the rows and the main row of {path}: one "
                              "would take the other's place. Call one of them otherwise; row='...' names the main one.")


def _is_reference(value):
    return isinstance(value, str) and '${' in value


def _is_count(value, least):
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def reason_of(error):
    """One line that says what stopped the reading of a config, or of another file that is read as one."""
    cause = first_cause(error)
    if isinstance(cause, SyntaxError):
        # mmengine parses configs and bases namelessly; only its frames know which it was.
        names = [frame.f_locals.get('filename') for frame, _ in traceback.walk_tb(cause.__traceback__)]
        file = [name for name in (*names, cause.filename) if isinstance(name, str) and os.path.isfile(name)][-1]
        return f'{file}, line {cause.lineno} is no Python ({cause.msg}): {(cause.text or "").strip()}'
    place = _place(cause)
    if isinstance(cause, FileNotFoundError) and not place:
        return f"there is no file '{cause.filename or cause}', which a _base_ or another key names"
    text = str(cause).partition('\n')[0]
    if isinstance(cause, ImportError):
        key = 'custom_imports: ' if 'custom modules' in str(error) else ''
        return f'{key}{place}{text}. Install what is missing, or put its folder on PYTHONPATH'
    if 'import_modules_from_strings()' in text:  # mmengine hands the key's dict on as arguments
        return f"custom_imports is to be a dict(imports=['module']): {text.partition('() ')[2]}"
    return f'{place}{type(cause).__name__}: {text}'


def _place(error):
    """The file and line of a config or of a module it imports where an error arose; empty in what reads configs."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__)
              if os.path.isfile(frame.filename) and not READERS & set(Path(frame.filename).resolve().parents)]
    return f'{frames[-1].filename}, line {frames[-1].lineno}: ' if frames else ''
