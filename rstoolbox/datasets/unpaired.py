"""Student samples with the teacher samples they are matched with, which show other places."""

import copy
import hashlib
from pathlib import Path

import numpy as np
from mmengine.logging import MMLogger
from torch.utils.data import Dataset

from rstoolbox.registry import DATASETS
from rstoolbox.structures import MatchTable, nearest

from .shared import SharedInts

MATCHES = ('table', 'random')


@DATASETS.register_module()
class UnpairedSceneDataset(Dataset):
    """Every student sample, with the teacher sample that the match table names.

    An item is ``dict(inputs=dict(student=(C, H, W)[, teacher=(C', H', W')]), data_samples=DataSample)``; the data
    sample is the student's, and its meta information also holds ``teacher_id`` and ``teacher_index`` (the row in
    :attr:`teacher`, hence in a gallery of it).

    Args:
        student (dict): Config of the student's data set, a :class:`SceneDataset`.
        teacher (dict, optional): Config of the teacher's. None: no teacher, items hold the student alone.
        match_table (str | MatchTable, optional): Who is matched with whom. May also be set later.
        match (str): 'table', or 'random' for a same-class teacher sample drawn anew every epoch.
        read_teacher (bool): False leaves the teacher's images unopened, for training from a gallery.
        seed (int): For ``match='random'``.

    Raises:
        ValueError: If the class lists differ, a class has no teacher sample, or a table does not fit.
    """

    def __init__(self, student, teacher=None, match_table=None, match='table', read_teacher=True, seed=0):
        if match not in MATCHES:
            raise ValueError(f"UnpairedSceneDataset: match='{match}' is unknown, expected one of {', '.join(MATCHES)}.")
        if match_table is not None and (match == 'random' or teacher is None):
            raise ValueError("A match table is used with match='table' and a teacher data set only.")
        self.student, self.teacher = _build(student), _build(teacher)
        self.match, self.read_teacher, self.seed = match, read_teacher, int(seed)
        self._student_ids, self._meta, self._epoch = self.student.sample_ids, {}, 0
        self._rows = SharedInts(np.full(len(self._student_ids), -1))
        if self.teacher is None:
            return
        self._teacher_ids = self.teacher.sample_ids
        self._fits = _class_agreement(self.student, self.teacher)
        self._check_classes()
        if match == 'random':
            self.set_epoch(0, datasets=False)
        elif match_table is not None:
            self.set_match_table(match_table)

    def fingerprint(self):
        """Return 16 hex digits that change with either data set or with the kind of match."""
        parts = [side and side.fingerprint() for side in (self.student, self.teacher)]
        return hashlib.sha256(repr([*parts, self.match, self.seed]).encode()).hexdigest()[:16]

    @property
    def metainfo(self):
        """dict: The student's meta information, with the classes."""
        return self.student.metainfo

    @property
    def match_table(self):
        """MatchTable or None: The current matching."""
        rows = self._rows.numpy()
        if self.teacher is None or (rows < 0).any():
            return None
        return MatchTable(self._student_ids, self._teacher_ids, rows, self._meta)

    def set_match_table(self, table):
        """Change the matching in place; persistent workers see it from their next sample on.

        Args:
            table (MatchTable | str | Path): The new table or its file. Its student samples must be this data set's.

        Raises:
            ValueError: If it is of other samples, or matches samples of different classes.
        """
        if self.teacher is None:
            raise ValueError('There is no teacher data set that a match table could point to.')
        source = 'The match table'
        if isinstance(table, (str, Path)):
            source, table = f'The match table {table}', MatchTable.load(table)
        self._check_hashes(table, source)
        matches = table.matches()
        missing = [name for name in self._student_ids if name not in matches]
        if missing or len(matches) != len(self._student_ids):
            raise ValueError(f'{source} is of other samples: it matches {len(matches)} student samples, the data set '
                             f'has {len(self._student_ids)}'
                             + (f", of which {len(missing)} are not in it, the first '{missing[0]}'"
                                f'{nearest(missing[0], matches)}' if missing else '') + '. Match again.')
        places = {name: row for row, name in enumerate(self._teacher_ids)}
        unknown = [name for name in matches.values() if name not in places]
        if unknown:
            raise ValueError(f"{source} names {len(unknown)} teacher samples that the data set "
                             f"{self.teacher.data_root} (split '{self.teacher.split}') does not have, "
                             f"the first '{unknown[0]}'"
                             f'{nearest(unknown[0], places)}. Match again.')
        rows = np.array([places[matches[name]] for name in self._student_ids], np.int64)
        self._check_same_class(rows, source)
        self._meta = dict(table.meta)
        self._rows.write(rows)

    def set_epoch(self, epoch, datasets=True):
        """Choose the random numbers of this epoch, and the teacher samples if they are drawn at random."""
        self._epoch = int(epoch)
        if datasets:
            for dataset in (self.student, self.teacher):
                if dataset is not None:
                    dataset.set_epoch(epoch)
        if self.match == 'random' and self.teacher is not None:
            self._rows.write(self._draw())
            self._meta = dict(kind='random', epoch=self._epoch, student_split_hash=self.student.split_hash,
                              teacher_split_hash=self.teacher.split_hash, bands=list(self.teacher.bands),
                              matcher=f'random, seed {self.seed}')

    def get_data_info(self, idx):
        """Return the student's entry of a sample, with the id and row of its teacher sample."""
        info = self.student.get_data_info(idx)
        if self.teacher is not None:
            row = self._row(info['sample_idx'])
            info.update(teacher_index=row, teacher_id=self._teacher_ids[row])
        return info

    def __len__(self):
        return len(self._student_ids)

    def __getitem__(self, idx):
        idx = range(len(self))[idx]
        item = self.student[idx]
        sample = item['data_samples']
        meta = dict(sample_id=self._student_ids[idx])
        inputs = dict(student=item['inputs'])
        if self.teacher is not None:
            row = self._row(idx)
            meta.update(teacher_id=self._teacher_ids[row], teacher_index=row)
            if self.read_teacher:
                inputs['teacher'] = self.teacher[row]['inputs']
        sample.set_metainfo(meta)
        return dict(inputs=inputs, data_samples=sample)

    def _row(self, idx):
        row = self._rows[idx]
        if row < 0:
            raise ValueError('The student samples are not matched with teacher samples yet: call set_match_table, give '
                             "match_table in the config, or use match='random'.")
        return row

    def _draw(self):
        """Draw a same-class teacher sample for every student sample, by seed and epoch."""
        rows = np.empty(len(self), np.int64)
        generator = np.random.default_rng([self.seed, max(self._epoch, 0)])
        labels = self.student.gt_labels
        keys, groups = np.unique(labels, axis=0, return_inverse=True)
        for group, key in enumerate(keys):
            members = np.flatnonzero(groups.reshape(-1) == group)
            rows[members] = generator.choice(np.flatnonzero(self._fits(key)), len(members))
        return rows

    def _check_classes(self):
        students = self.student.gt_labels
        for key in np.unique(students, axis=0):
            if not self._fits(key).any():
                names = [self.metainfo['classes'][label] for label in _label_numbers(key)]
                raise ValueError(f"Class '{' + '.join(names)}' has student samples but no teacher sample in "
                                 f"{self.teacher.data_root} (split '{self.teacher.split}'). Add some, choose another "
                                 'split, or leave the class out with classes=.')

    def _check_same_class(self, rows, source):
        students = self.student.gt_labels
        wrong = []
        for key in np.unique(students, axis=0):
            members = np.flatnonzero((students == key).reshape(len(students), -1).all(axis=1))
            wrong += members[~self._fits(key)[rows[members]]].tolist()
        if wrong:
            first = min(wrong)
            raise ValueError(f'{source} matches {len(wrong)} student samples with a teacher sample of another class, '
                             f"the first '{self._student_ids[first]}' with '{self._teacher_ids[rows[first]]}'. "
                             'Match again.')

    def _check_hashes(self, table, source):
        """Ids decide whether a table can be used; a hash that differs says that it was made from another split."""
        for side, dataset in (('student', self.student), ('teacher', self.teacher)):
            stated = table.meta.get(f'{side}_split_hash')
            if stated is not None and stated != dataset.split_hash:
                MMLogger.get_current_instance().warning(
                    f'{source} was made from another {side} split (hash {stated}, now {dataset.split_hash}).')


