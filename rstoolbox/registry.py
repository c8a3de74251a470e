"""The registries of rstoolbox: children of mmengine's, under the scope ``rstoolbox``.

Modules of other OpenMMLab packages are named with their scope in a config (``type='mmpretrain.ResNet'``).
Third parties register theirs from their own package, either through ``custom_imports`` in a config or by an
entry point in the group ``rstoolbox.plugins`` that names a module to import.
"""

import difflib
import re
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec

from mmengine import registry as mmengine_registry
from mmengine.config.utils import MODULE2PACKAGE
from mmengine.registry import Registry as MMEngineRegistry

PLUGIN_GROUP = 'rstoolbox.plugins'
SCOPE = 'rstoolbox'
NEIGHBOURS = ('mmpretrain', 'mmseg', 'mmdet')
# How mmengine says that a type is unknown.
UNKNOWN = re.compile(r'(\S+) is not in the \S+::(.+) registry\.')

# Lets mmengine resolve 'rstoolbox::sembridge/r18_ms2rgb.py' in _base_ lists.
MODULE2PACKAGE.setdefault(SCOPE, SCOPE)


class UnknownTypeError(KeyError):
    """A type that no registry holds; unlike a bare ``KeyError`` it prints its text as it stands."""

    def __str__(self):
        return self.args[0]


class Registry(MMEngineRegistry):
    """A mmengine registry that loads plug-ins before its first look-up and explains an unknown name.

    Args:
        name (str): What the registry holds, as it appears in messages.
        parent (mmengine.registry.Registry, optional): The root registry it is a child of.
        locations (list[str]): Modules imported before the first look-up.
        extras (dict[str, str]): Further ones, each with the extra of this package that installs what it needs; where
            that is not installed, an unknown name says so.
    """

    def __init__(self, name, parent=None, locations=(), extras=None):
        super().__init__(name, parent=parent, locations=list(locations), scope=SCOPE)
        self._extras = dict(extras or {})
        self._not_installed = {}

    def import_from_location(self):
        if not self._imported:
            # Set first: the imported modules may themselves look something up.
            self._imported = True
            for location in self._locations:
                import_module(location)
            for location, extra in self._extras.items():
                try:
                    import_module(location)
                except ModuleNotFoundError as error:
                    if (error.name or '').partition('.')[0] == SCOPE:
                        raise
                    self._not_installed[location] = f'{error} (pip install -e .[{extra}])'
            load_plugins()

    def get(self, key):
        """Return the class registered as ``key``.

        Raises:
            UnknownTypeError: With the registry, the nearest names, the plug-ins that loaded and why others did not.
        """
        found = super().get(key)
        if found is None:
            raise UnknownTypeError(self._explain_unknown(key))
        return found

    def build(self, cfg, *args, **kwargs):
        """Build what a config describes; an unknown type in it is explained however deep it stands.

        Raises:
            UnknownTypeError: As :meth:`get`.
        """
        with explained_types():
            return super().build(cfg, *args, **kwargs)

    def __contains__(self, key):
        return super().get(key) is not None

    def known_names(self):
        """Every name this registry can build without a scope prefix, its parents' included."""
        self.import_from_location()
        names, registry = set(), self
        while registry is not None:
            names.update(registry.module_dict)
            registry = registry.parent
        return sorted(names)

    def _explain_unknown(self, key):
        bare = str(key).rpartition('.')[2]
        # Own names first, so that of two equally near ones the one without a prefix is shown.
        candidates = {name: [name] for name in self.known_names()}
        for scope in NEIGHBOURS:
            for name in _names_in(scope, self.name):
                candidates.setdefault(name, []).append(f'{scope}.{name}')
        near = difflib.get_close_matches(bare, candidates, n=3, cutoff=0.5)
        near = [name for match in near for name in candidates[match]]
        known = self.known_names()
        lines = [f"'{key}' is not in the registry '{self.scope}::{self.name}'.",
                 f'  Nearest names: {", ".join(near)}.' if near
                 else f'  Known names: {", ".join(known)}.' if known else '  It has no names yet.']
        scope = str(key).partition('.')[0]
        if scope in NEIGHBOURS and find_spec(scope) is None:
            lines.append(f'  {scope} is not installed (pip install -e .[dense]).')
        lines += [f"  '{location}' did not load: {cause}." for location, cause in self._not_installed.items()]
        loaded = [name for name, error in load_plugins().items() if error is None]
        lines.append(f'  Plug-ins loaded: {", ".join(loaded) or "none"}.')
        lines += [f"  Plug-in '{name}' did not load: {type(error).__name__}: {error}"
                  for name, error in load_plugins().items() if error is not None]
        lines.append('  A module of your own is found once it is imported: '
                     f"custom_imports=dict(imports=['your.module']) in the config, "
                     f"or an entry point in group '{PLUGIN_GROUP}'.")
        return '\n'.join(lines)


