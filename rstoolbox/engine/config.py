"""Configs of an experiment: mmengine's files and inheritance, with late references and strict overrides.

A value written ``'${path}'`` stands for whatever the key ``path`` holds once every base and every override is in
(OmegaConf's interpolation). So a data set is named once, and ``--cfg-options data_root=...`` reaches each place
that refers to it.
"""

import ast
import copy
import difflib
import inspect
import os
import re
from pathlib import Path

from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.runner import Runner
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from rstoolbox.registry import SCOPE

from .config_checks import ConfigError, arguments_of, check_types, find_type, lasting
from .inheritance import INHERIT, plain, with_inherited

REFERENCE = re.compile(r'^\$\{([\w.]+)\}$')
# What mmengine's Runner reads although no shipped base has to spell it out, and what an experiment reads beside it.
RUNNER_KEYS = {*inspect.signature(Runner.__init__).parameters, 'auto_scale_lr', 'compile', 'custom_imports',
               'find_unused_parameters', 'model_wrapper_cfg', 'runner_type', 'sync_bn'} - {'self'}
EXPERIMENT_KEYS = ('artifacts', 'row', 'rows', 'stage_root', 'stages')


def load_config(path, options=None):
    """Read a config with its bases and apply overrides; references stay as they are written.

    Args:
        path (str): A file, or ``'rstoolbox::sembridge/r18_ms2rgb.py'`` for one that travels with the package.
        options (dict, optional): Overrides, from dotted path to value, as ``--cfg-options`` gives them.

    Returns:
        mmengine.config.Config: The unresolved config; hand it to :func:`resolve` before building from it.

    Raises:
        ConfigError: No such file, a key beyond those of its bases that nothing reads, or an option whose path no base
            defines (with the nearest path).
    """
    path = find_config(path)
    cfg = Config.fromfile(path)
    _check_additions(cfg)
    for key, value in (options or {}).items():
        set_option(cfg, key, value, follow_last=True)
    return cfg


def find_config(path):
    """The full path of a config file or of a packaged one (``package::relative/path.py``)."""
    path = str(path)
    if '::' in path:
        package, _, relative = path.partition('::')
        root = _packaged(package)
        full = root / relative
    else:
        root, full = Path(path).parent, Path(path)
    if full.is_file():
        return str(full)
    near = difflib.get_close_matches(str(full.relative_to(root)), _files_in(root), n=3, cutoff=0.4)
    if '::' not in path:
        packaged = difflib.get_close_matches(path, _files_in(_packaged(SCOPE)), n=1, cutoff=0.7)
        near += [f'{SCOPE}::{name}' for name in packaged]
    raise ConfigError(f"There is no config file '{path}' (looked in {root}). "
                      f'{"Nearest: " + ", ".join(near) if near else "No config there has a similar name."}')


def _packaged(package):
    return Path(__import__(package).__file__).parent / '.mim' / 'configs'


def _files_in(root):
    return [str(p.relative_to(root)) for p in root.rglob('*.py')] if root.is_dir() else []


