import json
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from commands import ROOT, run_command
from rstoolbox.datasets import MiniS2S
from rstoolbox.datasets import mini_s2s as module
from rstoolbox.datasets.mini_s2s import CLASSES, draw_image, make_mini_s2s
from rstoolbox.datasets.mini_s2s_physics import BANDS
from rstoolbox.registry import DATASETS

SMALL = dict(images_per_class=2, seed=3)


@pytest.fixture(scope='module')
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp('mini') / 'mini_s2s'
    return root, make_mini_s2s(root, **SMALL)


def _contents(root):
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob('*')) if path.is_file()}


def test_writes_both_modalities_of_every_class(made):
    root, info = made
    assert info['classes'] == list(CLASSES) and info['num_images'] == 8 * 2 * 2 and len(info['md5']) == 32
    for name in CLASSES:
        assert len(list((root / 'MS' / name).glob('*.tif'))) == 2
        assert len(list((root / 'RGB' / name).glob('*.jpg'))) == 2


def test_geotiff_carries_bands_crs_place_and_reflectance(made):
    root, _ = made
    places = set()
    for path in (root / 'MS').rglob('*.tif'):
        with rasterio.open(path) as file:
            assert file.descriptions == BANDS and file.dtypes == ('uint16',) * 10
            assert (file.width, file.height, file.nodata) == (64, 64, 0)
            assert file.crs.is_projected and file.res == (10, 10)
            assert file.compression.name.lower() == 'deflate'
            image = file.read()
            places.add(tuple(file.bounds))
        assert 1 <= image.min() and image.max() < 12000
    assert len(places) == 16, 'every image lies at a place of its own'


def test_jpeg_is_plain_rgb(made):
    root, _ = made
    for path in (root / 'RGB').rglob('*.jpg'):
        with Image.open(path) as image:
            assert image.mode == 'RGB' and image.size == (64, 64)


def test_same_seed_same_bytes_other_seed_other_bytes(made, tmp_path):
    root, info = made
    again = make_mini_s2s(tmp_path / 'again', **SMALL)
    assert again == info and _contents(tmp_path / 'again') == _contents(root)
    other = make_mini_s2s(tmp_path / 'other', images_per_class=1, seed=4)
    assert other['md5'] != info['md5']


def test_more_images_leave_the_first_as_they_were(made, tmp_path):
    root, _ = made
    make_mini_s2s(tmp_path / 'one', images_per_class=1, seed=3)
    for path in (tmp_path / 'one' / 'RGB').rglob('*.jpg'):
        assert path.read_bytes() == (root / path.relative_to(tmp_path / 'one')).read_bytes()


@settings(max_examples=12, deadline=None)
@given(name=st.sampled_from(CLASSES), index=st.integers(0, 10_000), seed=st.integers(0, 2 ** 31))
def test_any_image_is_physical(name, index, seed):
    image = draw_image('ms', name, index, seed).astype(float) / 10000
    assert image.shape == (10, 64, 64) and 0 < image.min() and image.max() <= 1.2
    assert draw_image('rgb', name, index, seed).shape == (64, 64, 3)


def _mean_spectra(name):
    return np.mean([draw_image('ms', name, index).mean((1, 2)) for index in range(6)], 0) / 10000


def test_dark_classes_differ_in_the_infrared_more_than_in_the_visible():
    forest, lake = _mean_spectra('Forest'), _mean_spectra('SeaLake')
    visible, infrared = list(range(3)), [BANDS.index('B08'), BANDS.index('B11')]
    assert np.abs(forest - lake)[visible].max() < .05
    assert (forest - lake)[infrared].min() > .08


def test_vegetation_has_a_red_edge_and_water_is_black_in_the_short_wave_infrared():
    assert _mean_spectra('Pasture')[BANDS.index('B08')] > 3 * _mean_spectra('Pasture')[BANDS.index('B04')]
    assert _mean_spectra('SeaLake')[BANDS.index('B12')] < .03


def test_another_seed_or_size_is_made_only_when_forced(made, tmp_path):
    root, _ = made
    shutil.copytree(root, tmp_path / 'mini')
    with pytest.raises(ValueError, match='holds mini_s2s with seed 3, but seed 4 is asked for'):
        make_mini_s2s(tmp_path / 'mini', images_per_class=2, seed=4)
    assert _contents(tmp_path / 'mini') == _contents(root)
    assert make_mini_s2s(tmp_path / 'mini', images_per_class=1, seed=3, force=True)['images_per_class'] == 1


def test_a_whole_folder_is_left_alone(made):
    root, info = made
    before = {path: os.stat(path).st_mtime_ns for path in root.rglob('*')}
    assert make_mini_s2s(root, **SMALL) == info
    assert before == {path: os.stat(path).st_mtime_ns for path in root.rglob('*')}


