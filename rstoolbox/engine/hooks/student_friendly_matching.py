"""Student-friendly matching (SFM): the match follows the student as it learns."""

import time
from pathlib import Path

import torch
from mmengine.dist import all_gather_object
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import EpochBasedTrainLoop

from rstoolbox.models.sembridge.gallery import Gallery
from rstoolbox.models.sembridge.matching import match_by_divergence
from rstoolbox.models.sembridge.shortlist import match_in_shortlist
from rstoolbox.registry import HOOKS
from rstoolbox.structures import MatchTable, tables_in

NO_GALLERY = ("StudentFriendlyMatchingHook needs the gallery of the teacher: set model.gallery or the hook's own "
              "'gallery' to its folder, which is '${artifacts.gallery}' after the stage gallery.")


@HOOKS.register_module()
class StudentFriendlyMatchingHook(Hook):
    r"""Gives every student sample, at certain epochs, the teacher sample that is nearest to what it answers now.

    Before epoch :math:`e_t` (counted from 0) the student runs over its training images without augmentation. Each
    image is then matched with the sample of its class in the teacher's gallery that has the smallest
    :math:`\mathrm{KL}(p_T \| p_S)` at temperature ``tau`` (arXiv 2511.08901, dynamic matching). The new table is
    written to ``<work_dir>/matches/epoch_XXX.json`` and handed to the data set; on resuming the last one written
    before the checkpoint's epoch is put back.

    Args:
        start (int): First matching epoch :math:`e_0`.
        interval (int): Epochs to the second matching, :math:`\Delta_e`.
        growth (int): By how much each further interval is longer than the one before, :math:`e_\mu`.
        dataloader (dict): Config of a loader over the student's training split without augmentation.
        gallery (str, optional): Folder of the teacher's gallery. Default: the one the distiller reads from.
        shortlist (str, optional): File of the first match. Each student then chooses among the teacher samples on its
            shortlist there, which look like it, instead of among its whole class, where a few samples on which the
            teacher is unsure would be nearest to most students.
        tau (float): Temperature of both distributions. Logits of a gallery of several labels an image are compared
            class by class (:func:`~rstoolbox.models.sembridge.matching.log_probabilities`).

    Logged scalars: ``match/churn``, the share of students whose teacher sample changed, and ``match/hub_size``, the
    largest number of students that share one teacher sample.
    """

    def __init__(self, start, interval, growth, dataloader, gallery=None, shortlist=None, tau=3.):
        matching_epochs(start, interval, growth, 1)  # raises where the three do not make a schedule
        self.start, self.interval, self.growth, self.tau = start, interval, growth, tau
        self.dataloader, self.gallery, self.shortlist = dataloader, gallery, shortlist

    def check(self, config):
        """Raise a ``ValueError`` unless the config of a run names a gallery to match in."""
        if self.gallery is None and not config.model.get('gallery'):
            raise ValueError(NO_GALLERY)

    def before_train(self, runner):
        if not isinstance(runner.train_loop, EpochBasedTrainLoop):
            raise TypeError('StudentFriendlyMatchingHook re-matches between epochs, but train_cfg counts iterations: '
                            'set train_cfg=dict(by_epoch=True, max_epochs=...).')
        dataset = runner.train_dataloader.dataset
        if not hasattr(dataset, 'set_match_table'):
            raise TypeError(f'StudentFriendlyMatchingHook needs a data set whose match can be swapped '
                            f'(UnpairedSceneDataset), but train_dataloader.dataset is a {type(dataset).__name__}.')
        if dataset.match_table is None or dataset.match == 'random':
            raise ValueError('StudentFriendlyMatchingHook renews a first match: give train_dataloader.dataset a '
                             "match_table and leave match='table'.")
        model = _unwrap(runner.model)
        if isinstance(self.gallery, str):
            self.gallery = Gallery.open(self.gallery)
        self.gallery = self.gallery or getattr(model.teacher, 'gallery', None)
        if self.gallery is None:
            raise ValueError(NO_GALLERY)
        if list(self.gallery.ids) != list(dataset.teacher.sample_ids):
            raise ValueError('The gallery and the teacher data set of train_dataloader hold different samples; '
                             'build the gallery from the same split.')
        if self.shortlist is not None:
            self.shortlist = self._read_shortlist(dataset)
        self.epochs = set(matching_epochs(self.start, self.interval, self.growth, runner.max_epochs + 1))
        self.dataloader = runner.build_dataloader(self.dataloader, seed=runner.seed, diff_rank_seed=False)
        self.folder = Path(runner.work_dir) / 'matches'
        if runner.epoch > 0:
            self._restore(runner)
        else:
            self._save(runner, dataset.match_table, 0)

    def before_train_epoch(self, runner):
        if runner.epoch not in self.epochs:
            return
        begin = time.time()
        dataset = runner.train_dataloader.dataset
        ids, logits = self._student_logits(runner)
        order = {sample_id: row for row, sample_id in enumerate(ids)}
        rows = torch.tensor([order[sample_id] for sample_id in dataset.student.sample_ids])
        kind = dict(tau=self.tau, multi_label=self.gallery.labels.ndim == 2)
        if self.shortlist is not None:
            indices = match_in_shortlist(logits[rows], self.shortlist, self.gallery['logits'], **kind)
        else:
            indices = match_by_divergence(logits[rows], torch.as_tensor(dataset.student.gt_labels),
                                          self.gallery['logits'], self.gallery.labels, **kind)
        old = dataset.match_table
        meta = dict(old.meta, kind='divergence', epoch=runner.epoch, tau=self.tau)
        table = MatchTable(old.student_ids, old.teacher_ids, indices.numpy(), meta)
        dataset.set_match_table(table)
        self._save(runner, table, runner.epoch)
        runner.message_hub.update_scalar('train/match/churn', table.churn(old))
        runner.message_hub.update_scalar('train/match/hub_size', table.hub_size())
        runner.logger.info(
            f'Matched {len(ids)} student samples anew before epoch {runner.epoch + 1}: '
            f'{100 * table.churn(old):.1f} % changed, '
            f'at most {table.hub_size()} students share a teacher sample ({time.time() - begin:.1f} s)')

    @torch.no_grad()
    def _student_logits(self, runner):
        model = _unwrap(runner.model)
        model.eval()
        ids, logits = [], []
        for batch in self.dataloader:
            data = model.data_preprocessor(batch, training=False)
            inputs = data['inputs']
            logits.append(model.student(inputs, mode='tensor').float().cpu())
            ids += [sample.sample_id for sample in data['data_samples']]
        # A sampler may repeat samples to fill the last round of ranks; the later merge by id drops the repeats.
        parts = all_gather_object((ids, torch.cat(logits)))
        return [i for part, _ in parts for i in part], torch.cat([part for _, part in parts])

    def _read_shortlist(self, dataset):
        table = MatchTable.load(self.shortlist)
        if table.shortlist is None:
            raise ValueError(f'The match table {self.shortlist} holds no shortlist; run the match stage with one.')
        if (list(table.student_ids), list(table.teacher_ids)) != (dataset.student.sample_ids, list(self.gallery.ids)):
            raise ValueError(f'The shortlist in {self.shortlist} is of other samples; run the match stage anew.')
        return table.shortlist

    def _save(self, runner, table, epoch):
        if runner.rank == 0:
            self.folder.mkdir(parents=True, exist_ok=True)
            table.save(self.folder / f'epoch_{epoch:03d}.json')

    def _restore(self, runner):
        # Beside the checkpoint, which may be that of another run.
        folder = Path(runner._load_from).parent / self.folder.name
        tables = [path for path in tables_in(folder) if int(path.stem[6:]) < runner.epoch]
        if tables:
            runner.train_dataloader.dataset.set_match_table(MatchTable.load(tables[-1]))
            runner.logger.info(f'The match is that of {tables[-1]}')


def matching_epochs(start, interval, growth, num):
    r"""The first ``num`` matching epochs, :math:`e_t = e_0 + \sum_{i=1}^{t} (\Delta_e + e_\mu (i - 1))`.

    Args:
        start (int): :math:`e_0 \ge 0`.
        interval (int): :math:`\Delta_e \ge 1`.
        growth (int): :math:`e_\mu \ge 0`.
        num (int): How many epochs to return.

    Returns:
        list[int]: Ascending epochs, e.g. ``matching_epochs(30, 30, 5, 4) == [30, 60, 95, 135]``.
    """
    if start < 0 or interval < 1 or growth < 0:
        raise ValueError(f'A matching schedule needs start >= 0, interval >= 1 and growth >= 0, '
                         f'but got start={start}, interval={interval}, growth={growth}.')
    epochs = [start]
    while len(epochs) < num:
        epochs.append(epochs[-1] + interval + growth * (len(epochs) - 1))
    return epochs[:num]


def _unwrap(model):
    return model.module if is_model_wrapper(model) else model
