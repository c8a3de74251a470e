"""Batch statistics that are those of all processes."""

from mmengine.dist import all_reduce_params
from mmengine.hooks import SyncBuffersHook

from rstoolbox.registry import HOOKS


@HOOKS.register_module()
class SyncStatisticsHook(SyncBuffersHook):
    """Averages running means and variances over the processes at the end of an epoch and before a validation.

    mmengine's :class:`~mmengine.hooks.SyncBuffersHook` averages every buffer. Of those that are no floating-point
    numbers the mean is not what they say: the bytes by which a checkpoint knows its tokenizer overflow in their sum.
    """

    def before_val_epoch(self, runner):
        if not self.called_in_train:
            self._average(runner)
        self.called_in_train = False

    def after_train_epoch(self, runner):
        self._average(runner)
        self.called_in_train = True

    @staticmethod
    def _average(runner):
        all_reduce_params([buffer for buffer in runner.model.buffers() if buffer.is_floating_point()], op='mean')
