import pytest

from rstoolbox.structures import nearest, nearest_band


@pytest.mark.parametrize('name, said', [('Rivers', ", nearest is 'River'"), ('xyz', ''), (7, '')])
def test_the_nearest_name_is_part_of_a_sentence(name, said):
    assert nearest(name, {'Forest': 0, 'River': 1}) == said


def test_how_alike_names_must_be_can_be_chosen():
    assert nearest('lake', ['land'], cutoff=0.6) == ''
    assert nearest('lake', ['land'], cutoff=0.4) == ", nearest is 'land'"


@pytest.mark.parametrize('name, near', [('B2', 'B02'), ('b12', 'B12'), ('B8', 'B08')])
def test_zeros_of_a_band_do_not_count(name, near):
    assert nearest_band(name, ['B02', 'B08', 'B8A', 'B12']) == f", nearest is '{near}'"