@contextmanager
def explained_types():
    """Explain a type that another package does not know, such as that of a head's loss, as one that is unknown here."""
    try:
        yield
    except KeyError as error:
        found = UNKNOWN.search(str(error).strip('"\''))
        if found is None:
            raise
        kind, name = found.groups()
        registries = (value for value in globals().values() if isinstance(value, Registry))
        # Of some kinds only a neighbour has a registry; an empty one of ours names what is in it.
        registry = next((known for known in registries if known.name == name), None) or Registry(name)
        raise UnknownTypeError(registry._explain_unknown(kind)) from error


_plugins = {}
_plugins_loaded = False


def load_plugins():
    """Import every module named by an entry point of group ``rstoolbox.plugins``, once.

    A plug-in that fails does not stop the others.

    Returns:
        dict[str, BaseException | None]: For each plug-in the first cause of its failure, or None where it loaded.
    """
    global _plugins_loaded
    if not _plugins_loaded:
        _plugins_loaded = True
        for entry in entry_points(group=PLUGIN_GROUP):
            try:
                import_module(entry.module)
                _plugins[entry.name] = None
            # kept whole: an unknown type later names it as the likely cause
            except (Exception, SystemExit) as error:
                _plugins[entry.name] = first_cause(error)
    return dict(_plugins)


def first_cause(error):
    """The error at the beginning of a chain of errors that followed from one another."""
    while error.__cause__ is not None or (error.__context__ is not None and not error.__suppress_context__):
        error = error.__cause__ or error.__context__
    return error


def _names_in(scope, registry_name):
    """The names that another, installed OpenMMLab package holds in its registry of the same kind."""
    try:
        module = import_module(f'{scope}.registry')
    except ImportError:
        return []
    for registry in vars(module).values():
        if isinstance(registry, MMEngineRegistry) and registry.scope == scope and registry.name == registry_name:
            registry.import_from_location()
            return sorted(registry.module_dict)
    return []


MODELS = Registry('model', parent=mmengine_registry.MODELS, locations=['rstoolbox.models'])
DISTILLERS = MODELS  # a distiller is what a runner trains, so mmengine must find it among the models
TRANSFER_LOSSES = Registry('transfer loss', locations=['rstoolbox.models'])
DATASETS = Registry('dataset', parent=mmengine_registry.DATASETS, locations=['rstoolbox.datasets'],
                    extras={'rstoolbox.datasets.falcon': 'falcon'})
TRANSFORMS = Registry('transform', parent=mmengine_registry.TRANSFORMS, locations=['rstoolbox.datasets'])
HEADS = Registry('head', locations=['rstoolbox.heads'])
METRICS = Registry('metric', parent=mmengine_registry.METRICS, locations=['rstoolbox.evaluation'])
HOOKS = Registry('hook', parent=mmengine_registry.HOOKS, locations=['rstoolbox.engine'])
RUNNERS = Registry('runner', parent=mmengine_registry.RUNNERS, locations=['rstoolbox.engine'])
LOOPS = Registry('loop', parent=mmengine_registry.LOOPS, locations=['rstoolbox.engine'])
STAGES = Registry('stage', locations=['rstoolbox.engine'])
VISUALIZERS = Registry('visualizer', parent=mmengine_registry.VISUALIZERS, locations=['rstoolbox.visualization'])
INFERENCERS = Registry('inferencer', parent=mmengine_registry.INFERENCERS)
FUNCTIONS = Registry('function', parent=mmengine_registry.FUNCTIONS, locations=['rstoolbox.datasets'])
DATA_SAMPLERS = Registry('data sampler', parent=mmengine_registry.DATA_SAMPLERS, locations=['rstoolbox.datasets'],
                         extras={'rstoolbox.datasets.falcon': 'falcon'})
# Nothing of the toolbox is in these, but plug-ins may add to them, and without a child of this scope mmengine warns at
# every look-up.
EVALUATOR = Registry('evaluator', parent=mmengine_registry.EVALUATOR)
LOG_PROCESSORS = Registry('log_processor', parent=mmengine_registry.LOG_PROCESSORS)
MODEL_WRAPPERS = Registry('model_wrapper', parent=mmengine_registry.MODEL_WRAPPERS)
OPTIMIZERS = Registry('optimizer', parent=mmengine_registry.OPTIMIZERS)
OPTIM_WRAPPERS = Registry('optim_wrapper', parent=mmengine_registry.OPTIM_WRAPPERS)
OPTIM_WRAPPER_CONSTRUCTORS = Registry(
    'optimizer wrapper constructor', parent=mmengine_registry.OPTIM_WRAPPER_CONSTRUCTORS)
PARAM_SCHEDULERS = Registry('parameter scheduler', parent=mmengine_registry.PARAM_SCHEDULERS)
VISBACKENDS = Registry('vis_backend', parent=mmengine_registry.VISBACKENDS)
WEIGHT_INITIALIZERS = Registry('weight initializer', parent=mmengine_registry.WEIGHT_INITIALIZERS)
