"""A run that is resumed goes on with the settings that its checkpoint was trained with."""

import json
import re

from .config_checks import ConfigError
from .fingerprints import COSMETIC

# They change where data lie, how long checkpoints are kept or what an answer may be, and not what is learnt.
FREE = re.compile(r"""
    (.+\.)?image_root | model\.pretrained | model\.(generation(\..+)? | constrain | gradient_checkpointing)
    | default_hooks\.checkpoint\.(interval | max_keep_ckpts)
""", re.VERBOSE)
VALIDATION = re.compile(r'val_.+')


def settings_of(config, keys):
    """What a run learns from, as a text for its checkpoints.

    Args:
        config (mmengine.config.Config): Of the run, resolved.
        keys (Sequence[str]): Keys of the config that count.

    Returns:
        str: JSON of dotted paths and the text of each value.
    """
    chooses = ((config.get('default_hooks') or {}).get('checkpoint') or {}).get('save_best') is not None
    leaves = dict(_leaves({key: config.get(key) for key in keys if chooses or not VALIDATION.fullmatch(key)}))
    return json.dumps({path: json.dumps(value, default=_named) for path, value in leaves.items()})


def check_same_settings(saved, settings, checkpoint):
    """Raise a ConfigError naming what differs between the settings of a checkpoint and those of now.

    Args:
        saved (str): What :func:`settings_of` told when the checkpoint was written.
        settings (str): What it tells now.
        checkpoint (str | Path): The file, for the message.
    """
    before, now = json.loads(saved), json.loads(settings)
    # Texts are compared, for not a number is not itself.
    differing = [f'{path} was {_shown(before, path)} and is {_shown(now, path)}'
                 for path in sorted(before.keys() | now.keys()) if before.get(path) != now.get(path)]
    if differing:
        more = f' and {len(differing) - 3} more' if len(differing) > 3 else ''
        raise ConfigError(f"'{checkpoint}' is of a run with other settings, so it cannot be resumed: "
                          f'{"; ".join(differing[:3])}{more}. Give its settings, run without --resume to start anew, '
                          'or choose another --work-dir.')


def _leaves(node, path=''):
    """Dotted path and value of each leaf that counts."""
    if isinstance(node, dict) and node:
        items = node.items()
    elif isinstance(node, (list, tuple)) and any(isinstance(part, dict) for part in node):
        items = enumerate(node)
    else:
        yield path, node
        return
    for key, value in items:
        place = f'{path}.{key}' if path else str(key)
        if not (COSMETIC.fullmatch(place) or FREE.fullmatch(place)):
            yield from _leaves(value, place)


def _shown(settings, path):
    return json.loads(settings[path]) if path in settings else 'not set'


def _named(value):
    """A class or function by its name, for its address is another in each process."""
    return getattr(value, '__qualname__', None) or str(value)
