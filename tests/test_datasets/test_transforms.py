"""What follows on loading: units, bands for the matcher, augmentation of any number of bands."""


import numpy as np
import pytest
import torch

from rstoolbox.datasets import get_sensor
from rstoolbox.registry import TRANSFORMS

GENERATOR = np.random.default_rng(0)


def load(path, **keys):
    return TRANSFORMS.build(dict(type='LoadRaster'))(dict(img_path=str(path), **keys))


def values(shape=(6, 5, 4), dtype=np.uint16):
    return GENERATOR.integers(1, 200, shape).astype(dtype)


def reflectance(image, sensor='sentinel2_l1c', bands=('B02', 'B03'), **kwargs):
    results = dict(img=image, sensor=sensor, bands=list(bands), img_path='x.tif')
    return TRANSFORMS.build(dict(type='ToReflectance', **kwargs))(results)['img']


def test_reflectance_by_scale_and_offset_of_the_sensor():
    image = np.full((2, 2, 2), 10_000, np.uint16)
    for sensor, expected in (('sentinel2_l1c', 1.), ('landsat8_l1', 0.1), ('landsat9_l2', 0.075)):
        result = reflectance(image, sensor)
        assert result.dtype == np.float32
        np.testing.assert_allclose(result, expected, rtol=1e-5)
    np.testing.assert_allclose(reflectance(image, offset=-0.1), 0.9, rtol=1e-5)
    np.testing.assert_allclose(reflectance(np.full((1, 1, 3), 255, np.uint8), 'rgb', 'RGB'), 1)


def test_as_released_divides_by_the_images_own_maximum_in_eight_bits():
    image = np.array([[[100, 400], [-50, 0]]], np.int16)
    expected = np.floor(np.array([[[0.25, 1], [0, 0]]]) * 255) / 255
    np.testing.assert_allclose(reflectance(image, variant='as_released'), expected, rtol=1e-6)
    assert (reflectance(np.zeros((2, 2, 2), np.uint16), variant='as_released') == 0).all()


def test_units_cannot_be_confused(tmp_path, write_tif):
    with pytest.raises(ValueError, match="no variant 'released'"):
        TRANSFORMS.build(dict(type='ToReflectance', variant='released'))
    with pytest.raises(ValueError, match="Band 'B10' of sensor 'landsat8_l1' is thermal"):
        reflectance(np.ones((2, 2, 1), np.uint16), 'landsat8_l1', ['B10'])
    with pytest.raises(ValueError, match='x.tif holds int16, whose range is not known'):
        reflectance(np.ones((2, 2, 3), np.int16), 'rgb', 'RGB')
    results = load(write_tif(tmp_path / 'a.tif', values((4, 4, 3)), ('B02', 'B03', 'B04')), sensor='sentinel2_l2a')
    with pytest.raises(ValueError, match='put ToReflectance before it'):
        TRANSFORMS.build(dict(type='PseudoRGB'))(results)
    twice = TRANSFORMS.build(dict(type='ToReflectance'))
    with pytest.raises(ValueError, match='stands twice'):
        twice(twice(results))


@pytest.mark.parametrize('sensor', ['sentinel2_l1c', 'landsat8_l2', 'tiangong2_wis'])
def test_pseudo_rgb_is_red_green_blue_by_name_whatever_the_order(sensor):
    sensor = get_sensor(sensor)
    names = list(reversed(sensor.band_names))
    image = np.stack([np.full((2, 2), sensor.band(name).wavelength, np.float32) for name in names], axis=2)
    results = TRANSFORMS.build(dict(type='PseudoRGB'))(dict(img=image, bands=names, sensor=sensor.name))
    assert results['bands'] == ['R', 'G', 'B'] and results['sensor'] == 'rgb'
    assert results['img'][0, 0].tolist() == sorted(results['img'][0, 0], reverse=True)
    assert 600 < results['img'][0, 0, 0] < 700


def test_pseudo_rgb_takes_on_the_look_of_the_pictures():
    ms = {band: dict(mean=0.1 * number, std=0.02 * number) for number, band in enumerate(('B02', 'B03', 'B04'), 1)}
    rgb = {band: dict(mean=mean, std=0.1) for band, mean in zip('RGB', (0.3, 0.5, 0.4))}
    transform = TRANSFORMS.build(dict(type='PseudoRGB', statistics=dict(ms=ms, rgb=rgb)))
    image = GENERATOR.normal([0.3, 0.2, 0.1], [0.06, 0.04, 0.02], (64, 64, 3)).astype(np.float32)
    results = transform(dict(img=image, bands=['B04', 'B03', 'B02'], sensor='sentinel2_l2a'))
    np.testing.assert_allclose(results['img'].mean((0, 1)), [0.3, 0.5, 0.4], atol=0.01)
    np.testing.assert_allclose(results['img'].std((0, 1)), 0.1, atol=0.01)
    assert results['img'].dtype == np.float32 and results['bands'] == ['R', 'G', 'B'] and results['sensor'] == 'rgb'
    bright = transform(dict(img=image + 1, bands=['B04', 'B03', 'B02'], sensor='sentinel2_l2a'))
    assert bright['img'].max() == 1


