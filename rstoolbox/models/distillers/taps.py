"""What a network puts out on its way, read by module path and brought to one form."""

import contextlib
import difflib
from collections.abc import Mapping
from functools import partial

import torch

from ..transfer.base import FORMS

DEFAULT_PATHS = dict(logits='head', embedding='neck', feats='backbone')


class FeatureTaps:
    """Forward hooks on some modules of a network.

    The outputs are ``logits`` (B, C), ``embedding`` (B, D), ``feats`` (list of (B, C_i, H_i, W_i)) and ``tokens``
    (B, N, D); the last two may come from the same path. Hooks keep nothing outside of :meth:`recording`.

    Args:
        network (nn.Module): A classifier with backbone, neck and head.
        outputs (Iterable[str]): Which outputs are wanted.
        paths (Mapping[str, str], optional): Output -> module path, for those that are not where they are in a plain
            classifier: ``logits`` at ``head``, ``embedding`` at ``neck`` (at ``backbone`` if there is no neck),
            ``feats`` at ``backbone``, ``tokens`` where ``feats`` is.
        side (str): ``student`` or ``teacher``, for messages.

    Raises:
        ValueError: If an output or a path does not exist, with the nearest that does, or ``paths`` is no such mapping.
    """

    def __init__(self, network, outputs, paths=None, side='network'):
        self.side = side
        self._seen = None
        paths = checked_paths(paths, side)
        known = {**DEFAULT_PATHS, **paths}
        if getattr(network, 'neck', None) is None and 'embedding' not in paths:
            known['embedding'] = 'backbone'
        known.setdefault('tokens', known['feats'])
        self.paths = {name: known[name] for name in sorted(outputs)}
        modules = dict(network.named_modules())
        for path in set(self.paths.values()):
            if path not in modules:
                near = difflib.get_close_matches(path, modules, n=3, cutoff=0.4) or [name for name in modules
                                                                                    if name and '.' not in name]
                raise ValueError(f"the {side} has no module '{path}' to tap; nearest: {', '.join(near)}")
            modules[path].register_forward_hook(partial(self._record, path))

    def _record(self, path, module, args, output):
        if self._seen is not None:
            self._seen[path] = output

    @contextlib.contextmanager
    def recording(self):
        """Within this context the network runs once; the mapping it gives is filled at its end.

        Raises:
            ValueError: If a tapped module did not run, or its output cannot be brought to the form of its name.
        """
        outputs, self._seen = {}, {}
        try:
            yield outputs
            outputs.update({name: self._form(name, path) for name, path in self.paths.items()})
        finally:
            self._seen = None

    def _form(self, name, path):
        if path not in self._seen:
            raise ValueError(f"the tapped module '{path}' of the {self.side} takes no part in its forward pass")
        try:
            return NORMALISERS[name](self._seen[path])
        except _WrongFormError as error:
            raise ValueError(f"the tap {name}='{path}' of the {self.side} gives {error}, expected {FORMS[name]}. Name "
                             f'another module: taps=dict({self.side}=dict({name}=...))') from None


def checked_paths(paths, side):
    """The paths of :class:`FeatureTaps` as a dict, empty for None; ValueError if they are no paths of outputs."""
    paths = {} if paths is None else paths
    if not isinstance(paths, Mapping) or not all(isinstance(text, str) for pair in paths.items() for text in pair):
        raise ValueError(f"taps of the {side} are module paths by output, as in dict(embedding='backbone.layer4'); got "
                         f'{paths!r}')
    unknown = set(paths) - set(FORMS)
    if unknown:
        raise ValueError(f'taps of the {side} name {", ".join(sorted(unknown))}; outputs are {", ".join(FORMS)}')
    return dict(paths)


def how_to_get_maps(side, network):
    """Say by which settings the backbone of a side puts out maps of up to four depths, its last among them."""
    backbone, key = network.backbone, f'{side}.backbone.'
    indices = getattr(backbone, 'out_indices', None)
    if indices is None:
        return (f'{key}features_only=True' if hasattr(backbone, 'timm_model') else
                f'another {side}.backbone, as {type(backbone).__name__} has no out_indices')
    stages = max([indices] if isinstance(indices, int) else indices) + 1
    return f'{key}out_indices={tuple(sorted({stages * part // 4 - 1 for part in range(1, 5)} - {-1}))}'


class _WrongFormError(Exception):
    """The shape of a tapped value that has no form of the wanted kind."""


def _last(value):
    """The deepest of several outputs; some heads and necks wrap theirs in a tuple or list."""
    while isinstance(value, (tuple, list)) and value:
        value = value[-1]
    if not isinstance(value, torch.Tensor):
        raise _WrongFormError(type(value).__name__)
    return value


def _matrix(value):
    """(B, D) from (B, D) or (B, D, 1, 1)."""
    value = _last(value)
    if value.ndim > 2 and value.shape[2:].numel() == 1:
        value = value.flatten(1)
    if value.ndim != 2:
        raise _WrongFormError(tuple(value.shape))
    return value


def _maps(value):
    """A list of (B, C, H, W)."""
    maps = list(value) if isinstance(value, (tuple, list)) else [value]
    for map_ in maps:
        if not isinstance(map_, torch.Tensor) or map_.ndim != 4:
            raise _WrongFormError(tuple(map_.shape) if isinstance(map_, torch.Tensor) else type(map_).__name__)
    return maps


def _tokens(value):
    """(B, N, D) from (B, N, D) or (B, D, H, W), row by row."""
    value = _last(value)
    if value.ndim == 4:
        value = value.flatten(2).transpose(1, 2)
    if value.ndim != 3:
        raise _WrongFormError(tuple(value.shape))
    return value


NORMALISERS = dict(logits=_matrix, embedding=_matrix, feats=_maps, tokens=_tokens)
