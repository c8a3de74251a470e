"""Mixed precision on a CPU, which mmengine's own wrapper leaves to accelerators."""

import logging
import platform
from contextlib import contextmanager

import torch
from mmengine.device import get_device
from mmengine.logging import print_log
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS

from .config_checks import ConfigError


@OPTIM_WRAPPERS.register_module()
class CPUAmpOptimWrapper(OptimWrapper):
    """Forward passes in bfloat16, weights and updates in float32.

    Meant for CPUs that multiply bfloat16 themselves (AVX-512 BF16, AMX). It has the range of float32, so losses need no
    scaling. On an x86 CPU that emulates it a warning says that this is slower than float32. Arguments are those of
    :class:`mmengine.optim.OptimWrapper`.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        capability = torch.backends.cpu.get_cpu_capability()
        if platform.machine() in ('x86_64', 'AMD64') and not capability.startswith('AVX512'):
            print_log(f'This CPU ({capability}) cannot multiply bfloat16 itself: mixed precision is slower on it than '
                      'float32. Train without --amp.', logger='current', level=logging.WARNING)

    @contextmanager
    def optim_context(self, model):
        with super().optim_context(model), torch.autocast('cpu', torch.bfloat16):
            yield


def check_amp(optim_wrapper):
    """Raise a ConfigError where mmengine's wrapper for accelerators is to train on a CPU."""
    kind = optim_wrapper.get('type', '')  # a name, perhaps behind a scope, or the class itself
    if getattr(kind, '__name__', kind).rpartition('.')[2] == 'AmpOptimWrapper' and get_device() in ('cpu', 'mps'):
        raise ConfigError('optim_wrapper: AmpOptimWrapper trains on a GPU, and this machine has none that torch finds. '
                          'With --amp the same config trains in bfloat16 on the CPU.')
