"""Mixed precision on a CPU, which mmengine's own wrapper leaves to accelerators."""

from contextlib import contextmanager

import torch
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS


@OPTIM_WRAPPERS.register_module()
class CPUAmpOptimWrapper(OptimWrapper):
    """Forward passes in bfloat16, weights and updates in float32.

    Meant for CPUs that multiply bfloat16 themselves (AVX-512 BF16, AMX). It has the range of float32, so losses need no
    scaling. Arguments are those of :class:`mmengine.optim.OptimWrapper`.
    """

    @contextmanager
    def optim_context(self, model):
        with super().optim_context(model), torch.autocast('cpu', torch.bfloat16):
            yield
