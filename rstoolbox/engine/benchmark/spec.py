"""What a benchmark compares: a Python file, and the runs that it stands for."""

import ast
import copy
import difflib
import hashlib
import json
import re
from dataclasses import dataclass, field
from pathlib import Path

from mmengine.config import Config
from mmengine.logging import print_log

from rstoolbox.models.sembridge.gallery import OUTPUTS
from rstoolbox.registry import MODELS, TRANSFER_LOSSES

from ..config import ConfigError, check_types, find_config, runner_config, set_option
from ..errors import read_config, reason_of
from ..experiment import Experiment
from ..fingerprints import canonical
from ..preflight import build_quietly, located

KEYS = dict(datasets=dict, methods=dict, pairs=dict, seeds=(list, tuple), options=dict, amp=bool, custom_imports=dict)
NEEDED = ('datasets', 'methods', 'pairs', 'seeds')
ENTRY = ('config', 'options', 'methods')  # of a data set
NO_TRANSFER = 'none'


@dataclass(frozen=True)
class Run:
    """One training: a method, plain or with SemBridge, on a data set, for a pair of networks, from a seed."""

    dataset: str
    pair: str
    method: str
    sembridge: bool
    seed: int
    config: str  # of the data set, as the spec names it
    amp: bool = field(repr=False)
    cfg: Config = field(repr=False, compare=False)
    key: str = field(repr=False)  # of all its settings

    @property
    def name(self):
        """Its place below the folder of runs."""
        return f'{self.dataset}/{self.pair}/{self.method}{"+sembridge" if self.sembridge else ""}/seed{self.seed}'


def read_spec(path, options=None, amp=False):
    """Read a spec and check everything in it that can be known before a run starts.

    Args:
        path (str): A Python file, or a packaged one (``rstoolbox::benchmarks/mini.py``), with ``datasets`` (name ->
            ``dict(config=..., options=..., methods=...)``, the latter of those that differ there, None for one that is
            left out), ``methods`` (name -> config of a transfer loss), ``pairs`` (name -> options of the config),
            ``seeds``, and if need be ``options`` for every run, ``amp``, and ``custom_imports``
            as a config has them, for methods of your own. Other variables are free where the file itself reads them.
        options (dict, optional): Overrides of every run that win over those of the spec.
        amp (bool): Train in mixed precision whatever the spec says.

    Returns:
        list[Run]: Seed by seed, and within a seed method by method, so that the first results come from everywhere.

    Raises:
        ConfigError: Anything wrong, with the nearest name that would do.
    """
    spec = _read(path)
    cells = []
    for dataset, entry in spec['datasets'].items():
        for pair, pair_options in spec['pairs'].items():
            chosen = {**spec['options'], **entry.get('options', {}), **pair_options, **(options or {})}
            where = f"{path}, data set '{dataset}', pair '{pair}'"
            with located(where):
                cells.append((where, dataset, pair, chosen, _read_config(entry['config'], chosen, spec)))
    # Not before the configs are read, which may import what a method is made of.
    methods = {NO_TRANSFER: None, **_check_methods(f'{path}, methods', spec['methods'])}
    own = {dataset: _own_methods(f'{path}, datasets.{dataset}.methods', entry.get('methods', {}), methods)
           for dataset, entry in spec['datasets'].items()}
    runs = []
    for where, dataset, pair, chosen, cfg in cells:
        config = spec['datasets'][dataset]['config']
        with located(where):
            variants = _variants(cfg, own[dataset], config)
            for variant in variants.values():
                runner_config(variant)  # raises where it does not fit the classes it names
            _check_losses(runner_config(cfg).model, own[dataset])
        for (method, sembridge), variant in variants.items():
            runs += [_run(dataset, pair, method, sembridge, seed, config, spec['amp'] or amp, variant, chosen)
                     for seed in spec['seeds']]
    return sorted(runs, key=lambda run: (spec['seeds'].index(run.seed), list(methods).index(run.method), run.sembridge))


def check_data(runs, root):
    """Find before the first run what would end all runs of a data set and a pair: its images, classes or weights.

    Args:
        runs (list[Run]): Those that are to be started.
        root (str | Path): Folder of the runs.

    Raises:
        ConfigError: With data set, pair and what :meth:`~rstoolbox.engine.experiment.Experiment.check` found.
    """
    first = {}
    for run in runs:
        first.setdefault((run.dataset, run.pair), run)
    for run in first.values():
        where = f"data set '{run.dataset}', pair '{run.pair}'"
        print_log(f'Checks {where}', logger='current')
        with located(where):
            Experiment(run.cfg, Path(root) / run.name).check()


