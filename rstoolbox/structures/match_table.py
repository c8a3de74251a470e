"""The match table: which teacher sample every student sample learns from."""

import json
from pathlib import Path
from types import MappingProxyType

import numpy as np

from .files import write_json

KINDS = ('similarity', 'divergence', 'random')


class MatchTable:
    """For every student sample the teacher sample of the same class that it is matched with.

    Immutable: a new matching is a new table. Saved as JSON, so that a run can be replayed from its tables.

    Args:
        student_ids (Sequence[str]): Ids of the student's S training samples, no id twice.
        teacher_ids (Sequence[str]): Ids of the T samples to choose from, no id twice.
        indices (Sequence[int]): (S,) positions in ``teacher_ids``; many students may share one teacher sample.
        meta (dict, optional): Where the matching comes from: ``student_split_hash``, ``teacher_split_hash``,
            ``bands``, ``matcher``, ``epoch`` and ``kind`` ('similarity', 'divergence' or 'random'). Must fit in JSON.
        shortlist (array-like, optional): (S, K) positions in ``teacher_ids``, nearest first, for later matchings.

    Raises:
        ValueError: If an id stands twice, the number of indices is not S or an index is outside ``teacher_ids``.
    """

    def __init__(self, student_ids, teacher_ids, indices, meta=None, shortlist=None):
        self._student_ids = tuple(student_ids)
        self._teacher_ids = tuple(teacher_ids)
        self._indices = np.array(indices).reshape(-1)
        self._meta = MappingProxyType(dict(meta or {}))
        self._shortlist = None if shortlist is None else np.array(shortlist, np.int64)
        self._check()
        self._indices = self._indices.astype(np.int64)
        self._indices.flags.writeable = False

    student_ids = property(lambda self: self._student_ids, doc='tuple[str]: Ids of the S student samples.')
    teacher_ids = property(lambda self: self._teacher_ids, doc='tuple[str]: Ids of the T teacher samples.')
    indices = property(lambda self: self._indices, doc='np.ndarray: (S,) int64, read-only, into ``teacher_ids``.')
    shortlist = property(lambda self: self._shortlist, doc='np.ndarray or None: (S, K) int64 into ``teacher_ids``.')
    meta = property(lambda self: self._meta, doc='Mapping: Where the matching comes from.')

    def __len__(self):
        return len(self._student_ids)

    def __eq__(self, other):
        return (isinstance(other, MatchTable) and self._student_ids == other._student_ids
                and self._teacher_ids == other._teacher_ids and np.array_equal(self._indices, other._indices)
                and self._meta == other._meta and np.array_equal(self._shortlist, other._shortlist))

    __hash__ = None

    def __repr__(self):
        return (f'MatchTable({len(self)} student samples, {len(set(self._indices.tolist()))} of '
                f'{len(self._teacher_ids)} teacher samples used, meta={dict(self._meta)})')

    def matches(self):
        """Return the matching as a dict of student id -> teacher id."""
        return {student: self._teacher_ids[index] for student, index in zip(self._student_ids, self._indices)}

    def churn(self, other):
        """Return the share, 0 to 1, of this table's student samples whose teacher sample differs in ``other``.

        Raises:
            ValueError: If the two tables do not hold the same student samples.
        """
        ours, theirs = self.matches(), other.matches()
        if ours.keys() != theirs.keys():
            alone = sorted(ours.keys() ^ theirs.keys())
            raise ValueError(f'Churn compares two tables of the same student samples, but {len(alone)} stand in one '
                             f"table only, the first '{alone[0]}'.")
        return sum(ours[student] != theirs[student] for student in ours) / max(len(ours), 1)

    def hub_size(self):
        """Return the largest number of student samples that share one teacher sample."""
        return int(np.bincount(self._indices).max()) if len(self) else 0

    def save(self, path):
        """Write the table as JSON, through a temporary file so that no half-written table can remain."""
        write_json(dict(student_ids=self._student_ids, teacher_ids=self._teacher_ids,
                       indices=self._indices.tolist(), meta=dict(self._meta),
                       shortlist=None if self._shortlist is None else self._shortlist.tolist()), path)

    @classmethod
    def load(cls, path):
        """Read a table written by :meth:`save`.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If the file is not a whole match table.
        """
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f'There is no match table at {path}.')
        try:
            content = json.loads(path.read_text(encoding='utf-8'))
        except ValueError as error:
            raise ValueError(f'{path} is not a match table: it does not hold valid JSON ({error}).') from None
        keys = ('student_ids', 'teacher_ids', 'indices', 'meta')
        missing = [key for key in keys if not isinstance(content, dict) or key not in content]
        if missing:
            raise ValueError(f'{path} is not a match table: {", ".join(missing)} missing, expected {", ".join(keys)}.')
        try:
            return cls(**{key: content[key] for key in keys}, shortlist=content.get('shortlist'))
        except (TypeError, ValueError) as error:
            raise ValueError(f'{path} is not a sound match table: {error}') from None

    def _check(self):
        for side, ids in (('student', self._student_ids), ('teacher', self._teacher_ids)):
            if not all(isinstance(name, str) for name in ids):
                raise ValueError(f'The {side} ids of a match table are strings, got {ids[:3]}.')
            if len(set(ids)) != len(ids):
                twice = next(name for position, name in enumerate(ids) if name in ids[:position])
                raise ValueError(f"The {side} id '{twice}' stands twice in the match table.")
        if len(self._indices) != len(self._student_ids):
            raise ValueError(f'A match table needs one index per student sample: got {len(self._indices)} indices '
                             f'for {len(self._student_ids)} samples.')
        if self._shortlist is not None:
            teachers, shape = len(self._teacher_ids), self._shortlist.shape
            inside = ((self._shortlist >= 0) & (self._shortlist < teachers)).all()
            if len(shape) != 2 or shape[0] != len(self._student_ids) or not inside:
                raise ValueError(f'The shortlist of a match table is (S, K) numbers of teachers, 0 to {teachers - 1}, '
                                 f'for its {len(self._student_ids)} student samples; got shape {shape}.')
        if len(self._indices) == 0:
            return
        if not np.issubdtype(self._indices.dtype, np.integer):
            raise ValueError(f'The indices of a match table are integers, got {self._indices.dtype}.')
        outside = (self._indices < 0) | (self._indices >= len(self._teacher_ids))
        if outside.any():
            position = int(np.flatnonzero(outside)[0])
            raise ValueError(f"Student sample '{self._student_ids[position]}' is matched with teacher no. "
                             f'{self._indices[position]}, but there are {len(self._teacher_ids)} (0 to '
                             f'{len(self._teacher_ids) - 1}).')
        if self._meta.get('kind', KINDS[0]) not in KINDS:
            raise ValueError(f"Kind '{self._meta['kind']}' of a match table is unknown, expected one of {KINDS}.")


def tables_in(folder):
    """The files ``epoch_<number>.json`` in the folder ``matches`` of a run, from the first epoch to the last.

    Args:
        folder (str | Path): Where they are; it need not be there.

    Returns:
        list[Path]: By number, as names no longer sort that way from epoch 1000 on.
    """
    return sorted(Path(folder).glob('epoch_*.json'), key=lambda path: int(path.stem.removeprefix('epoch_')))
