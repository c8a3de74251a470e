"""Every epoch starts from a seed of its own, so that a resumed run equals an unbroken one."""

import random

import numpy as np
import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook

from rstoolbox.registry import HOOKS


@HOOKS.register_module()
class ReproducibleEpochsHook(Hook):
    """Reseeds Python, NumPy and torch at the start of each epoch and tells the data set the epoch's number.

    A checkpoint holds no random state. With the state derived from (seed, epoch, rank) none is needed: dropout in
    the model and augmentation in the workers come out the same whether or not the run was interrupted before.
    """

    priority = 'VERY_HIGH'

    def before_train_epoch(self, runner):
        seed = np.random.SeedSequence([runner.seed, runner.epoch, get_rank()]).generate_state(1)[0]
        random.seed(int(seed))
        np.random.seed(seed)
        torch.manual_seed(int(seed))
        dataset = runner.train_dataloader.dataset
        if hasattr(dataset, 'set_epoch'):
            dataset.set_epoch(runner.epoch)
