"""The runs that the Python file of a benchmark stands for."""

import copy
import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path

from mmengine.config import Config
from mmengine.logging import print_log

from rstoolbox.models.sembridge.gallery import OUTPUTS
from rstoolbox.registry import MODELS, TRANSFER_LOSSES

from ..config import ConfigError, resolve, runner_config, set_option
from ..errors import read_config
from ..experiment import Experiment
from ..fingerprints import canonical
from ..preflight import build_quietly, located
from .spec_file import NO_TRANSFER, check_methods, own_methods, read_file


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
    spec = read_file(path)
    cells = []
    for dataset, entry in spec['datasets'].items():
        for pair, pair_options in spec['pairs'].items():
            where = f"{path}, data set '{dataset}', pair '{pair}'"
            chosen = _in_order(spec['options'], entry.get('options', {}), pair_options, options or {})
            with located(where):
                _check_options(chosen)
                cells.append((where, dataset, pair, _read_config(entry['config'], chosen, spec)))
    # Not before the configs are read, which may import what a method is made of.
    methods = {NO_TRANSFER: None, **check_methods(f'{path}, methods', spec['methods'])}
    own = {dataset: own_methods(f'{path}, datasets.{dataset}.methods', entry.get('methods', {}), methods)
           for dataset, entry in spec['datasets'].items()}
    runs = []
    for where, dataset, pair, cfg in cells:
        config = spec['datasets'][dataset]['config']
        with located(where):
            variants = _variants(cfg, own[dataset], config)
            for variant in variants.values():
                runner_config(variant)  # raises where it does not fit the classes it names
            _check_losses(runner_config(cfg).model, own[dataset])
        for (method, sembridge), variant in variants.items():
            runs += [_run(dataset, pair, method, sembridge, seed, config, spec['amp'] or amp, variant)
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


def _in_order(*layers):
    """Options of several places, the stronger ones last: a broad one of a weaker place is set before."""
    merged = {}
    for layer in layers:
        for key, value in layer.items():
            merged.pop(key, None)
            merged[key] = value
    return merged


def _check_options(options):
    for key, value in options.items():
        if not isinstance(key, str):
            raise ConfigError(f'an option is a path of keys with dots between, got {key!r}.')
        if key == 'randomness.seed' or (key == 'randomness' and isinstance(value, dict) and 'seed' in value):
            raise ConfigError(f"the option '{key}' has no use: every run has its seed from the spec's seeds.")


def _run(dataset, pair, method, sembridge, seed, config, amp, variant):
    cfg = copy.deepcopy(variant)
    set_option(cfg, 'randomness.seed', seed)
    settings = json.dumps([canonical(cfg, {}), amp], sort_keys=True, default=str)
    return Run(dataset, pair, method, sembridge, seed, config, amp, cfg,
               hashlib.sha256(settings.encode()).hexdigest()[:16])


def _variants(cfg, methods, path):
    """The config of every method, plain and with SemBridge, without the seed."""
    rows, resolved = cfg.get('rows') or {}, resolve(cfg).model.get('losses') or {}
    kd, losses = resolved.get('kd'), cfg.model.get('losses')
    if not isinstance(losses, dict) or '_inherit_' in losses:  # else as written: they may refer to the seed
        losses = resolved
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
        weight = TRANSFER_LOSSES.build(copy.deepcopy(kd)).loss_weight * built.loss_weight
        others = {name: other for name, other in losses.items() if name != 'kd'}
        variants[method, True] = _variant(cfg, method, {
            'model.losses': {method: dict(loss, loss_weight=weight), **others}, **teacher, **hooks})
    return variants


def _check_losses(model, methods):
    """Show the losses of all methods what both networks of a pair put out; their images and weights stay unread."""
    losses = {name: loss for name, loss in methods.items() if loss is not None}
    with located('methods'):
        student, teacher = (dict(model[side], **dict.fromkeys({'data_preprocessor', 'pretrained'} & model[side].keys()))
                            for side in ('student', 'teacher'))
        for side, parts in (('student', student), ('teacher', teacher)):
            for part in ('backbone', 'head'):
                if not isinstance(parts.get(part), dict):
                    raise ConfigError(f'{side}.{part} = {parts.get(part)!r}, expected a dict with a type.')
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
