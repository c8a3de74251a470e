"""Splits: seeded, balanced, whole groups, the same everywhere, checked when read."""

import json
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rstoolbox.datasets import Split, make_split, utm_cell


@given(st.lists(st.integers(0, 3), min_size=1, max_size=80), st.integers(0, 5), st.randoms())
def test_every_sample_once_every_class_shared_out_and_order_irrelevant(labels, seed, rng):
    ids = [f'{label}/{number}.tif' for number, label in enumerate(labels)]
    split = make_split(ids, labels, (0.6, 0.2, 0.2), seed)
    assert sorted(split.all) == sorted(ids)
    for label in set(labels):
        share = sum(name.startswith(f'{label}/') for name in split.train)
        assert abs(share - 0.6 * labels.count(label)) <= 0.5 + 1e-9
    order = list(range(len(ids)))
    rng.shuffle(order)
    shuffled = make_split([ids[i] for i in order], [labels[i] for i in order], (0.6, 0.2, 0.2), seed)
    assert shuffled.hash == split.hash


@settings(max_examples=30)
@given(st.integers(0, 10_000))
def test_groups_stay_together(seed):
    generator = random.Random(seed)
    ids = [f'{number}.tif' for number in range(60)]
    groups = [generator.randrange(15) for _ in ids]
    split = make_split(ids, [number % 3 for number in range(60)], (0.6, 0.2, 0.2), seed, groups)
    assert sorted(split.all) == sorted(ids)
    where = [{groups[int(name[:-4])] for name in part} for part in (split.train, split.val, split.test)]
    assert not (where[0] & where[1] or where[0] & where[2] or where[1] & where[2])


def test_groups_are_balanced_as_far_as_they_allow():
    ids = [f'{number}.tif' for number in range(1000)]
    labels = [number % 10 for number in range(1000)]
    split = make_split(ids, labels, (0.6, 0.2, 0.2), 0, [number * 7919 % 200 for number in range(1000)])
    assert abs(len(split.train) - 600) < 30 and abs(len(split.val) - 200) < 30
    for part, share in ((split.train, 60), (split.test, 20)):
        counts = np.bincount([labels[int(name[:-4])] for name in part], minlength=10)
        assert (abs(counts - share) < 10).all()


def test_the_split_of_a_seed_never_changes():
    split = make_split([f'{number}.tif' for number in range(20)], [0] * 20, (0.6, 0.2, 0.2), 0)
    assert split.hash == FROZEN_HASH
    assert make_split([f'{number}.tif' for number in range(20)], [0] * 20, (0.6, 0.2, 0.2), 1).hash != split.hash


FROZEN_HASH = '93210ab8a4640a04'


@pytest.mark.parametrize('ratio', [(0.5, 0.5), (0.9, 0.2, 0.2), (1.2, -0.1, -0.1), (float('nan'), 0.5, 0.5), 'abc',
                                   0.6])
def test_a_ratio_is_three_shares_of_sum_one(ratio):
    with pytest.raises(ValueError, match='three shares'):
        make_split(['a'], [0], ratio)


def test_every_sample_needs_a_stratum():
    with pytest.raises(ValueError, match='2 samples, 1 strata'):
        make_split(['a', 'b'], [0])


def test_parts_must_not_overlap():
    with pytest.raises(ValueError, match="2 samples stand twice, the first 'a' in train and test"):
        Split(['a', 'b'], ['c', 'c'], ['a'])


def test_saved_splits_are_checked_when_read(tmp_path):
    path = tmp_path / 'split.json'
    split = Split(['b', 'a'], ['c'], ['d'], dict(seed=3))
    split.save(path)
    again = Split.load(path)
    assert (again.train, again.hash, again.meta) == (('a', 'b'), split.hash, dict(seed=3))
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, 'test': ['d', 'e']}))
    with pytest.raises(ValueError, match='split.json was changed after it was made'):
        Split.load(path)
    path.write_text(json.dumps({**content, 'test': ['a']}))
    with pytest.raises(ValueError, match="split.json: .*'a' in train and test"):
        Split.load(path)
    for change, message in ((dict(train=1), 'train'), (dict(val=None), 'val'), (dict(test='abc'), 'test'),
                            (dict(train=[['a']]), 'train'), (dict(meta=[1]), 'meta')):
        path.write_text(json.dumps({**content, **change}))
        with pytest.raises(ValueError, match=f'split.json is not a split file: {message} should be a'):
            Split.load(path)
    path.write_text('[]')
    with pytest.raises(ValueError, match='not a split file: train, val, test, hash missing'):
        Split.load(path)
    path.write_text('{')
    with pytest.raises(ValueError, match='valid JSON'):
        Split.load(path)
    with pytest.raises(FileNotFoundError, match='no split file at'):
        Split.load(tmp_path / 'none.json')


def test_a_split_that_no_longer_fits_names_what_is_gone_and_new():
    with pytest.raises(ValueError, match="s.json no longer fits.*1 of its samples are not in the folder, the first 'c'"
                                         "; 2 samples of the folder are not in it, the first 'x'"):
        Split(['a'], ['b'], ['c']).check_fits(['a', 'b', 'x', 'y'], 's.json')


def test_utm_cells(tmp_path, write_tif):
    image = np.ones((4, 4, 1), np.uint16)
    near = utm_cell(write_tif(tmp_path / 'a.tif', image, corner=(533_043.7, 5_567_792.4)), 100_000)
    assert near == '32632/5/55'
    assert utm_cell(write_tif(tmp_path / 'b.tif', image, corner=(599_999., 5_500_001.)), 100_000) == near
    assert utm_cell(write_tif(tmp_path / 'c.tif', image, corner=(600_001., 5_500_001.)), 100_000) != near
    with pytest.raises(ValueError, match=r'd.tif is in EPSG:4326, but cells are squares of the UTM grid'):
        utm_cell(write_tif(tmp_path / 'd.tif', image, crs='EPSG:4326', corner=(8., 50.)))
    with pytest.raises(ValueError, match='e.tif has no known coordinate system'):
        utm_cell(write_tif(tmp_path / 'e.tif', image, crs=None))


def test_real_patches_split_by_cell_share_no_cell(shared):
    folder = shared('data/eurosat_ms/River')
    files = sorted(folder.glob('*.tif'))
    cells = {path.name: utm_cell(path) for path in files}
    split = make_split(list(cells), [0] * len(cells), seed=0, groups=list(cells.values()))
    parts = [{cells[name] for name in part} for part in (split.train, split.val, split.test)]
    assert not (parts[0] & parts[1] or parts[0] & parts[2] or parts[1] & parts[2])
    assert 50 <= len(split.train) <= 70
