"""What an interrupted map has so far."""

import os

import pytest

from rstoolbox.apis.answered_tiles import AnsweredTiles
from rstoolbox.apis.part_file import PartFile, key_of
from rstoolbox.heads import head_for
from rstoolbox.structures import Answer


def test_what_is_kept_is_read_as_far_as_it_is_sound_and_by_one_run(tmp_path):
    out, head = tmp_path / 'found.geojson', head_for('IMG_CAP')
    with PartFile(out, '0' * 16) as part:
        kept = AnsweredTiles(part, head)
        for tile, text in enumerate(('Ein Fluß.', 'one\u2028two\x85three')):
            kept.add(tile, Answer(text=text))
        with pytest.raises(ValueError, match='is being written: another run'), PartFile(out, '0' * 16):
            pass
    whole = part.path.read_bytes()
    for tail in (b'{"tile": 2, "text": "\xc3', b'\xff\xfe\n', b'5\n{"tile": 3, "text": "c", "scores": null}\n', b''):
        part.path.write_bytes(whole + tail)
        with PartFile(out, '0' * 16) as part:
            kept = AnsweredTiles(part, head)
            assert len(kept) == 2 and kept.get(1, (9, 9)).text == 'one\u2028two\x85three' and 2 not in kept
        assert part.path.read_bytes() == whole
    part.path.write_bytes(whole[:7])  # not even the key was written
    with PartFile(out, '0' * 16) as part:
        assert len(AnsweredTiles(part, head)) == 0
        part.remove()
    assert not os.listdir(tmp_path)
    part.path.mkdir()
    with pytest.raises(ValueError, match="found.geojson.part', where what is done .* cannot be written"), part:
        pass


def test_a_key_changes_with_what_files_hold_and_with_settings(tmp_path):
    scene = tmp_path / 'scene.tif'
    scene.write_bytes(b'one')
    key = key_of([scene, '/vsizip/a.zip/b.tif'], 'weights', [1, 2])
    assert key == key_of([scene, '/vsizip/a.zip/b.tif'], 'weights', [1, 2]) and len(key) == 16
    assert key != key_of([scene, '/vsizip/a.zip/b.tif'], 'weights', [1, 3])
    scene.write_bytes(b'another')
    assert key != key_of([scene, '/vsizip/a.zip/b.tif'], 'weights', [1, 2])