def test_a_deleted_image_is_named_and_comes_back_with_the_command_of_the_message(made, tmp_path):
    shutil.copytree(made[0], tmp_path / 'mini')
    whole = _contents(tmp_path / 'mini')
    (tmp_path / 'mini/MS/Forest/Forest_0002.tif').unlink()
    shutil.rmtree(tmp_path / 'mini/RGB/River')
    with pytest.raises(ValueError, match="lacks 3 of the files.*'MS/Forest/Forest_0002.tif'.*anew") as error:
        MiniS2S(tmp_path / 'mini', images_per_class=2, data_seed=3)
    run_command(*re.search(r'tools/(.*--force)', str(error.value))[1].split()).check_returncode()
    assert _contents(tmp_path / 'mini') == whole


def test_a_failure_on_the_way_leaves_nothing_behind(tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, 'No space left on device')
    monkeypatch.setattr(module, '_write_geotiff', full)
    with pytest.raises(OSError, match='No space left'):
        make_mini_s2s(tmp_path / 'mini', **SMALL)
    assert [path.name for path in tmp_path.iterdir() if not path.name.endswith('.lock')] == []


def test_what_is_not_ours_is_never_deleted(tmp_path):
    (tmp_path / 'photos').mkdir()
    (tmp_path / 'photos' / 'holiday.jpg').write_bytes(b'x')
    with pytest.raises(ValueError, match='holiday.jpg.*not overwritten'):
        make_mini_s2s(tmp_path / 'photos', **SMALL)
    assert (tmp_path / 'photos' / 'holiday.jpg').exists()
    with pytest.raises(ValueError, match='is a file'):
        make_mini_s2s(tmp_path / 'photos' / 'holiday.jpg', **SMALL)


@pytest.mark.parametrize('name', ['MS/Glacier/Glacier_1.tif', 'MS/Forest/Forest_0012.tif', 'RGB/River/river.jpg'])
def test_folders_of_real_classes_are_never_deleted(tmp_path, name):
    path = tmp_path / 'real' / name
    path.parent.mkdir(parents=True)
    path.write_bytes(b'precious')
    with pytest.raises(ValueError, match=f'{name}.*not overwritten'):
        make_mini_s2s(tmp_path / 'real', **SMALL, force=True)
    assert path.read_bytes() == b'precious'


def test_zero_images_are_refused(tmp_path):
    with pytest.raises(ValueError, match='images_per_class=0'):
        make_mini_s2s(tmp_path / 'none', images_per_class=0)


def test_several_processes_at_once_get_one_whole_data_set(tmp_path):
    code = ('import sys; from rstoolbox.datasets.mini_s2s import make_mini_s2s; '
            'print("md5", make_mini_s2s(sys.argv[1], images_per_class=1)["md5"])')
    running = [subprocess.Popen([sys.executable, '-c', code, str(tmp_path / 'mini')], stdout=subprocess.PIPE, text=True,
                                env=dict(os.environ, PYTHONPATH=str(ROOT))) for _ in range(2)]
    sums = {process.communicate(timeout=240)[0].splitlines()[-1] for process in running}
    assert len(sums) == 1 and sums.pop().startswith('md5 ')
    assert {path.name for path in tmp_path.iterdir()} == {'mini', '.mini.lock'}


@pytest.mark.parametrize('modality, bands, suffix', [('ms', BANDS, '.tif'), ('rgb', ('R', 'G', 'B'), '.jpg')])
def test_dataset_reads_what_was_made(made, modality, bands, suffix):
    root, _ = made
    dataset = DATASETS.build(dict(type='MiniS2S', data_root=str(root), modality=modality, images_per_class=2,
                                  data_seed=3, split='all'))
    assert isinstance(dataset, MiniS2S) and len(dataset) == 16
    assert tuple(dataset.metainfo['classes']) == CLASSES and tuple(dataset.bands) == bands
    assert all(name.endswith(suffix) for name in dataset.sample_ids)
    assert np.bincount(dataset.gt_labels).tolist() == [2] * 8


def test_dataset_is_made_on_first_use(tmp_path):
    dataset = MiniS2S(data_root=tmp_path / 'fresh', modality='ms', images_per_class=1, split='all')
    assert len(dataset) == 8 and (tmp_path / 'fresh' / 'dataset.json').exists()


def test_unknown_modality_is_named_before_anything_is_written(tmp_path):
    with pytest.raises(ValueError, match="no modality 'sar'; expected one of ms, rgb"):
        MiniS2S(data_root=tmp_path / 'x', modality='sar')
    assert not (tmp_path / 'x').exists()


def test_command_line_says_what_it_wrote_and_where(tmp_path):
    tool = 'dataset_converters/make_mini_s2s.py'
    done = run_command(tool, '--out', tmp_path / 'cli', '--images-per-class', '1')
    assert done.returncode == 0, done.stderr
    info = json.loads((tmp_path / 'cli' / 'dataset.json').read_text())
    assert f'{tmp_path / "cli"}: 16 images' in done.stdout and info['md5'] in done.stdout
    (tmp_path / 'cli' / 'mine.txt').write_text('x')
    refused = run_command(tool, '--out', tmp_path / 'cli', '--seed', '1')
    assert refused.returncode == 1 and 'mine.txt' in refused.stderr and 'Traceback' not in refused.stderr
