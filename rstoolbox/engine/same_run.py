"""A run that is resumed goes on with the settings that it was begun with."""

import json
import re
from pathlib import Path

from mmengine.dist import is_main_process

from rstoolbox.structures import write_json

from .config_checks import ConfigError
from .fingerprints import COSMETIC

FILE = 'settings.json'  # in the work dir
# Validation of a single run chooses nothing, and these change what it needs, not what is learnt.
FREE = re.compile(r'val_.+|model\.(generation(\..+)?|constrain|gradient_checkpointing)')


def check_same_run(config, keys, work_dir, checkpoint=None):
    """Keep the settings of a run in its work dir, or compare them with those of the run that goes on.

    Args:
        config (mmengine.config.Config): Of the run, resolved.
        keys (Sequence[str]): Keys of the config that what is learnt depends on.
        work_dir (str | Path): Of the run.
        checkpoint (str | Path, optional): What it goes on from; settings beside it count.

    Raises:
        ConfigError: Naming the settings that differ.
    """
    settings = json.loads(json.dumps(dict(_flat({key: config.get(key) for key in keys})), default=str))
    kept = Path(checkpoint).parent / FILE if checkpoint else None
    if kept and kept.is_file():
        before = json.loads(kept.read_text())
        differing = [f'{key} was {before.get(key)} and is {settings.get(key)}'
                     for key in sorted(before.keys() | settings.keys()) if before.get(key) != settings.get(key)]
        if differing:
            more = f' and {len(differing) - 3} more' if len(differing) > 3 else ''
            raise ConfigError(f'{kept.parent} holds a run of this model with other settings, so it cannot be resumed: '
                              f'{"; ".join(differing[:3])}{more}. Give its settings, run without --resume to start '
                              'anew, or choose another --work-dir.')
    if is_main_process():
        write_json(settings, Path(work_dir) / FILE)


def _flat(node, path=''):
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
            yield from _flat(value, place)
