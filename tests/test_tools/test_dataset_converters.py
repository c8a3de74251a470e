"""The command lines that make splits and statistics."""

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from commands import run_command
from rstoolbox.datasets import Split
from rstoolbox.structures import load_statistics


def run(tool, *args):
    return run_command(f'dataset_converters/{tool}', *args)


@pytest.fixture
def patches(tmp_path):
    """Two classes of twelve patches in six squares of the UTM grid."""
    generator = np.random.default_rng(0)
    for name in ('Forest', 'River'):
        (tmp_path / 'ms' / name).mkdir(parents=True)
        for number in range(12):
            place = from_origin(250_000 + number % 6 * 100_000, 5_500_000, 10, 10)
            path = tmp_path / 'ms' / name / f'{number}.tif'
            with rasterio.open(path, 'w', driver='GTiff', height=4, width=4, count=2,
                               dtype='uint16', crs='EPSG:32632', transform=place) as file:
                file.write(generator.integers(1, 5000, (2, 4, 4)).astype(np.uint16))
    return tmp_path / 'ms'


def test_a_split_by_cell_and_the_statistics_of_its_training_part(patches, tmp_path):
    split_file, out = tmp_path / 'split.json', tmp_path / 'statistics.json'
    done = run('make_splits.py', patches, '--out', split_file, '--group-by-utm-cell', 100_000)
    assert done.returncode == 0, done.stderr
    split = Split.load(split_file)
    cells = [{int(Path(name).stem) % 6 for name in part} for part in (split.train, split.val, split.test)]
    assert len(split.all) == 24 and not (cells[0] & cells[1] or cells[0] & cells[2] or cells[1] & cells[2])
    assert split.hash in done.stdout and split.meta['utm_cell'] == 100_000

    done = run('compute_statistics.py', patches, '--sensor', 'sentinel2_l2a', '--file-bands', 'B02,B08', '--split-file',
               split_file, '--out', out)
    assert done.returncode == 0, done.stderr
    pixels = []
    for name in split.train:
        with rasterio.open(patches / name) as file:
            pixels.append(file.read() * 1e-4)
    means, stds = load_statistics(out, ['B08', 'B02'])
    np.testing.assert_allclose(means, np.stack(pixels).mean((0, 2, 3))[::-1], rtol=1e-5)
    np.testing.assert_allclose(stds, np.stack(pixels).std((0, 2, 3))[::-1], rtol=1e-5)
    assert json.loads(out.read_text())['num_images'] == len(split.train)


def test_the_statistics_of_a_configs_data_set(patches, tmp_path):
    config = tmp_path / 'config.py'
    config.write_text(f"""
data = dict(train=dict(
    type='SceneDataset', data_root='{patches}', sensor='sentinel2_l2a', file_bands=['B02', 'B08'], bands=['B08'],
    pipeline=[dict(type='LoadRaster'), dict(type='ToReflectance'), dict(type='RandomRot90')]))
train_dataloader = dict(dataset='${{data.train}}')
num_classes = '${{num_classes_of:elsewhere}}'  # what is not asked for is not looked at
elsewhere = dict(type='SceneDataset', data_root='nowhere')
""")
    done = run('compute_statistics.py', config, '--out', tmp_path / 'out.json')
    assert done.returncode == 0, done.stderr
    assert list(json.loads((tmp_path / 'out.json').read_text())['statistics']) == ['B08']
    done = run('compute_statistics.py', config, '--key', 'data.trian', '--out', tmp_path / 'out.json')
    assert done.returncode == 1 and "no 'data.trian': there is no 'trian' among train" in done.stderr


@pytest.mark.parametrize('tool, args, message', [
    ('compute_statistics.py', ['--sensor', 'sentinel2_l2a'], "0.tif has 2 bands, but sensor 'sentinel2_l2a' has 12"),
    ('compute_statistics.py', ['--sensor', 'sentinel'], "no sensor 'sentinel', nearest is"),
    ('make_splits.py', ['--ratio', '1', '1', '1'], 'three shares'),
    ('make_splits.py', ['--data-prefix', 'PAN'], 'no folder'),
    ('make_splits.py', ['--group-by-utm-cell', '10000000'],
     'There are 24 samples in 1 cells of 10000000 m: take smaller cells or another ratio'),
    ('make_splits.py', ['--ratio', '0.98', '0.01', '0.01'], 'no val and no test samples (train 24, val 0, test 0)'),
])
def test_errors_are_one_line_without_a_traceback(patches, tmp_path, tool, args, message):
    done = run(tool, patches, '--out', tmp_path / 'out.json', *args)
    assert done.returncode == 1 and message in done.stderr
    assert 'Traceback' not in done.stderr and not (tmp_path / 'out.json').exists()


@pytest.mark.parametrize('tool, args', [
    ('make_records.py', ['voc', '.', '.', 'out.jsonl']), ('make_mini_falcon.py', []), ('make_mini_s2s.py', []),
    ('make_splits.py', ['.', '--out', 'out.json'])])
def test_a_seed_is_no_negative_number(tmp_path, tool, args):
    done = run_command(f'dataset_converters/{tool}', *args, '--seed', '-1', cwd=tmp_path)
    assert done.returncode == 2 and "argument --seed: '-1' is no whole number from 0" in done.stderr


@pytest.mark.parametrize('option, value, message', [
    ('--tolerance', '-1', 'error: tolerance is how many'), ('--tolerance', 'nan', 'error: tolerance is how many'),
    ('--smallest', '0', "argument --smallest: '0' is no whole number from 1 on")])
def test_options_of_outlines_are_checked(tmp_path, option, value, message):
    done = run_command('dataset_converters/make_records.py', 'masks', '.', '.', 'out.jsonl', '--classes', '1=roof',
                       option, value, cwd=tmp_path)
    assert done.returncode in (1, 2) and message in done.stderr and 'Traceback' not in done.stderr


@pytest.mark.parametrize('tool, out', [('make_record_store.py', 'out.arrow'), ('train_tokenizer.py', 'out')])
def test_files_without_records_are_refused(tmp_path, tool, out):
    (tmp_path / 'good.jsonl').write_text(json.dumps(dict(prompt='Why?', answer='So.')))
    for name, content in (('a.json', '[]'), ('a.jsonl', '')):
        (tmp_path / name).write_text(content)
        done = run_command(f'dataset_converters/{tool}', 'good.jsonl', name, out, cwd=tmp_path)
        assert done.returncode == 1
        assert done.stderr.splitlines()[-1] == f"error: '{name}' holds no record. Leave it out, or make it anew."
        assert not (tmp_path / out).is_file() and not (tmp_path / out / 'tokenizer.json').exists()
