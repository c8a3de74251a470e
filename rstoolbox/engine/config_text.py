"""A config as Python text."""

from pprint import pformat

from mmengine.config import Config


class ReadableConfig(Config):
    """A config whose text is made at once and keeps the order of its keys.

    mmengine's sorts the keys and is formatted by yapf, which takes longer than many a checkpoint, with each of which it
    is asked for.
    """

    @property
    def pretty_text(self):
        return config_text(self.to_dict())


def readable(cfg):
    """A :class:`ReadableConfig` with what a config, a dict or None holds."""
    values = cfg.to_dict() if isinstance(cfg, Config) else cfg
    return ReadableConfig(values, filename=getattr(cfg, 'filename', None))


def config_text(config):
    """Python text of a dict of settings, one ``key = value`` after the other, in its order."""
    return ''.join(f'{key} = {pformat(value, width=120, sort_dicts=False)}\n' for key, value in config.items())
