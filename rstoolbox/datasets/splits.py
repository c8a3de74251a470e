"""Splits of a data set into train, val and test: seeded, the same on every machine, saved with a hash."""

import hashlib
import json
from collections import Counter
from pathlib import Path

import numpy as np

from rstoolbox.structures import write_json

PARTS = ('train', 'val', 'test')


class Split:
    """Which sample is for training, validation and test.

    Args:
        train, val, test (Sequence[str]): Sample ids (posix paths relative to the data root).
        meta (dict, optional): How the split was made; must fit in JSON.

    Raises:
        ValueError: If a sample stands in two parts or twice in one.
    """

    def __init__(self, train, val, test, meta=None):
        self.train, self.val, self.test = tuple(sorted(train)), tuple(sorted(val)), tuple(sorted(test))
        self.meta = dict(meta or {})
        counts = Counter(self.all)
        twice = sorted(name for name, count in counts.items() if count > 1)
        if twice:
            where = [part for part in PARTS if twice[0] in getattr(self, part)]
            raise ValueError(f"The parts of a split must not overlap, but {len(twice)} samples stand twice, the first "
                             f"'{twice[0]}' in {' and '.join(where)}.")

    @property
    def all(self):
        """tuple[str]: Every sample id of the three parts."""
        return self.train + self.val + self.test

    @property
    def hash(self):
        """str: 16 hex digits that change with any sample of any part."""
        return ids_hash(f'{part}:{name}' for part in PARTS for name in getattr(self, part))

    def part(self, name):
        """Return the ids of 'train', 'val', 'test' or 'all'."""
        if name not in (*PARTS, 'all'):
            raise ValueError(f"There is no split '{name}', expected one of {', '.join((*PARTS, 'all'))}.")
        return getattr(self, name)

    @property
    def folders(self):
        """set[str]: Folders that the samples lie in (posix paths relative to the data root)."""
        return {name.rpartition('/')[0] for name in self.all}

    def without(self, folders):
        """Return the split of the samples that lie in none of these folders."""
        return Split(*([name for name in getattr(self, part) if name.rpartition('/')[0] not in folders]
                       for part in PARTS), meta=self.meta)

    def check_fits(self, sample_ids, source):
        """Check that the split holds exactly the samples there are; ValueError naming ``source`` otherwise."""
        ours, theirs = set(self.all), set(sample_ids)
        gone, new = sorted(ours - theirs), sorted(theirs - ours)
        if gone or new:
            parts = []
            if gone:
                parts.append(f"{len(gone)} of its samples are not in the folder, the first '{gone[0]}'")
            if new:
                parts.append(f"{len(new)} samples of the folder are not in it, the first '{new[0]}'")
            raise ValueError(f'{source} no longer fits the data: {"; ".join(parts)}. Bring the data back or make a new '
                             'split with tools/dataset_converters/make_splits.py.')

    def save(self, path):
        """Write the split as JSON, through a temporary file so that no half-written split can remain."""
        write_json(dict(hash=self.hash, meta=self.meta, **{part: list(getattr(self, part)) for part in PARTS}), path)

    @classmethod
    def load(cls, path):
        """Read a split written by :meth:`save`.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If it is not a split file, its parts overlap or it was changed by hand (hash).
        """
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f'There is no split file at {path}. Make it with '
                                    'tools/dataset_converters/make_splits.py.')
        try:
            content = json.loads(path.read_text(encoding='utf-8'))
        except ValueError as error:
            raise ValueError(f'{path} is not a split file: it does not hold valid JSON ({error}).') from None
        missing = [key for key in (*PARTS, 'hash') if not isinstance(content, dict) or key not in content]
        if missing:
            raise ValueError(f'{path} is not a split file: {", ".join(missing)} missing.')
        for part in PARTS:
            if not isinstance(content[part], list) or not all(isinstance(name, str) for name in content[part]):
                raise ValueError(f'{path} is not a split file: {part} should be a list of sample ids.')
        if not isinstance(content.get('meta') or {}, dict):
            raise ValueError(f'{path} is not a split file: meta should be a mapping, not {content["meta"]!r}.')
        try:
            split = cls(*(content[part] for part in PARTS), meta=content.get('meta'))
        except ValueError as error:
            raise ValueError(f'{path}: {error}') from None
        if split.hash != content['hash']:
            raise ValueError(f'{path} was changed after it was made: its hash is {content["hash"]}, its content gives '
                             f'{split.hash}. Make it again with tools/dataset_converters/make_splits.py.')
        return split