def _build(dataset):
    return DATASETS.build(dataset) if isinstance(dataset, dict) else copy.copy(dataset)


def _class_agreement(student, teacher):
    """Return a function: student label -> (T,) bool, which teacher samples are of that class."""
    theirs = teacher.metainfo['classes']
    check_same_classes(student=student.metainfo['classes'], teacher=theirs)
    labels = teacher.gt_labels
    if labels.ndim == 1:
        labels = np.eye(len(theirs), dtype=np.int64)[labels]
    return lambda key: labels[:, _label_numbers(key)].any(axis=1)


def check_same_classes(**sides):
    """Raise ValueError with the classes that only one of two sides has, given by name, or that stand elsewhere."""
    (first, ours), (second, theirs) = sides.items()
    if tuple(ours) == tuple(theirs):
        return
    lines = [f'only the {side} has {", ".join(names)}' for side, names in (
        (first, sorted(set(ours) - set(theirs))), (second, sorted(set(theirs) - set(ours)))) if names]
    raise ValueError(f'{first.capitalize()} and {second} must have the same classes in the same order: '
                     + ('; '.join(lines) or f'the order differs ({", ".join(ours)} against {", ".join(theirs)})')
                     + '. Give both the same classes=, and class_map= where folders are called otherwise.')


def _label_numbers(key):
    return [int(key)] if np.ndim(key) == 0 else np.flatnonzero(key).tolist()
