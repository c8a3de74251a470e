"""Tuples through OmegaConf, which would make lists of them; some transforms of other packages tell the two apart."""


class Packed:
    """A tuple that OmegaConf takes for a single value."""

    def __init__(self, values):
        self.values = values


def pack_tuples(tree):
    """The same tree with every tuple of plain values as one; those with references inside have to be looked into."""
    if isinstance(tree, tuple) and _is_plain(tree):
        return Packed(tree)
    if isinstance(tree, (list, tuple)):
        return [pack_tuples(value) for value in tree]
    return {key: pack_tuples(value) for key, value in tree.items()} if isinstance(tree, dict) else tree


def unpack_tuples(tree):
    """The same tree with the tuples that :func:`pack_tuples` packed."""
    if isinstance(tree, Packed):
        return tree.values
    if isinstance(tree, list):
        return [unpack_tuples(value) for value in tree]
    return {key: unpack_tuples(value) for key, value in tree.items()} if isinstance(tree, dict) else tree


def _is_plain(value):
    if isinstance(value, tuple):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, (int, float)) or (isinstance(value, str) and '${' not in value)
