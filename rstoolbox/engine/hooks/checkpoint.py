"""Checkpoints from which training goes on as if it had never stopped, and the best weights alone."""

from pathlib import Path

from mmengine.dist import is_main_process, master_only
from mmengine.hooks import CheckpointHook, Hook
from mmengine.model import is_model_wrapper

from rstoolbox.models.checkpoint import load_state, save_student
from rstoolbox.registry import HOOKS


@HOOKS.register_module()
class ResumableCheckpointHook(CheckpointHook):
    """mmengine's checkpoint hook, but an epoch is saved after its validation instead of before.

    mmengine saves first and validates afterwards: killed in between, the resumed run would skip that validation and
    might miss the best epoch. The best epoch so far is deleted once a checkpoint that knows the new best is whole;
    mmengine deletes it before it writes the new one. Arguments are those of :class:`mmengine.hooks.CheckpointHook`; at
    least two checkpoints are kept so that one stays whole while the next is written.
    """

    def __init__(self, *args, max_keep_ckpts=2, **kwargs):
        if max_keep_ckpts == 1:
            raise ValueError('max_keep_ckpts=1 would delete the last whole checkpoint before the next is written.')
        super().__init__(*args, max_keep_ckpts=max_keep_ckpts, **kwargs)
        self._superseded = set()

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

    def _save_best_checkpoint(self, runner, metrics):
        if not self.save_best:
            return
        old = self._best
        self._best = dict.fromkeys(old)  # the parent deletes what it knows of
        super()._save_best_checkpoint(runner, metrics)
        new = self._best
        self._superseded |= {Path(old[key]).name for key in old if old[key] and new[key]}
        self._best = {key: new[key] or old[key] for key in old}

    def _save_checkpoint_with_step(self, runner, step, meta):
        super()._save_checkpoint_with_step(runner, step, meta)
        if self._superseded and is_main_process():
            kept = {Path(path).name for path in self._best.values() if path}
            for name in self._superseded - kept:  # in this folder alone: the run may go on from a checkpoint of another
                (Path(self.out_dir) / name).unlink(missing_ok=True)
        self._superseded = set()

    @property
    def _best(self):
        single = len(self.key_indicators) == 1
        return dict(best=self.best_ckpt_path) if single else dict(self.best_ckpt_path_dict)

    @_best.setter
    def _best(self, paths):
        if len(self.key_indicators) == 1:
            self.best_ckpt_path = paths['best']
        else:
            self.best_ckpt_path_dict = paths

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
        best, how = self._find_best(runner)
        checkpoint = load_state(best)
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        weights = checkpoint['state_dict']
        if hasattr(model, 'student'):
            weights = {key[len('student.'):]: value for key, value in weights.items() if key.startswith('student.')}
            model = model.student
        classes = getattr(runner.train_dataloader.dataset, 'metainfo', {}).get('classes', [])
        epoch, iterations = checkpoint['meta']['epoch'], checkpoint['meta']['iter']
        meta = dict(epoch=epoch, iter=iterations, classes=list(classes), bands=list(getattr(model, 'bands', [])),
                    config=runner.cfg.pretty_text)
        path = Path(runner.work_dir) / self.filename
        save_student(path, weights, meta)
        # Of training by iterations, epochs of an endless loader are all the first.
        place = f'epoch {epoch}' if epoch else f'iteration {iterations}'
        runner.logger.info(f'The weights of {place} ({how}) are in {path}')

    @staticmethod
    def _find_best(runner):
        """The checkpoint to publish, and what makes it the one."""
        known = runner.message_hub.runtime_info
        for key, how in (('best_ckpt', 'best by validation'), ('last_ckpt', 'the last one')):
            if key not in known:
                continue
            recorded = Path(runner.message_hub.get_info(key))
            # By name in the work dir, which may have been moved or copied, first. The recorded place is right where the
            # run goes on from a checkpoint of another work dir.
            for path in (Path(runner.work_dir) / recorded.name, recorded):
                if path.is_file():
                    return path, how
            runner.logger.warning(f'{recorded} ({how}) is gone')
        raise FileNotFoundError(f'There is no checkpoint in {runner.work_dir} to publish: neither the best nor the '
                                'last is left. Train anew without --resume.')