def set_option(cfg, path, value, follow_last=False):
    """Set a dotted path of an unresolved config, where the value is defined.

    A reference on the way is followed, so that all uses of what it refers to change together: with
    ``train_cfg = dict(max_epochs='${max_epochs}')`` the path ``train_cfg.max_epochs`` sets ``max_epochs``.
    A key that is not there yet may be set where the ``type`` beside it has an argument of that name.

    Args:
        cfg (mmengine.config.Config): Changed in place.
        path (str): Keys, and positions in lists, with dots between.
        value (object): What to set.
        follow_last (bool): Follow a reference that is the last key's own value, too, instead of replacing it, unless it
            is to the result of a stage.

    Raises:
        ConfigError: No base defines the path; the text names the nearest one.
    """
    *parents, last = keys = path.split('.')
    node, known, done = cfg, cfg, []
    for place, key in enumerate(keys):
        known = with_inherited(cfg, known)
        child = _child(known, key, path, done) if place < len(parents) else _leaf(known, last)
        reference = REFERENCE.match(child) if isinstance(child, str) else None
        # The result of a stage has other uses, in later stages too: there the reference itself gives way.
        lasting = reference and not reference.group(1).startswith('artifacts.')
        if reference and (place < len(parents) or (follow_last and parents and lasting)):
            target = '.'.join([reference.group(1), *keys[place + 1:]])
            print_log(f"{path} is defined by '{target}' and set there, for all its uses", logger='current')
            try:
                return set_option(cfg, target, value, follow_last)
            except ConfigError as error:
                raise ConfigError(f"'{path}' is defined by '{target}'. {error}") from None
        if place == len(parents):
            break
        if not isinstance(child, (dict, list, tuple)):
            raise ConfigError(f"'{path}': '{'.'.join([*done, key])}' is {child!r}, which has no keys of its own.")
        if isinstance(node, dict) and key not in node:
            node[key] = child  # inherited as a whole until now
        node, known = node[key] if isinstance(node, dict) else child, child
        done.append(key)
    if isinstance(node, tuple):
        where = '.'.join(done)
        raise ConfigError(f"'{path}': '{where}' is a tuple, which is set as a whole: '{where}={node}'.")
    if isinstance(node, list):
        node[_index(node, last, path, done)] = value
        return
    if last not in known and not _is_argument(known, last) and not (not parents and last in RUNNER_KEYS):
        _raise_unknown(path, known, last, done)
    node[last] = value


def resolve(cfg, key=None):
    """Replace every reference by what it refers to.

    Args:
        cfg (mmengine.config.Config): An unresolved config.
        key (str, optional): Dotted path of the part to resolve; others, which may take long, are left alone.

    Returns:
        mmengine.config.Config: A plain config without references; or what stands under ``key``.

    Raises:
        ConfigError: A reference to a key that does not exist, or ``key`` itself does not.
    """
    try:
        tree = OmegaConf.create(cfg.to_dict(), flags=dict(allow_objects=True))
        if key is not None:
            return _resolved_part(tree, key, cfg.filename)
        resolved = plain(tree)
    except OmegaConfBaseException as error:
        missing = re.search(r"Interpolation key '([^']+)'", str(error))
        hint = ''
        if missing:
            near = difflib.get_close_matches(missing.group(1), _paths(cfg), n=3, cutoff=0.4)
            hint = f' Nearest keys: {", ".join(near)}.' if near else ''
        first = str(error).strip().splitlines()[0]
        raise ConfigError(f'{cfg.filename}: {first} at key {error.full_key!r}.{hint}') from None
    return Config(resolved, filename=cfg.filename)


def _resolved_part(node, key, source):
    for part in key.split('.'):
        known = list(node.keys()) if hasattr(node, 'keys') else []  # 'in' would resolve the part
        if INHERIT in known:
            node = plain(node)  # a part may come from both
            known = list(node)
        if part not in known:
            names = ', '.join(map(str, known)) or 'nothing'
            raise ConfigError(f"{source} has no '{key}': there is no '{part}' among {names}.")
        node = node[part]
    return plain(node)


def runner_config(cfg, settings=None, **values):
    """The config of one training run: what :class:`Runner` takes, resolved and checked, and nothing else.

    Args:
        cfg (mmengine.config.Config): The unresolved config of an experiment.
        settings (dict, optional): Overrides of this run, from dotted path to value.
        values: Keys of the runner that are known only now (``work_dir``, ``resume`` ...).
    """
    cfg = copy.deepcopy(cfg)
    for key in ('stages', 'rows'):
        cfg.pop(key, None)
    for path, value in (settings or {}).items():
        set_option(cfg, path, value)
    resolved = resolve(cfg)
    run = Config({key: value for key, value in resolved.items() if key in RUNNER_KEYS} | values, filename=cfg.filename)
    check_types(run)
    if isinstance(run.get('param_scheduler'), list):
        run.param_scheduler = lasting(run.param_scheduler)
    return run


