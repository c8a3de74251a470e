"""Checkpoints from which training goes on as if it had never stopped, and the best weights alone."""

from pathlib import Path

from mmengine.dist import master_only
from mmengine.hooks import CheckpointHook, Hook
from mmengine.model import is_model_wrapper

from rstoolbox.models.checkpoint import load_state, save_student
from rstoolbox.registry import HOOKS


@HOOKS.register_module()
class ResumableCheckpointHook(CheckpointHook):
    """mmengine's checkpoint hook, but an epoch is saved after its validation instead of before.

    mmengine saves first and validates afterwards: killed in between, the resumed run would skip that validation and
    might miss the best epoch. Arguments are those of :class:`mmengine.hooks.CheckpointHook`; at least two
    checkpoints are kept so that one stays whole while the next is written.
    """

    def __init__(self, *args, max_keep_ckpts=2, **kwargs):
        if max_keep_ckpts == 1:
            raise ValueError('max_keep_ckpts=1 would delete the last whole checkpoint before the next is written.')
        super().__init__(*args, max_keep_ckpts=max_keep_ckpts, **kwargs)

    def after_train_epoch(self, runner):
        if not self._is_validated(runner, runner.epoch + 1):
            super().after_train_epoch(runner)

    def after_val_epoch(self, runner, metrics):
        # Without a train loop's epoch this is a plain validation, which has nothing to save.
        if not metrics or runner.epoch == 0:
            return
        self.last_ckpt = None  # else the parent writes the whole checkpoint here, and it would be written twice
        self._save_best_checkpoint(runner, metrics)
        last = runner.epoch == runner.max_epochs
        due = self.interval > 0 and runner.epoch % self.interval == 0 and runner.epoch >= self.save_begin
        if due or (self.save_last and last):
            self._save_checkpoint_with_step(runner, runner.epoch, dict(epoch=runner.epoch, iter=runner.iter))

    @staticmethod
    def _is_validated(runner, epoch):
        loop = runner.train_loop
        return runner.val_loop is not None and epoch >= loop.val_begin and (
            epoch % loop.val_interval == 0 or epoch == runner.max_epochs)


@HOOKS.register_module()
class PublishBestHook(Hook):
    """After training writes the weights of the best epoch alone, without optimizer and trainable parts of losses.

    Args:
        filename (str): Name of the file in the work dir. A distilled student's weights have the key names of a
            plain mmpretrain classifier.
    """

    priority = 'VERY_LOW'

    def __init__(self, filename='best_student.pth'):
        self.filename = filename

    @master_only
    def after_train(self, runner):
        best = runner.message_hub.get_info('best_ckpt') if 'best_ckpt' in runner.message_hub.runtime_info else None
        best = Path(best or runner.message_hub.get_info('last_ckpt'))
        if not best.is_file():  # the work dir was moved since
            best = Path(runner.work_dir) / best.name
        checkpoint = load_state(best)
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        weights = checkpoint['state_dict']
        if hasattr(model, 'student'):
            weights = {key[len('student.'):]: value for key, value in weights.items() if key.startswith('student.')}
            model = model.student
        classes = runner.train_dataloader.dataset.metainfo.get('classes', [])
        meta = dict(epoch=checkpoint['meta']['epoch'], classes=list(classes), bands=list(getattr(model, 'bands', [])),
                    config=runner.cfg.pretty_text)
        path = Path(runner.work_dir) / self.filename
        save_student(path, weights, meta)
        runner.logger.info(f'The weights of epoch {meta["epoch"]} (best by validation) are in {path}')

