"""Files are whole or not there."""

import json
import os
from pathlib import Path

import pytest
from filelock import FileLock

from rstoolbox.structures import content_hash, files, locked, write_json


def test_a_folder_is_made_and_the_file_is_readable_as_any_new_one(tmp_path):
    path = tmp_path / 'deep' / 'out.json'
    write_json(dict(name='Grünland'), path)
    assert json.loads(path.read_text(encoding='utf-8')) == dict(name='Grünland')
    (tmp_path / 'plain').touch()
    assert path.stat().st_mode == (tmp_path / 'plain').stat().st_mode


def test_what_cannot_be_written_leaves_what_was_there(tmp_path):
    write_json([1], tmp_path / 'out.json')
    with pytest.raises(TypeError):
        write_json([object()], tmp_path / 'out.json')
    assert json.loads((tmp_path / 'out.json').read_text()) == [1]
    assert os.listdir(tmp_path) == ['out.json']


def test_a_full_disk_is_named(tmp_path):
    full = Path('/dev/full')
    if not full.exists():
        pytest.skip('needs a device that is always full')
    (tmp_path / 'temporary').symlink_to(full)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files.tempfile, 'mkstemp', lambda **_: (os.open(full, os.O_WRONLY), tmp_path / 'temporary'))
        with pytest.raises(OSError, match="disk is full: could not write '.*out.json'"):
            write_json([1], tmp_path / 'out.json')
    assert not os.listdir(tmp_path)


def test_a_file_written_piece_by_piece_appears_when_it_is_whole(tmp_path):
    path = tmp_path / 'out.txt'
    with files.open_whole(path) as file:
        file.write(b'one ')
        assert not path.exists()
        file.write(b'two')
    assert path.read_bytes() == b'one two'
    with pytest.raises(TypeError), files.open_whole(path) as file:
        file.writelines([b'three', None])
    assert path.read_bytes() == b'one two' and os.listdir(tmp_path) == ['out.txt']


def test_a_file_that_a_library_writes_appears_when_it_is_whole(tmp_path):
    path = tmp_path / 'deep/out.txt'
    with files.whole_file(path) as temporary:
        Path(temporary).write_text('one')
        assert not path.exists() and temporary.endswith('.txt')
    assert path.read_text() == 'one'
    with pytest.raises(KeyError), files.whole_file(path) as temporary:
        raise KeyError
    assert path.read_text() == 'one' and os.listdir(path.parent) == ['out.txt']


def test_a_hash_is_of_what_files_hold_not_of_where_they_lie(tmp_path):
    for folder in ('here', 'there'):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / 'a.bin').write_bytes(bytes(10_000))
    first = content_hash(tmp_path / 'here')
    assert content_hash(tmp_path / 'there') == first != content_hash(tmp_path / 'here/a.bin')
    os.utime(tmp_path / 'here/a.bin', ns=(1, 1))
    assert content_hash(tmp_path / 'here') == first
    (tmp_path / 'here/a.bin').write_bytes(bytes(9_999) + b'1')
    assert content_hash(tmp_path / 'here') != first
    (tmp_path / 'there/a.bin').rename(tmp_path / 'there/b.bin')
    assert content_hash(tmp_path / 'there') != first


def test_who_waits_for_a_lock_says_so_once(tmp_path, monkeypatch):
    held, said = FileLock(tmp_path / '.lock'), []

    def release(text, **_):
        said.append(text)
        held.release()
    monkeypatch.setattr(files, 'print_log', release)
    with locked(tmp_path / '.lock'):
        assert not said
    held.acquire()
    with locked(tmp_path / '.lock'):
        assert said == [f'waiting for {tmp_path / ".lock"}, held by another process']