def _check_additions(cfg):
    """Raise ConfigError for a key that the file adds to those of its bases and that nothing reads: a typing error."""
    # The text of a config is that of its files, each below a line with its path, bases first.
    *bases, own = files = [line for line in cfg.text.splitlines()
                           if os.path.isabs(line) and line.endswith('.py') and os.path.isfile(line)] or [cfg.filename]
    if not bases or 'model' not in cfg:  # of a part, what inherits from it may read any key
        return
    variables = {node.id for file in files for node in ast.walk(ast.parse(Path(file).read_text(encoding='utf-8')))
                 if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    free = (RUNNER_KEYS | variables | set(EXPERIMENT_KEYS)) - {'artifacts'}  # their parts are checked elsewhere
    known = free | {'artifacts', *(f'artifacts.{stage}' for stage in cfg.get('stages') or ())}
    known.update(path for base in bases for path in _paths(Config.fromfile(base)))
    references = {name.rstrip('.') for name in re.findall(r'\$\{([\w.]+)', str(cfg.to_dict()))}
    for path in _paths(cfg):
        parent = path.rpartition('.')[0]
        # Parts of what is referred to as a whole, or not at all, are not looked into.
        looked_into = not parent or (parent in known and any(name.startswith(f'{parent}.') for name in references))
        used = any(f'{path}.'.startswith(f'{name}.') or name.startswith(f'{path}.') for name in references)
        if looked_into and not used and path not in known and path.partition('.')[0] not in free:
            near = difflib.get_close_matches(path, sorted(known - variables), n=1, cutoff=0.4)
            raise ConfigError(f"{own} sets '{path}', which nothing reads: no base defines it, and no '${{{path}}}' "
                              'refers to it. ' + (f"Did you mean '{near[0]}'?" if near else 'Remove it.'))


def _child(node, key, path, done):
    if isinstance(node, (list, tuple)):
        return node[_index(node, key, path, done)]
    if key not in node:
        _raise_unknown(path, node, key, done)
    return node[key]


def _leaf(node, key):
    return node.get(key) if isinstance(node, dict) else None


def _index(node, key, path, done):
    where = '.'.join(done)
    if not re.fullmatch(r'-?\d+', key) or not -len(node) <= int(key) < len(node):
        raise ConfigError(f"'{path}': '{where}' is a list of {len(node)} entries; "
                          f'write {where}.0 to {where}.{len(node) - 1}.')
    return int(key)


def _raise_unknown(path, node, key, done):
    if _is_argument(node, key):
        whole = '.'.join([*done, key])
        raise ConfigError(f"'{path}' is part of '{whole}', which nothing sets yet. Set that whole, in a config file.")
    known = [*node, *(arguments_of(find_type(node['type'])) or ())] if 'type' in node else list(node)
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.4)
    hint = (f"Did you mean '{'.'.join([*done, near[0]])}'?" if near
            else f'There are: {", ".join(sorted(map(str, node)))}.')
    raise ConfigError(f"No base of this config defines '{path}': '{key}' is not a key of "
                      f"{'.'.join(done) or 'the config'}. {hint}")


def _is_argument(node, key):
    accepted = arguments_of(find_type(node['type'])) if 'type' in node else ()
    return accepted is not None and key in accepted


def _paths(cfg):
    found = []

    def walk(node, path):
        for key, value in node.items():
            found.append(path + str(key))
            if isinstance(value, dict):
                walk(value, f'{path}{key}.')

    walk(cfg._cfg_dict, '')
    return found


def default_work_dir(cfg):
    """``work_dirs/<name of the config file>``, as in the other OpenMMLab toolboxes."""
    return os.path.join('work_dirs', Path(cfg.filename).stem)
