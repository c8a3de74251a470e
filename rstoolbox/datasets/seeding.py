"""Random numbers that depend on the sample and the epoch only, not on which process draws them."""

import random
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def seeded(*key):
    """Seed Python's, NumPy's and PyTorch's (CPU) generators with ``key``, and restore them afterwards.

    Restoring keeps the model's random numbers (dropout) apart from those of the data when both share a process.

    Args:
        key (int): Non-negative numbers, e.g. seed, epoch and index.
    """
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    seed = int(np.random.SeedSequence(key).generate_state(1)[0])
    random.seed(seed)
    np.random.seed(seed)
    # Not torch.manual_seed, which would seed the accelerators too.
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])
