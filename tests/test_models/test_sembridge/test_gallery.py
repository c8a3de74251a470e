"""The gallery: equal to the teacher itself, survives being stopped anywhere, refuses what is damaged."""

import errno
import json
import shutil
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate
from mmpretrain.structures import DataSample
from torch.utils.data import DataLoader, Dataset

from rstoolbox.models.sembridge import gallery as gallery_module
from rstoolbox.models.sembridge import gallery_writer
from rstoolbox.models.sembridge.gallery import Gallery, GalleryError, hash_of_weights
from rstoolbox.registry import MODELS

IDS = [f'MS/c{row % 3}/{row}.tif' for row in range(11)]
LABELS = np.arange(11) % 3


class Scenes(Dataset):
    """Eleven images; counts which were read, and can fail at one of them."""

    def __init__(self, fail_at=None):
        self.images = torch.rand(11, 3, 32, 32, generator=torch.Generator().manual_seed(0))
        self.read, self.fail_at = [], fail_at

    def __len__(self):
        return len(self.images)

    def __getitem__(self, row):
        if row == self.fail_at:
            raise KeyboardInterrupt
        self.read.append(row)
        return dict(inputs=self.images[row], data_samples=DataSample(metainfo=dict(sample_id=IDS[row])))


@pytest.fixture
def teacher(classifier_config):
    torch.manual_seed(3)
    model = MODELS.build(classifier_config())
    model.init_weights()
    return model


def build(folder, teacher, scenes=None, key='k', **kwargs):
    loader = DataLoader(scenes or Scenes(), batch_size=3, collate_fn=pseudo_collate, shuffle=True)
    return Gallery.build(folder, teacher, loader, key=key, ids=IDS, labels=LABELS, **kwargs)


def test_rows_are_what_the_teacher_puts_out(tmp_path, teacher):
    seen = []
    gallery = build(tmp_path / 'g', teacher, progress=lambda done, total: seen.append((done, total)))
    teacher.eval()
    with torch.no_grad():
        images = teacher.data_preprocessor(dict(inputs=Scenes().images))['inputs']
        maps, logits = teacher.backbone(images)[-1], teacher(images, mode='tensor')
    rows = gallery.rows(torch.tensor([7, 0, 7]))
    assert torch.allclose(rows['tokens'], maps.flatten(2).transpose(1, 2)[[7, 0, 7]], atol=1e-5)
    assert torch.allclose(rows['embedding'], maps.mean((2, 3))[[7, 0, 7]], atol=1e-5)
    assert rows['logits'].dtype == torch.float32
    assert logits is not None
    assert len(gallery) == 11
    assert gallery.ids == IDS
    assert np.array_equal(gallery.labels, LABELS)
    assert isinstance(gallery['logits'], np.memmap)
    assert seen == [(3, 11), (6, 11), (9, 11), (11, 11)]
    assert [path.name for path in tmp_path.iterdir()] == ['g']
    assert sorted(path.name for path in (tmp_path / 'g').iterdir()) == [
        'embedding.npy', 'gallery.json', 'labels.npy', 'logits.npy', 'tokens.npy']


def test_the_teacher_is_left_in_the_mode_it_was_in_and_unchanged(tmp_path, teacher):
    before = hash_of_weights(teacher.state_dict())
    teacher.train()
    build(tmp_path / 'g', teacher)
    assert teacher.training
    assert hash_of_weights(teacher.state_dict()) == before


def test_a_stopped_build_goes_on_and_equals_an_unbroken_one(tmp_path, teacher):
    whole = build(tmp_path / 'whole', teacher)
    with pytest.raises(KeyboardInterrupt):
        build(tmp_path / 'g', teacher, Scenes(fail_at=7))
    assert not (tmp_path / 'g').exists()
    with pytest.raises(FileNotFoundError, match='no gallery'):
        Gallery.open(tmp_path / 'g')
    # As if killed after the rows of a batch were written, but before they were marked.
    with open(tmp_path / 'g.partial' / 'tokens.npy', 'ab') as file:
        file.write(b'half a row')
    scenes = Scenes()
    resumed = build(tmp_path / 'g', teacher, scenes)
    assert scenes.read == [6, 7, 8, 9, 10]
    for name in whole.names:
        assert np.array_equal(whole[name], resumed[name]), name


