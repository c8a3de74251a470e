"""Bands are found by name; a file's order is not the sensor's."""

import pytest

from rstoolbox.datasets import (
    EUROSAT_FILE_BANDS,
    SENTINEL2_SURFACE_BANDS,
    Band,
    Sensor,
    band_indices,
    get_sensor,
    register_sensor,
)

SENSORS = {'sentinel2_l1c': 13, 'sentinel2_l2a': 12, 'landsat8_l1': 11, 'landsat8_l2': 7, 'landsat9_l1': 11,
           'landsat9_l2': 7, 'tiangong2_wis': 14, 'rgb': 3}


@pytest.mark.parametrize('name, count', SENSORS.items())
def test_sensors_and_their_natural_colours(name, count):
    sensor = get_sensor(name)
    assert len(sensor.bands) == count == len(set(sensor.band_names))
    red, green, blue = (sensor.band(band).wavelength for band in sensor.rgb_bands)
    assert 600 < red < 700 and 500 < green < 600 and 440 < blue < 500
    assert all(band.wavelength > 400 and band.resolution >= 0 for band in sensor.bands)


def test_eurosat_files_hold_the_sensors_bands_in_another_order():
    sensor = get_sensor('sentinel2_l1c')
    assert set(EUROSAT_FILE_BANDS) == set(sensor.band_names) and EUROSAT_FILE_BANDS != sensor.band_names
    assert band_indices(['B8A'], EUROSAT_FILE_BANDS, 'file') == [12]
    assert band_indices(['B8A'], sensor.band_names, 'sensor') == [8]
    assert band_indices(sensor.rgb_bands, EUROSAT_FILE_BANDS, 'file') == [3, 2, 1]


def test_the_surface_bands_are_those_of_ten_and_twenty_metres():
    sensor = get_sensor('sentinel2_l2a')
    assert SENTINEL2_SURFACE_BANDS == tuple(band.name for band in sensor.bands if band.resolution <= 20)


def test_level_2a_has_no_cirrus_band():
    with pytest.raises(ValueError, match="no band 'B10' in sensor 'sentinel2_l2a', nearest is 'B01'"):
        get_sensor('sentinel2_l2a').band('B10')


def test_an_unknown_sensor_names_the_nearest():
    with pytest.raises(ValueError, match="no sensor 'sentinel2', nearest is 'sentinel2_l[12].'"):
        get_sensor('sentinel2')


def test_a_sensor_of_ones_own():
    bands = (Band('R', 660, 3), Band('G', 560, 3), Band('B', 480, 3), Band('N', 840, 3))
    mine = Sensor('test_planet', bands, scale=1e-4)
    register_sensor(mine)
    assert get_sensor('test_planet') is mine and register_sensor(mine) is mine
    with pytest.raises(ValueError, match="different sensor is already registered as 'test_planet'"):
        register_sensor(Sensor('test_planet', bands[:3]))
    with pytest.raises(ValueError, match='names a band twice'):
        register_sensor(Sensor('test_twice', bands + bands[:1]))
    with pytest.raises(ValueError, match="no band 'B' in sensor 'test_blind'"):
        register_sensor(Sensor('test_blind', bands[:2]))
