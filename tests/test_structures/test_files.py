"""Files are whole or not there."""

import json
import os
from pathlib import Path

import pytest

from rstoolbox.structures import files, write_json


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


def test_a_full_disk_is_named():
    full = Path('/dev/full')
    if not full.exists():
        pytest.skip('needs a device that is always full')
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files.tempfile, 'mkstemp', lambda **_: (os.open(full, os.O_WRONLY), os.devnull))
        patch.setattr(files.os, 'unlink', lambda _: None)
        with pytest.raises(OSError, match="disk is full: could not write '.*out.json'"):
            write_json([1], 'out.json')


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
