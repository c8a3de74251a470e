"""Match tables: immutable, replayable, checked."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rstoolbox.structures import MatchTable, tables_in


@st.composite
def tables(draw):
    num_students, num_teachers = draw(st.integers(1, 20)), draw(st.integers(1, 10))
    indices = draw(st.lists(st.integers(0, num_teachers - 1), min_size=num_students, max_size=num_students))
    return MatchTable([f'RGB/s{i}.jpg' for i in range(num_students)], [f'MS/t{i}.tif' for i in range(num_teachers)],
                      indices, dict(kind='similarity', epoch=3))


@given(tables())
def test_hub_size_and_churn_agree_with_the_indices(table):
    assert table.hub_size() == max(table.indices.tolist().count(index) for index in table.indices)
    assert table.churn(table) == 0
    shifted = (table.indices + 1) % len(table.teacher_ids)
    other = MatchTable(table.student_ids, table.teacher_ids, shifted)
    assert table.churn(other) == (1 if len(table.teacher_ids) > 1 else 0)


@given(table=tables())
def test_a_saved_table_reads_back_equal(table, tmp_path_factory):
    path = tmp_path_factory.mktemp('table') / 'deep' / 'table.json'
    table.save(path)
    assert MatchTable.load(path) == table
    assert [file.name for file in path.parent.iterdir()] == ['table.json']


def test_churn_counts_changed_matches_and_goes_by_id():
    first = MatchTable(['a', 'b', 'c', 'd'], ['x', 'y'], [0, 0, 1, 1])
    second = MatchTable(['d', 'c', 'b', 'a'], ['y', 'x'], [0, 1, 1, 1])
    assert first.churn(second) == 0.25
    with pytest.raises(ValueError, match="same student samples, but 1 stand in one table only, the first 'd'"):
        first.churn(MatchTable(['a', 'b', 'c'], ['x'], [0, 0, 0]))


def test_tables_of_a_run_stand_in_the_order_of_their_epochs(tmp_path):
    for epoch in (1000, 999, 30):
        MatchTable(['a'], ['x'], [0]).save(tmp_path / f'epoch_{epoch:03d}.json')
    assert [path.name for path in tables_in(tmp_path)] == ['epoch_030.json', 'epoch_999.json', 'epoch_1000.json']
    assert tables_in(tmp_path / 'none') == []


def test_a_table_cannot_be_changed():
    indices = np.array([0, 1])
    table = MatchTable(['a', 'b'], ['x', 'y'], indices, dict(epoch=1))
    indices[0] = 1
    assert table.indices.tolist() == [0, 1] and table.indices.dtype == np.int64
    with pytest.raises(ValueError, match='read-only'):
        table.indices[0] = 1
    with pytest.raises(TypeError):
        table.meta['epoch'] = 2
    with pytest.raises(AttributeError):
        table.student_ids = ('q',)


@pytest.mark.parametrize('arguments, message', [
    ((['a', 'a'], ['x'], [0, 0]), "student id 'a' stands twice"),
    ((['a'], ['x', 'x'], [0]), "teacher id 'x' stands twice"),
    ((['a', 'b'], ['x'], [0]), 'got 1 indices for 2 samples'),
    ((['a', 'b'], ['x'], [0, 1]), "'b' is matched with teacher no. 1, but there are 1"),
    ((['a'], ['x'], [-1]), 'teacher no. -1'),
    ((['a'], ['x'], [0.5]), 'integers, got float64'),
    (([1], ['x'], [0]), 'student ids of a match table are strings'),
    ((['a'], ['x'], [0], dict(kind='guess')), "Kind 'guess'"),
])
def test_unsound_tables_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        MatchTable(*arguments)


def test_unsound_files_are_refused(tmp_path):
    path = tmp_path / 'table.json'
    with pytest.raises(FileNotFoundError, match='no match table at .*table.json'):
        MatchTable.load(path)
    path.write_text('{"student_ids": ["a"')
    with pytest.raises(ValueError, match='valid JSON'):
        MatchTable.load(path)
    path.write_text(json.dumps(dict(student_ids=['a'], teacher_ids=['x'])))
    with pytest.raises(ValueError, match='indices, meta missing'):
        MatchTable.load(path)
    path.write_text(json.dumps(dict(student_ids=['a'], teacher_ids=['x'], indices=[7], meta={})))
    with pytest.raises(ValueError, match='table.json is not a sound match table: .*teacher no. 7'):
        MatchTable.load(path)
    path.write_text(json.dumps(dict(student_ids=['a'], teacher_ids=['x'], indices=None, meta={})))
    with pytest.raises(ValueError, match='table.json is not a sound match table'):
        MatchTable.load(path)


def test_a_shortlist_travels_with_the_table(tmp_path):
    table = MatchTable(['a', 'b'], ['x', 'y', 'z'], [0, 2], shortlist=[[0, 1], [2, 0]])
    table.save(tmp_path / 'table.json')
    assert MatchTable.load(tmp_path / 'table.json') == table
    with pytest.raises(ValueError, match=r'shortlist.*0 to 2.*2 student samples'):
        MatchTable(['a', 'b'], ['x', 'y', 'z'], [0, 2], shortlist=[[0, 3], [2, 0]])
    with pytest.raises(ValueError, match=r'got shape \(1, 2\)'):
        MatchTable(['a', 'b'], ['x', 'y', 'z'], [0, 2], shortlist=[[0, 1]])
