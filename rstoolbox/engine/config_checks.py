"""Checks of a config against the constructors that it names."""

import difflib
import inspect

from mmengine.config import Config
from mmengine.registry import Registry

from rstoolbox import registry as registries

# Taken out of the dict by mmengine before the constructor sees it.
BUILDER_KEYS = ('type', '_scope_', '_delete_', 'convert_to_iter_based', 'constructor', 'paramwise_cfg', 'priority',
                'requires_grad', 'override', 'name')


class ConfigError(ValueError):
    """A config or an override that cannot be used; the text says where and what would fit."""


def check_types(cfg):
    """Check each ``dict(type=...)`` of a resolved config against the constructor it names, before anything is built.

    Raises:
        ConfigError: A key that the constructor does not take, with the nearest argument.
    """
    for path, node in typed_nodes(cfg._cfg_dict if isinstance(cfg, Config) else cfg):
        target = find_type(node['type'])
        accepted = arguments_of(target) if target is not None else None
        if accepted is None:
            continue
        for key in node:
            if key not in accepted and key not in BUILDER_KEYS:
                near = difflib.get_close_matches(key, accepted, n=1, cutoff=0.5)
                raise ConfigError(
                    f"{node['type']} takes no argument '{key}' (at {path or 'the top'}.{key}). "
                    + (f"Did you mean '{near[0]}'?" if near else f'It takes: {", ".join(sorted(accepted))}.'))


def lasting(schedulers):
    """The parts of a schedule that last for a step or more, such as no warm-up of 0 steps.

    Raises:
        ConfigError: If one ends before it begins.
    """
    kept = []
    for place, part in enumerate(schedulers):
        begin, end = part.get('begin', 0), part.get('end')
        if end is not None and end < begin:
            raise ConfigError(f'param_scheduler.{place}: {part["type"]} begins at {begin} and ends at {end}. The '
                              'shipped configs warm up for warmup_iters of max_iters steps: make the former smaller.')
        if end is None or end > begin:
            kept.append(part)
    return kept


def find_type(name):
    """The class behind a ``type``, looked up in every registry; None where no registry knows it."""
    if not isinstance(name, str):
        return name
    for registry in vars(registries).values():
        if isinstance(registry, Registry) and name in registry:
            return Registry.get(registry, name)
    return None


def arguments_of(target):
    """The argument names of a constructor, parents' included where it passes ``**kwargs`` on; None if any name goes."""
    names = set()
    for cls in inspect.getmro(target) if inspect.isclass(target) else [target]:
        function = cls.__dict__.get('__init__') if inspect.isclass(cls) else cls
        if function is None:
            continue
        try:
            parameters = inspect.signature(function).parameters.values()
        except (TypeError, ValueError):
            return None
        names.update(p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY))
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            return names - {'self'}
    return None


def typed_nodes(node, path=''):
    """Yield path and dict of every ``dict(type=...)`` in a tree of plain values."""
    if isinstance(node, dict):
        if 'type' in node:
            yield path, node
        items = node.items()
    elif isinstance(node, (list, tuple)):
        items = enumerate(node)
    else:
        return
    for key, value in items:
        yield from typed_nodes(value, f'{path}.{key}' if path else str(key))