def _read_config(path, options, spec):
    """The config of a data set, which imports for its runs what it and the spec name."""
    cfg = read_config(path, options)
    if spec['custom_imports']:
        imports = [(node or {}).get('imports') or [] for node in (cfg.get('custom_imports'), spec['custom_imports'])]
        own, more = ([names] if isinstance(names, str) else names for names in imports)
        cfg.custom_imports = dict(spec['custom_imports'], imports=list(dict.fromkeys([*own, *more])))
    return cfg


def _run(dataset, pair, method, sembridge, seed, config, amp, variant, options):
    cfg = copy.deepcopy(variant)
    set_option(cfg, 'randomness.seed', seed)
    settings = json.dumps([canonical(cfg, {}), options, amp], sort_keys=True, default=str)
    return Run(dataset, pair, method, sembridge, seed, config, amp, cfg,
               hashlib.sha256(settings.encode()).hexdigest()[:16])


def _variants(cfg, methods, path):
    """The config of every method, plain and with SemBridge, without the seed."""
    rows, kd = cfg.get('rows') or {}, (cfg.model.get('losses') or {}).get('kd')
    if not {NO_TRANSFER, 'kd'} <= set(rows) or cfg.get('row') != 'sembridge' or not kd:
        raise ConfigError(f"'{path}' is no experiment with the rows none, kd and sembridge, whose loss 'kd' a method "
                          'replaces. Inherit from _base_/distillers/sembridge.py.')
    variants = {(NO_TRANSFER, False): _variant(cfg, NO_TRANSFER, rows[NO_TRANSFER])}
    for method, loss in methods.items():
        if loss is None:
            continue
        built = TRANSFER_LOSSES.build(copy.deepcopy(loss))
        teacher, hooks = ({}, {}) if set(built.needs) <= set(OUTPUTS) else _teacher_in_the_loop(cfg)
        variants[method, False] = _variant(cfg, method, {**rows['kd'], 'model.losses': {method: loss}, **teacher})
        # lambda_1, which the config gives vanilla KD, weighs the method's own loss
        weight = kd['loss_weight'] * built.loss_weight
        others = {name: other for name, other in cfg.model.losses.items() if name != 'kd'}
        variants[method, True] = _variant(cfg, method, {
            'model.losses': {method: dict(loss, loss_weight=weight), **others}, **teacher, **hooks})
    return variants


def _check_losses(model, methods):
    """Show the losses of all methods what both networks of a pair put out; their images and weights stay unread."""
    losses = {name: loss for name, loss in methods.items() if loss is not None}
    with located('methods'):
        student, teacher = (dict(model[side], **dict.fromkeys({'data_preprocessor', 'pretrained'} & model[side].keys()))
                            for side in ('student', 'teacher'))
        # Of a gallery, or of a teacher's head, the rows of the student's classes are taken.
        teacher['head'] = dict(teacher['head'], num_classes=student['head']['num_classes'])
        build_quietly(MODELS, dict(model, losses=losses, student=student, teacher=teacher, teacher_checkpoint=None,
                                   gallery=None, start=None))


def _teacher_in_the_loop(cfg):
    """Settings by which the teacher runs beside the student, and hooks that re-match still find its gallery."""
    hooks = {f'custom_hooks.{place}.gallery': '${artifacts.gallery}' for place, hook in enumerate(cfg.custom_hooks)
             if isinstance(hook, dict) and hook.get('type') == 'StudentFriendlyMatchingHook'}
    return {'model.gallery': None, 'train_dataset.read_teacher': True}, hooks


def _variant(cfg, method, settings):
    cfg = copy.deepcopy(cfg)
    cfg.rows, cfg.row = {}, method
    for path, value in settings.items():
        set_option(cfg, path, copy.deepcopy(value))
    if isinstance(cfg.custom_hooks, str):
        raise ConfigError(f'custom_hooks is the reference {cfg.custom_hooks}; write a list, to which a hook is added.')
    cfg.custom_hooks = [*cfg.custom_hooks, dict(type='CostHook')]
    return cfg


def _read(path):
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


def _own_methods(where, changes, methods):
    """The methods as a data set has them."""
    for name in changes:
        if name not in methods or name == NO_TRANSFER:
            raise ConfigError(f"{where}: there is no method '{name}' to change. "
                              f'{_nearest(str(name), list(methods)[1:])}')
    changed = _check_methods(where, {name: loss for name, loss in changes.items() if loss is not None})
    return {name: changed.get(name, loss) for name, loss in methods.items() if name not in changes or name in changed}


def _check_methods(where, methods):
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
