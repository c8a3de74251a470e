"""Checkpoints that are data and nothing else: loading one never runs code that it carries.

PyTorch's restricted loader takes tensors and plain containers. A checkpoint of mmengine's runner holds a little more:
log histories and numpy scalars. Those are let through one by one; anything else is refused. mmengine itself falls back
to an unrestricted load where the restricted one fails, so its loader of local files is replaced on import.
"""

import io
import pickle
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from mmengine.logging.history_buffer import HistoryBuffer
from mmengine.runner import CheckpointLoader

from rstoolbox.structures.files import write_whole

STATISTICS = ('min', 'max', 'current', 'mean')


class CheckpointError(ValueError):
    """A file that cannot be used as a checkpoint; the message says why and what to do."""


def load_state(path, map_location='cpu'):
    """Load a checkpoint without running any code in it.

    Args:
        path (str | Path): A local file.
        map_location (str | torch.device | Callable): As for ``torch.load``.

    Returns:
        dict: What was saved: usually ``state_dict`` and ``meta``, or a bare state dict.

    Raises:
        FileNotFoundError: If there is no such file.
        CheckpointError: If the file is corrupt, is no checkpoint, or holds anything but data.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"no checkpoint at '{path}'")
    return _load(path, path, map_location)


def save_student(path, state_dict, meta):
    """Save a network's weights for use elsewhere: plain mmpretrain loads the file with its own classes.

    The file appears whole or not at all.

    Args:
        path (str | Path): Where to; missing folders are made.
        state_dict (Mapping[str, Tensor]): The network's state dict.
        meta (Mapping): Plain data about it, such as ``bands`` and ``classes``.

    Raises:
        CheckpointError: If ``meta`` holds something that :func:`load_state` would refuse.
        OSError: If it cannot be written; on a full disk the text says so.
    """
    state_dict = {name: tensor.detach().cpu() for name, tensor in state_dict.items()}
    # In memory first: torch's own writer of files says of a full disk no more than that it is at another position.
    content = io.BytesIO()
    torch.save(dict(state_dict=state_dict, meta=dict(meta)), content)
    content.seek(0)
    _load(content, path, 'cpu')
    write_whole(content.getbuffer(), path)


def weights_of(checkpoint, path):
    """The state dict in what :func:`load_state` read from ``path``, without the prefix that a parallel wrapper leaves.

    Raises:
        CheckpointError: If it holds anything but tensors by name.
    """
    state_dict = checkpoint.get('state_dict', checkpoint)
    for name, value in state_dict.items():
        # Beside its tensors a module may save a state of any kind, which torch calls so.
        if not isinstance(name, str) or not (isinstance(value, torch.Tensor) or name.endswith('_extra_state')):
            raise CheckpointError(f"'{path}' holds {name!r} of type {type(value).__name__}, expected tensors by name: "
                                  "a checkpoint is a mapping with 'state_dict', or a state dict")
    return {name.removeprefix('module.'): value for name, value in state_dict.items()}


def check_weights(state_dict, path, role='model'):
    """Refuse weights that are NaN or infinite, with which a network would answer anything.

    Args:
        state_dict (Mapping[str, Tensor]): Of :func:`weights_of`.
        path (str | Path): Where they are from, for the message.
        role (str): What messages call the network, such as 'teacher'.

    Raises:
        CheckpointError: With the name of the first.
    """
    spoilt = next((name for name, value in state_dict.items()
                   if value.is_floating_point() and not value.isfinite().all()), None)
    if spoilt:
        raise CheckpointError(f"the {role} in '{path}' has weights that are NaN or infinite (first: {spoilt}): its "
                              'training went astray. Train it again, or give a checkpoint of an earlier epoch')


def safe_globals():
    """What a checkpoint may name beside tensors: arrays of plain numbers and mmengine's log histories."""
    multiarray = (np._core if hasattr(np, '_core') else np.core).multiarray
    allowed = [HistoryBuffer, np.ndarray, np.dtype, (_statistic, 'builtins.getattr')]
    for function in (multiarray._reconstruct, multiarray.scalar):
        # numpy 1 and 2 name the module differently; either may have written the file.
        allowed += [(function, f'numpy.{package}.multiarray.{function.__name__}') for package in ('core', '_core')]
    return allowed + sorted({type(np.dtype(code)) for code in '?bhilqBHILQefd'}, key=str)


def _load(source, path, map_location):
    try:
        with torch.serialization.safe_globals(safe_globals()):
            checkpoint = torch.load(source, map_location=map_location, weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(_explain(path, error)) from error
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # the bytes of a damaged file stop the reader in any way there is
        reason = f'{type(error).__name__}: {_first_line(error)}'
        raise CheckpointError(f"'{path}' is damaged or not a checkpoint ({reason}). Copy or train it again") from error
    if not isinstance(checkpoint, Mapping):
        raise CheckpointError(f"'{path}' holds a {type(checkpoint).__name__}; a checkpoint is a mapping with "
                              "'state_dict', or a state dict")
    for key, kinds in (('state_dict', Mapping), ('meta', (Mapping, type(None)))):
        if not isinstance(checkpoint.get(key, {}), kinds):
            raise CheckpointError(f"'{path}' holds '{key}' of type {type(checkpoint[key]).__name__}, expected a "
                                  'mapping. Copy or train it again')
    return checkpoint


def _statistic(owner, name):
    """Stand-in for ``getattr`` while loading: a log history refers to its own four methods by it, and to no more."""
    if owner is not HistoryBuffer or name not in STATISTICS:
        raise pickle.UnpicklingError(f'GLOBAL builtins.getattr is refused for {name!r} of {owner!r}')
    return getattr(owner, name)


def _explain(path, error):
    named = re.search(r'GLOBAL (\S+)', str(error))
    if named:
        return (f"'{path}' holds more than data: it names '{named[1]}', which could run code on loading. Nothing of it "
                'was run. Load it only if you made it yourself, and save its weights alone: '
                "torch.save(dict(state_dict=model.state_dict()), 'weights.pth')")
    return f"'{path}' is damaged or not a checkpoint ({_first_line(error)}). Copy or train it again"


def _first_line(error):
    return next(iter(str(error).splitlines()), '')


@CheckpointLoader.register_scheme(prefixes='', force=True)
def load_from_local(filename, map_location=None):
    """Load local files for mmengine, restricted to data; see :func:`load_state`."""
    return load_state(filename, map_location)