def test_kill_9_loses_nothing(tmp_path, teacher):
    script = textwrap.dedent(f"""
        import os, signal, sys
        sys.path.insert(0, {str(gallery_module.__file__.rsplit('rstoolbox', 1)[0])!r})
        import numpy as np
        from rstoolbox.models.sembridge.gallery_writer import GalleryWriter
        with GalleryWriter({str(tmp_path / 'w')!r}, 'k', ['a', 'b', 'c']) as writer:
            writer.append(dict(x=np.full((2, 4), 5.)))
            gone = GalleryWriter._write_marker
            GalleryWriter._write_marker = lambda self: os.kill(os.getpid(), signal.SIGKILL)
            writer.append(dict(x=np.full((1, 4), 6.)))
        """)
    done = subprocess.run([sys.executable, '-c', script], check=False)
    assert done.returncode == -signal.SIGKILL
    with gallery_writer.GalleryWriter(tmp_path / 'w', 'k', ['a', 'b', 'c']) as writer:
        assert writer.done == 2
        writer.append(dict(x=np.full((1, 4), 7.)))
    assert np.load(tmp_path / 'w' / 'x.npy')[:, 0].tolist() == [5., 5., 7.]


@pytest.mark.parametrize('lost', [1, 16, 127, 300])
def test_rows_that_are_marked_but_gone_are_computed_again(tmp_path, lost):
    ids, rows = ['a', 'b', 'c'], np.arange(12.).reshape(3, 4)
    with gallery_writer.GalleryWriter(tmp_path / 'w', 'k', ids) as writer:
        writer.append(dict(x=rows[:2]))
    whole = (tmp_path / 'w' / 'x.npy').read_bytes()
    (tmp_path / 'w' / 'x.npy').write_bytes(whole[:-lost])
    with gallery_writer.GalleryWriter(tmp_path / 'w', 'k', ids) as writer:
        assert writer.done == 0
        writer.append(dict(x=rows))
    assert np.array_equal(np.load(tmp_path / 'w' / 'x.npy'), rows)


@pytest.mark.parametrize('moment', ['_finish', 'after index', 'before rename'])
def test_a_build_stopped_at_its_end_goes_on(tmp_path, teacher, monkeypatch, moment):
    def stop(*args, **kwargs):
        raise KeyboardInterrupt

    target = {'_finish': (gallery_module, '_finish'), 'after index': (gallery_module, 'write_json'),
              'before rename': (gallery_module.os, 'replace')}[moment]
    if moment == 'before rename':  # the marker of progress is renamed too
        real = gallery_module.os.replace
        monkeypatch.setattr(*target, lambda a, b: stop() if str(b).endswith('/g') else real(a, b))
    else:
        monkeypatch.setattr(*target, stop)
    with pytest.raises(KeyboardInterrupt):
        build(tmp_path / 'g', teacher)
    monkeypatch.undo()
    scenes = Scenes()
    assert len(build(tmp_path / 'g', teacher, scenes)) == 11
    assert scenes.read == []


def test_a_finished_gallery_is_reused_and_one_of_another_key_replaced(tmp_path, teacher):
    build(tmp_path / 'g', teacher)
    scenes = Scenes()
    build(tmp_path / 'g', teacher, scenes)
    assert scenes.read == []
    assert build(tmp_path / 'g', teacher, scenes, key='other').key == 'other'
    assert len(scenes.read) == 11
    with pytest.raises(GalleryError, match="key 'other', expected 'k'.*Delete the folder"):
        Gallery.open(tmp_path / 'g', expected_key='k')


def test_progress_of_another_key_is_not_mixed_in(tmp_path, teacher):
    with pytest.raises(KeyboardInterrupt):
        build(tmp_path / 'g', teacher, Scenes(fail_at=7))
    scenes = Scenes()
    build(tmp_path / 'g', teacher, scenes, key='other')
    assert len(scenes.read) == 11


def damage_missing(folder):
    (folder / 'tokens.npy').unlink()


def damage_truncated(folder):
    data = (folder / 'tokens.npy').read_bytes()
    (folder / 'tokens.npy').write_bytes(data[:-5])


