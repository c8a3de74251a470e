"""Dicts that inherit another dict of the config by reference, once every base and every override is in.

``backbone=dict(_inherit_='${nets.${student_net}.backbone}', frozen_stages=1)`` is what the reference stands for, with
``frozen_stages`` set. A plain reference stands for the very same thing in all places; here each place has keys of its
own, which a child config or an override adds to.
"""

from mmengine.config import Config
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

INHERIT = '_inherit_'


def plain(node):
    """What stands under a node of OmegaConf's, without references and inheritance."""
    return merge_inherited(OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node)


def merge_inherited(tree):
    """The same tree, without references, in which every dict with ``_inherit_`` holds what it inherits and its own."""
    if isinstance(tree, (list, tuple)):  # some transforms of other packages tell the two apart
        return type(tree)(merge_inherited(value) for value in tree)
    if not isinstance(tree, dict):
        return tree
    own = {key: merge_inherited(value) for key, value in tree.items()}
    inherited = own.pop(INHERIT, {})
    return Config._merge_a_into_b(own, inherited) if inherited else own


def with_inherited(cfg, node):
    """A dict of an unresolved config with the keys that it inherits; those of a reference to nothing are none."""
    if not isinstance(node, dict) or INHERIT not in node:
        return node
    tree = OmegaConf.create({**cfg.to_dict(), INHERIT: node[INHERIT]}, flags=dict(allow_objects=True))
    try:
        inherited = OmegaConf.to_container(tree[INHERIT], resolve=False)
    except OmegaConfBaseException:
        return node
    return _merged(with_inherited(cfg, inherited), node)


def _merged(inherited, own):
    """Both dicts in one, and the dicts within them; elsewhere its own value counts."""
    return {**inherited, **{key: _merged(inherited[key], value) if isinstance(value, dict)
                            and isinstance(inherited.get(key), dict) else value for key, value in own.items()}}
