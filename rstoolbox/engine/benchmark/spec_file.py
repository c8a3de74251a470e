"""What the Python file of a benchmark may say."""

import ast
import copy
import difflib
import re

from mmengine.config import Config

from rstoolbox.registry import TRANSFER_LOSSES

from ..config import ConfigError, check_types, find_config
from ..errors import reason_of
from ..preflight import located

KEYS = dict(datasets=dict, methods=dict, pairs=dict, seeds=(list, tuple), options=dict, amp=bool, custom_imports=dict)
NEEDED = ('datasets', 'methods', 'pairs', 'seeds')
ENTRY = ('config', 'options', 'methods')  # of a data set
NO_TRANSFER = 'none'


def read_file(path):
    """Read a spec and check all that says something about the file alone.

    Args:
        path (str): As for :func:`~rstoolbox.engine.benchmark.spec.read_spec`.

    Returns:
        dict: From each of :data:`KEYS` to its value; where the file has none, an empty one.

    Raises:
        ConfigError: The file cannot be read, or something in it is not of the kind that is expected there.
    """
    try:
        spec = Config.fromfile(find_config(path))
        content = spec.to_dict()
        code = re.sub(r'^/.*', '', spec.text, flags=re.MULTILINE)  # mmengine puts each file's path in front of its text
        free = {node.id for node in ast.walk(ast.parse(code))
                if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    except ConfigError as error:
        raise ConfigError(f'{error} Specs that came along are in configs/benchmarks.') from None
    except (Exception, SystemExit) as error:  # a spec is code, which may fail in any way there is
        raise ConfigError(f"The benchmark '{path}' cannot be read: {reason_of(error)}.") from error
    for key in content:
        if key not in KEYS and key not in free:
            raise ConfigError(f"{path}: nothing reads '{key}'. {_nearest(key, KEYS)}")
    missing = [key for key in NEEDED if not content.get(key)]
    if missing:
        raise ConfigError(f'{path}: {", ".join(missing)} must be there and not empty.')
    for key, kind in KEYS.items():
        content.setdefault(key, kind() if isinstance(kind, type) else ())
        if not isinstance(content[key], kind):
            kinds = kind if isinstance(kind, tuple) else (kind,)
            raise ConfigError(f'{path}: {key} = {content[key]!r}, expected a {kinds[0].__name__}.')
    _check_seeds(path, content['seeds'])
    for key in ('datasets', 'pairs'):
        _check_names(path, key, content[key])
    for name, entry in content['datasets'].items():
        for key in entry:
            if key not in ENTRY:
                raise ConfigError(f"{path}: datasets.{name} has no '{key}'. {_nearest(key, ENTRY)}")
        for key in ('options', 'methods'):
            if not isinstance(entry.get(key, {}), dict):
                raise ConfigError(f'{path}: datasets.{name}.{key} = {entry[key]!r}, expected a dict.')
        if not isinstance(entry.get('config'), str):
            raise ConfigError(f'{path}: datasets.{name} needs a config, the path of an experiment.')
    return content


def _check_seeds(path, seeds):
    for number, seed in enumerate(seeds):
        if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < 2 ** 32:
            raise ConfigError(f'{path}: seeds.{number} = {seed!r}, expected a whole number from 0 to {2 ** 32 - 1}.')
        if seed in seeds[:number]:
            raise ConfigError(f'{path}: seed {seed} stands there twice; a run counts once.')


def _check_names(path, key, entries):
    for name, entry in entries.items():
        if not re.fullmatch(r'[A-Za-z0-9][\w-]*', str(name)):
            raise ConfigError(f"{path}: {key} has '{name}', which is to be a folder's name: letters, digits, _ and -.")
        if not isinstance(entry, dict):
            raise ConfigError(f'{path}: {key}.{name} = {entry!r}, expected a dict.')


def own_methods(where, changes, methods):
    """The methods as a data set has them."""
    for name in changes:
        if name not in methods or name == NO_TRANSFER:
            raise ConfigError(f"{where}: there is no method '{name}' to change. "
                              f'{_nearest(str(name), list(methods)[1:])}')
    changed = check_methods(where, {name: loss for name, loss in changes.items() if loss is not None})
    return {name: changed.get(name, loss) for name, loss in methods.items() if name not in changes or name in changed}


def check_methods(where, methods):
    """The methods but no transfer, which a spec may name; raises a ConfigError for one that is no transfer loss."""
    methods = {name: loss for name, loss in methods.items() if not (name == NO_TRANSFER and loss in (None, {}))}
    for name, loss in methods.items():
        if name in (NO_TRANSFER, 'task', 'ska') or not re.fullmatch(r'[A-Za-z]\w*', str(name)):
            raise ConfigError(f"{where}: a method cannot be called {name!r}; 'none', 'task' and 'ska' are taken, and "
                              'a name is made of letters, digits and _, a letter first.')
        if not isinstance(loss, dict):
            raise ConfigError(f'{where}.{name} = {loss!r}, expected a dict.')
        if 'type' not in loss:
            raise ConfigError(f'{where}.{name} names no type. Known: {", ".join(TRANSFER_LOSSES.known_names())}.')
        with located(f'{where}.{name}'):
            TRANSFER_LOSSES.get(loss['type'])
            check_types(dict(methods={name: loss}))
            TRANSFER_LOSSES.build(copy.deepcopy(loss))
    return methods


def _nearest(key, known):
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.4)
    return f"Did you mean '{near[0]}'?" if near else f'There are: {", ".join(known)}.'
