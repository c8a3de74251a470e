"""Statistics are picked by band name, and wrong ones are refused."""

import json

import pytest

from rstoolbox.structures import load_statistics

TABLE = dict(B02=dict(mean=0.1, std=0.03), B03=dict(mean=0.2, std=0.04), B8A=dict(mean=0.3, std=0.05))


def test_bands_are_picked_by_name_not_by_place():
    assert load_statistics(TABLE, ['B8A', 'B02']) == ([0.3, 0.1], [0.05, 0.03])


def test_a_file_and_its_content_give_the_same(tmp_path):
    content = dict(unit='reflectance', num_images=3, statistics=TABLE)
    path = tmp_path / 'statistics.json'
    path.write_text(json.dumps(content))
    assert load_statistics(path, ['B03']) == load_statistics(str(path), ['B03']) == load_statistics(content, ['B03'])


def test_a_missing_band_names_the_nearest():
    with pytest.raises(ValueError, match="no band 'B8', nearest is 'B8A'. They hold 3 bands: B02, B03, B8A; asked"):
        load_statistics(TABLE, ['B8'])


@pytest.mark.parametrize('table, message', [
    ([0.1, 0.2], 'says nothing about which band'),
    (dict(B02=0.1), 'must map every band name'),
    (dict(B02=dict(mean=0.1)), "'std' of band 'B02' must be a finite number, got None"),
    (dict(B02=dict(mean=float('nan'), std=1)), "'mean' of band 'B02'"),
    (dict(B02=dict(mean=0.1, std=0)), "standard deviation of band 'B02' is 0"),
])
def test_unusable_values_are_refused(table, message):
    with pytest.raises(ValueError, match=message):
        load_statistics(table, ['B02'])


def test_unusable_files_are_refused(tmp_path):
    path = tmp_path / 'statistics.json'
    with pytest.raises(FileNotFoundError, match='no statistics file at'):
        load_statistics(path, ['B02'])
    path.write_text('mean: 0.1')
    with pytest.raises(ValueError, match='valid JSON'):
        load_statistics(path, ['B02'])
    path.write_text('{}')
    with pytest.raises(ValueError, match="has no key 'statistics'"):
        load_statistics(path, ['B02'])