def damage_flipped(folder):
    data = bytearray((folder / 'tokens.npy').read_bytes())
    data[-3] ^= 255
    (folder / 'tokens.npy').write_bytes(data)


def damage_index(folder):
    (folder / 'gallery.json').write_text('{"key": "k"')


def damage_index_keys(folder):
    (folder / 'gallery.json').write_text(json.dumps(dict(key='k', files={}, ids=[])))


@pytest.mark.parametrize(('harm', 'message'), [
    (damage_missing, 'tokens.npy is missing'), (damage_truncated, 'tokens.npy has .* bytes instead of'),
    (damage_flipped, 'tokens.npy was altered'), (damage_index, 'cannot be read'),
    (damage_index_keys, 'is not the index')])
def test_damage_is_named_and_mended_by_building_anew(tmp_path, teacher, harm, message):
    build(tmp_path / 'g', teacher)
    harm(tmp_path / 'g')
    with pytest.raises(GalleryError, match=f'{message}.*Delete the folder'):
        Gallery.open(tmp_path / 'g')
    assert len(build(tmp_path / 'g', teacher)) == 11


def test_a_full_disk_leaves_nothing_half_valid(tmp_path, teacher, monkeypatch):
    real, calls = gallery_writer._write_all, []

    def full(file, data):
        calls.append(1)
        if len(calls) == 5:
            file.write(data[:10])
            raise OSError(errno.ENOSPC, 'No space left on device')
        real(file, data)

    monkeypatch.setattr(gallery_writer, '_write_all', full)
    with pytest.raises(OSError, match='No space left on device while the gallery was written. 3 of 11 rows'):
        build(tmp_path / 'g', teacher)
    assert not (tmp_path / 'g').exists()
    monkeypatch.undo()
    resumed, whole = build(tmp_path / 'g', teacher), build(tmp_path / 'whole', teacher)
    assert all(np.array_equal(resumed[name], whole[name]) for name in whole.names)


def test_too_small_a_disk_is_seen_at_once(tmp_path, teacher, monkeypatch):
    monkeypatch.setattr(shutil, 'disk_usage', lambda path: shutil._ntuple_diskusage(100, 90, 10))
    with pytest.raises(OSError, match='the gallery needs'):
        build(tmp_path / 'g', teacher)


def test_bad_requests_are_named(tmp_path, teacher):
    loader = DataLoader(Scenes(), batch_size=3, collate_fn=pseudo_collate)
    with pytest.raises(GalleryError, match='11 ids, 3 labels and 11 samples'):
        Gallery.build(tmp_path / 'g', teacher, loader, 'k', IDS, [0, 1, 2])
    with pytest.raises(GalleryError, match=r"gives sample 'MS/c0/0.tif' where the ids name 'MS/c1/10.tif'"):
        Gallery.build(tmp_path / 'g', teacher, loader, 'k', IDS[::-1], LABELS)
    (tmp_path / 'mine').mkdir()
    (tmp_path / 'mine' / 'thesis.txt').write_text('')
    with pytest.raises(GalleryError, match='holds other files'):
        build(tmp_path / 'mine', teacher)
    gallery = build(tmp_path / 'g', teacher)
    with pytest.raises(IndexError, match='Row 11 is outside'):
        gallery.rows([0, 11])
    with pytest.raises(KeyError, match='keeps logits, embedding, tokens'):
        gallery['feats']


def test_a_teacher_that_gives_nan_is_named(tmp_path, teacher):
    with torch.no_grad():
        teacher.head.fc.bias[0] = torch.nan
    with pytest.raises(GalleryError, match="logits of sample 'MS/c0/0.tif' hold NaN"):
        build(tmp_path / 'g', teacher)


def test_hash_of_weights_tells_weights_apart(teacher):
    state = teacher.state_dict()
    assert hash_of_weights(state) == hash_of_weights(dict(reversed(state.items())))
    assert len(hash_of_weights(state)) == 16
    changed = {name: values.clone() for name, values in state.items()}
    changed['head.fc.bias'][0] += 1
    assert hash_of_weights(changed) != hash_of_weights(state)