def make_split(sample_ids, strata, ratio=(0.6, 0.2, 0.2), seed=0, groups=None):
    """Split samples so that every stratum (class) is shared out by the ratio, as far as whole samples allow.

    No random generator is used: samples are ordered by the hash of seed and id, so that the result depends neither on
    the order of the ids nor on the machine or a library's version.

    Args:
        sample_ids (Sequence[str]): N ids, none twice.
        strata (Sequence[Hashable]): (N,) class of each sample.
        ratio (Sequence[float]): Shares of train, val and test; sum 1.
        seed (int): Another seed gives another split.
        groups (Sequence[Hashable], optional): (N,) samples of one group (e.g. one place) come into the same part;
            classes are then balanced as well as whole groups allow.

    Returns:
        Split: With ``ratio``, ``seed`` and ``grouped`` in its meta.

    Raises:
        ValueError: If the ratio is not three non-negative shares of sum 1 or the lengths differ.
    """
    try:
        shares = tuple(float(share) for share in ratio)
    except (TypeError, ValueError):
        shares = ()
    if len(shares) != 3 or min(shares) < 0 or not abs(sum(shares) - 1) <= 1e-6:
        raise ValueError(f'The ratio of a split is three shares (train, val, test) of sum 1, got {ratio!r}.')
    if len(strata) != len(sample_ids) or (groups is not None and len(groups) != len(sample_ids)):
        raise ValueError(f'A split needs one stratum (and group) per sample: {len(sample_ids)} samples, {len(strata)} '
                         f'strata' + ('.' if groups is None else f', {len(groups)} groups.'))
    assign = _by_sample if groups is None else _by_group
    parts = assign(list(sample_ids), list(strata), shares, seed, groups)
    return Split(*parts, meta=dict(ratio=list(shares), seed=seed, grouped=groups is not None))


def ids_hash(ids):
    """Return 16 hex digits of the SHA-256 over the ids, in the order given."""
    return hashlib.sha256('\n'.join(ids).encode()).hexdigest()[:16]


def seeded_place(seed, name):
    """A key that puts names in a random order, the same on every machine."""
    return hashlib.sha256(f'{seed}:{name}'.encode()).digest()


def _by_sample(sample_ids, strata, ratio, seed, groups):
    parts = ([], [], [])
    members = {}
    for name, stratum in zip(sample_ids, strata):
        members.setdefault(stratum, []).append(name)
    for names in members.values():
        names.sort(key=lambda name: seeded_place(seed, name))
        # Rounded borders: every part gets its share to within one sample, and nothing is left over.
        first, second = (round(len(names) * share) for share in (ratio[0], ratio[0] + ratio[1]))
        for part, chosen in zip(parts, (names[:first], names[first:second], names[second:])):
            part.extend(chosen)
    return parts


def _by_group(sample_ids, strata, ratio, seed, groups):
    """Largest groups first, each into the part that it brings nearest to its share of every class."""
    classes = {stratum: index for index, stratum in enumerate(dict.fromkeys(strata))}
    members, counts = {}, {}
    for name, stratum, group in zip(sample_ids, strata, groups):
        members.setdefault(group, []).append(name)
        counts.setdefault(group, np.zeros(len(classes)))[classes[stratum]] += 1
    total = sum(counts.values(), np.zeros(len(classes)))
    target = np.outer(ratio, total)
    filled, parts = np.zeros_like(target), ([], [], [])
    for group in sorted(members, key=lambda group: (-len(members[group]), seeded_place(seed, group))):
        # The change of the squared distance to the target, relative to the size of part and class: a part without a
        # share gets nothing, and rare classes count as much as common ones.
        change = (((filled + counts[group] - target) ** 2 - (filled - target) ** 2)
                  / np.maximum(target, 1e-9)).sum(axis=1)
        part = int(np.argmin(change))
        filled[part] += counts[group]
        parts[part].extend(members[group])
    return parts


def utm_cell(path, size=100_000.):
    """Return the square of the UTM grid in which the upper left corner of a GeoTIFF lies.

    Args:
        path (str | Path): A GeoTIFF in a UTM projection.
        size (float): Side of a square, in m.

    Returns:
        str: EPSG code and column and row of the square, e.g. '32632/5/55'.

    Raises:
        ValueError: If the file has no coordinates or is not in UTM.
    """
    from .transforms.readers import read_geotiff

    _, meta = read_geotiff(Path(path), lambda count, descriptions: [0])
    code = meta['crs'].to_epsg() if meta['crs'] else None
    if code is None or not (32601 <= code <= 32660 or 32701 <= code <= 32760):
        found = f'is in EPSG:{code}' if code else 'has no known coordinate system'
        raise ValueError(f'{path} {found}, but cells are squares of the UTM grid (EPSG 32601 to 32660 and 32701 to '
                         '32760). Split without groups, or bring the images to UTM.')
    column, row = (int(meta['geotransform'][place] // size) for place in (2, 5))
    return f'{code}/{column}/{row}'
