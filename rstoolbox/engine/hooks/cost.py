"""What a training costs: time, memory and the parameters that its losses add."""

import os
import resource
import time
from pathlib import Path

import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper

from rstoolbox.registry import HOOKS
from rstoolbox.structures import write_json

MIB = 2 ** 20
FORGET, STATUS = Path('/proc/self/clear_refs'), Path('/proc/self/status')
SECONDS = 'epoch_seconds'  # kept in the message hub, which travels in the checkpoints


@HOOKS.register_module()
class CostHook(Hook):
    """Writes ``cost.json`` to the work dir after training.

    It holds ``seconds_per_epoch``, the mean over all epochs of a training epoch with what the other hooks do before it
    (a re-match, say), without validation and checkpoints; ``extra_parameters``, the trainable parameters of the
    transfer losses; ``peak_memory_mib``, the most that this process held of its GPU, or of the machine's memory where
    it has none, since this training began. A resumed run counts the epochs before the interruption too.
    """

    priority = 'VERY_HIGH'

    def before_train(self, runner):
        forget_peak_memory()  # of the stages that were trained in this process before

    def before_train_epoch(self, runner):
        self.begin = time.perf_counter()

    def after_train_epoch(self, runner):
        before = runner.message_hub.get_info(SECONDS, [])
        runner.message_hub.update_info(SECONDS, [*before, time.perf_counter() - self.begin])

    def after_train(self, runner):
        if not is_main_process():
            return
        seconds = runner.message_hub.get_info(SECONDS, [])
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        losses = getattr(model, 'transfer_losses', torch.nn.Module())
        write_json(dict(seconds_per_epoch=sum(seconds) / len(seconds) if seconds else None,
                        extra_parameters=sum(value.numel() for value in losses.parameters() if value.requires_grad),
                        peak_memory_mib=round(peak_memory() / MIB, 1)), Path(runner.work_dir) / 'cost.json')


def forget_peak_memory():
    """Count the most anew: on a GPU, or on Linux in the machine's memory."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    elif _can_forget():
        FORGET.write_text('5')


def peak_memory():
    """The most bytes that this process held of its GPU, or of the machine's memory where it has none, since it forgot.

    Where the system tells no other, the most since the process began.
    """
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    if _can_forget():
        line = next(line for line in STATUS.read_text().splitlines() if line.startswith('VmHWM:'))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _can_forget():
    return os.access(FORGET, os.W_OK)