@pytest.mark.parametrize('statistics, message', [
    (dict(ms={}), 'statistics=dict'),
    (dict(ms={}, rgb=dict(R=dict(mean=0.3, std=0.1))), "no band 'G'"),
    (dict(ms='nowhere.json', rgb='nowhere.json'), 'no statistics file at nowhere.json')])
def test_pseudo_rgb_names_statistics_that_do_not_fit(statistics, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        TRANSFORMS.build(dict(type='PseudoRGB', statistics=statistics))


def test_pseudo_rgb_names_the_band_that_the_statistics_lack():
    flat = dict(mean=0.3, std=0.1)
    transform = TRANSFORMS.build(
        dict(type='PseudoRGB', statistics=dict(ms=dict(B02=flat, B03=flat), rgb=dict.fromkeys('RGB', flat))))
    with pytest.raises(ValueError, match="no band 'B04'"):
        transform(dict(img=np.ones((2, 2, 3), np.float32), bands=['B04', 'B03', 'B02'], sensor='sentinel2_l2a'))


def test_select_bands():
    results = dict(img=values((2, 2, 3)), bands=['B02', 'B03', 'B04'], img_path='a.tif')
    chosen = TRANSFORMS.build(dict(type='SelectBands', bands=['B04', 'B02']))(dict(results))
    np.testing.assert_array_equal(chosen['img'], results['img'][:, :, [2, 0]])
    with pytest.raises(ValueError, match="no band 'B08' in a.tif, nearest is 'B0[234]'"):
        TRANSFORMS.build(dict(type='SelectBands', bands=['B08']))(results)


@pytest.mark.parametrize('step', [
    dict(type='RandomRot90'), dict(type='RandomFlip', prob=1.), dict(type='RadiometricJitter'),
    dict(type='mmpretrain.RandomResizedCrop', scale=12), dict(type='Resize', scale=(12, 12)),
    dict(type='mmpretrain.RandomCrop', crop_size=12), dict(type='mmpretrain.RandomCrop', crop_size=16, padding=2,
                                                           padding_mode='reflect')], ids=lambda step: step['type'])
@pytest.mark.parametrize('num_bands', [1, 3, 13])
def test_transforms_for_any_number_of_bands(step, num_bands):
    image = GENERATOR.random((16, 16, num_bands)).astype(np.float32)
    results = TRANSFORMS.build(step)(dict(img=image.copy(), img_shape=(16, 16)))
    assert results['img'].dtype == np.float32
    assert results['img'].reshape(*results['img_shape'], -1).shape[2] == num_bands


def test_rotation_moves_pixels_and_keeps_the_mask_with_them():
    image = np.arange(24.).reshape(2, 4, 3)
    results = TRANSFORMS.build(dict(type='RandomRot90', prob=1.))(
        dict(img=image.copy(), img_shape=(2, 4), valid_mask=image > 5))
    np.testing.assert_array_equal(results['valid_mask'], results['img'] > 5)
    assert sorted(results['img'].ravel()) == sorted(image.ravel()) and results['img_shape'] == results['img'].shape[:2]
    still = TRANSFORMS.build(dict(type='RandomRot90', prob=0.))(dict(img=image))
    np.testing.assert_array_equal(still['img'], image)


def test_jitter_of_zero_changes_nothing_and_band_ratios_stay_without_band_gain():
    image = GENERATOR.random((8, 8, 5)).astype(np.float32)
    none = dict(type='RadiometricJitter', brightness=0, contrast=0, band_gain=0)
    np.testing.assert_allclose(TRANSFORMS.build(none)(dict(img=image))['img'], image, rtol=1e-6)
    only = TRANSFORMS.build({**none, 'brightness': 0.5})(dict(img=image))['img']
    ratios = only / image
    assert ratios.std() < 1e-5 and 0.5 <= ratios.mean() <= 1.5
    with pytest.raises(ValueError, match='put ToReflectance before it'):
        TRANSFORMS.build(none)(dict(img=image.astype(np.uint16)))
    with pytest.raises(ValueError, match="'brightness' must be between 0 and 1, got 2"):
        TRANSFORMS.build({**none, 'brightness': 2})


def test_a_packed_image_is_channels_first(tmp_path, write_tif):
    path = write_tif(tmp_path / 'a.tif', values(), ('B02', 'B03', 'B04', 'B08'))
    pack = TRANSFORMS.build(dict(type='mmpretrain.PackInputs', meta_keys=('bands',)))
    packed = pack(load(path, sensor='sentinel2_l2a', gt_label=1))
    assert packed['inputs'].shape == torch.Size([4, 6, 5]) and packed['data_samples'].bands[3] == 'B08'
