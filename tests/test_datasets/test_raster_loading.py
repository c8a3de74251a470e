"""Loading in every format, by band name; what was not measured is filled, what cannot be read is named."""

import logging

import numpy as np
import pytest
import scipy.io
from PIL import Image

from rstoolbox.datasets import EUROSAT_FILE_BANDS, SENTINEL2_SURFACE_BANDS, get_sensor
from rstoolbox.datasets.transforms import loading
from rstoolbox.registry import TRANSFORMS

GENERATOR = np.random.default_rng(0)


def load(path, **keys):
    return TRANSFORMS.build(dict(type='LoadRaster'))(dict(img_path=str(path), **keys))


def values(shape=(6, 5, 4), dtype=np.uint16):
    return GENERATOR.integers(1, 200, shape).astype(dtype)


def test_geotiff_bands_come_by_description_and_keep_their_place_on_earth(tmp_path, write_tif):
    image = values()
    path = write_tif(tmp_path / 'a.tif', image, ('B08', 'B02', 'B04', 'B03'))
    results = load(path, sensor='sentinel2_l2a', bands=['B02', 'B08'])
    assert results['bands'] == ['B02', 'B08'] and results['img'].dtype == np.uint16
    np.testing.assert_array_equal(results['img'], image[:, :, [1, 0]])
    assert results['crs'].to_epsg() == 32632 and results['geotransform'][2:6:3] == (500_000., 5_500_000.)
    assert results['img_shape'] == (6, 5) and results['valid_mask'] is None
    assert load(path, sensor='sentinel2_l2a')['bands'] == ['B08', 'B02', 'B04', 'B03']


@pytest.mark.parametrize(('sensor', 'descriptions', 'bands', 'places'), [
    ('sentinel2_l2a', ('B8', 'b8a', 'B2'), ['B02', 'B8A'], [2, 1]),
    ('landsat8_l2', ('red', 'Green', 'B2'), ['B02', 'B04'], [2, 0]),
    ('rgb', ('blue', 'green', 'red'), ['R', 'G', 'B'], [2, 1, 0]),
])
def test_descriptions_name_bands_in_other_spellings(tmp_path, write_tif, sensor, descriptions, bands, places):
    image = values((4, 4, 3))
    path = write_tif(tmp_path / 'a.tif', image, descriptions)
    np.testing.assert_array_equal(load(path, sensor=sensor, bands=bands)['img'], image[:, :, places])


def test_descriptions_that_name_only_some_bands_are_refused_and_others_are_said_once(
        tmp_path, write_tif, monkeypatch):
    for sensor, descriptions, fault in (('sentinel2_l2a', ('B2', 'haze', 'B4'), "'haze' is no band of 'sentinel2_l2a'"),
                                        ('rgb', ('R', 'g', 'R'), 'R stands twice')):
        path = write_tif(tmp_path / 'a.tif', values((4, 4, 3)), descriptions)
        with pytest.raises(ValueError, match=fault):
            load(path, sensor=sensor)
    said = []
    monkeypatch.setattr(loading, '_logged', set())
    monkeypatch.setattr(loading.MMLogger.get_current_instance(), 'log', lambda level, text: said.append(text))
    image = values((4, 4, 3))
    path = write_tif(tmp_path / 'a.tif', image, ('layer 1', 'layer 2', 'layer 3'))
    for _ in range(2):
        np.testing.assert_array_equal(load(path)['img'], image)
    said = [text for text in said if 'describes its bands' in text]
    assert len(said) == 1 and "'layer 1', 'layer 2', 'layer 3', none of which is a band of 'rgb'" in said[0]


def test_eurosat_order_and_sensor_order_give_different_bands(tmp_path, write_tif):
    image = values((4, 4, 13))
    path = write_tif(tmp_path / 'a.tif', image)
    keys = dict(sensor='sentinel2_l1c', bands=['B8A', 'B04'])
    eurosat = load(path, file_bands=EUROSAT_FILE_BANDS, **keys)['img']
    np.testing.assert_array_equal(eurosat, image[:, :, [12, 3]])
    np.testing.assert_array_equal(load(path, **keys)['img'], image[:, :, [8, 3]])


def test_real_eurosat_bands_have_the_published_means(shared):
    folders = [folder for folder in sorted(shared('data/eurosat_ms').iterdir()) if folder.is_dir()]
    files = [sorted(folder.glob('*.tif'))[0] for folder in folders]
    means = np.mean([load(path, sensor='sentinel2_l1c', file_bands=EUROSAT_FILE_BANDS,
                          bands=['B10', 'B8A', 'B08'])['img'].mean((0, 1)) for path in files], axis=0)
    assert means[0] < 30 and 1500 < means[1] < 4000 and 1500 < means[2] < 4000


@pytest.mark.parametrize('bands_first', [False, True])
def test_npy_in_either_layout(tmp_path, bands_first):
    image = values((6, 5, 10))
    np.save(tmp_path / 'a.npy', image.transpose(2, 0, 1) if bands_first else image)
    results = load(tmp_path / 'a.npy', sensor='sentinel2_l2a', file_bands=SENTINEL2_SURFACE_BANDS, bands=['B12', 'B02'])
    np.testing.assert_array_equal(results['img'], image[:, :, [9, 0]])


def test_mat(tmp_path, write_mat):
    image = values((6, 5, 10), np.float32)
    path = write_mat(tmp_path / 'a.mat', image)
    results = load(path, sensor='sentinel2_l2a', file_bands=SENTINEL2_SURFACE_BANDS)
    np.testing.assert_array_equal(results['img'], image)
    assert results['bands'] == list(SENTINEL2_SURFACE_BANDS)


def test_pictures_are_rgb_whatever_they_hold(tmp_path):
    colour = values((6, 5, 3), np.uint8)
    alpha = np.concatenate([colour, values((6, 5, 1), np.uint8)], axis=2)
    Image.fromarray(colour).save(tmp_path / 'rgb.png')
    Image.fromarray(alpha).save(tmp_path / 'rgba.png')
    Image.fromarray(colour[:, :, 0]).save(tmp_path / 'grey.png')
    Image.fromarray(colour[:, :, 0]).save(tmp_path / 'grey.jpg', quality=100)
    for name in ('rgb.png', 'rgba.png'):
        np.testing.assert_array_equal(load(tmp_path / name)['img'], colour)
    grey = load(tmp_path / 'grey.png')['img']
    np.testing.assert_array_equal(grey, np.repeat(colour[:, :, :1], 3, axis=2))
    assert load(tmp_path / 'grey.jpg')['img'].shape == (6, 5, 3)
    assert load(tmp_path / 'grey.jpg')['bands'] == ['R', 'G', 'B']


def test_sixteen_bit_colour_keeps_its_sixteen_bits(tmp_path, write_tif):
    import cv2
    image = GENERATOR.integers(0, 65536, (6, 5, 3)).astype(np.uint16)
    cv2.imwrite(str(tmp_path / 'a.png'), image[:, :, ::-1])
    write_tif(tmp_path / 'a.tif', image)
    write_tif(tmp_path / 'alpha.tif', np.concatenate([image, image[:, :, :1]], axis=2))
    for name, bands in (('a.png', None), ('a.tif', None), ('alpha.tif', ['R', 'G', 'B'])):
        results = load(tmp_path / name, bands=bands)
        np.testing.assert_array_equal(results['img'], image)
        scaled = TRANSFORMS.build(dict(type='ToReflectance'))(results)['img']
        np.testing.assert_allclose(scaled, image / 65535, atol=1e-6)


def test_a_pictures_array_may_be_written_to(tmp_path, write_jpg):
    image = load(write_jpg(tmp_path / 'a.jpg', values((6, 5, 3), np.uint8)))['img']
    image[0, 0, 0] = 7
    assert image[0, 0, 0] == 7


def test_unmeasured_pixels_get_the_mean_of_their_band(tmp_path, write_tif):
    image = np.full((4, 4, 2), 10., np.float32)
    image[:, :, 1] = 20
    image[0, 0, 0], image[0, 1, 1], image[3, 3, 0] = np.nan, np.inf, 30
    results = load(write_tif(tmp_path / 'a.tif', image, ('B02', 'B03')), sensor='sentinel2_l2a')
    assert np.isfinite(results['img']).all()
    assert results['img'][0, 0, 0] == pytest.approx((14 * 10 + 30) / 15) and results['img'][0, 1, 1] == 20
    assert (~results['valid_mask']).sum() == 2 and not results['valid_mask'][0, 0, 0]


def test_nodata_of_the_file_and_zero_in_all_bands_are_masked(tmp_path, write_tif):
    image = values((4, 4, 2)) + 1000
    image[0, 0] = 0          # empty in all bands
    image[1, 1, 0] = 0       # dark in one band only: a measurement
    image[2, 2, 1] = 999
    path = write_tif(tmp_path / 'a.tif', image.astype(np.uint16), ('B02', 'B03'), nodata=999)
    mask = load(path, sensor='sentinel2_l2a')['valid_mask']
    assert not mask[0, 0].any() and mask[1, 1].all() and mask[2, 2].tolist() == [True, False]
    assert mask.sum() == mask.size - 3


def test_a_band_without_any_measurement_is_named(tmp_path, write_tif):
    image = np.ones((4, 4, 3), np.float32)
    image[:, :, 1] = np.nan
    path = write_tif(tmp_path / 'a.tif', image, ('B02', 'B03', 'B04'))
    with pytest.raises(ValueError, match='a.tif has no valid pixel in band B03: all are NaN or nodata'):
        load(path, sensor='sentinel2_l2a')
    assert load(path, sensor='sentinel2_l2a', bands=['B04', 'B02'])['valid_mask'] is None


def test_filling_is_said_once_with_the_file_and_the_share(tmp_path, write_tif, monkeypatch):
    said = []
    monkeypatch.setattr(loading, '_logged', set())
    monkeypatch.setattr(loading.MMLogger.get_current_instance(), 'log', lambda level, text: said.append((level, text)))
    image = np.ones((4, 4, 2), np.float32)
    image[0, 0], image[1, 1:, 1] = np.nan, np.nan
    for name in ('a.tif', 'b.tif'):
        load(write_tif(tmp_path / name, image, ('B02', 'B03')), sensor='sentinel2_l2a')
    text, = [text for level, text in said if level == logging.WARNING]
    assert 'a.tif' in text and '25.0% of band B03' in text


@pytest.mark.parametrize('value, dtype, nodata', [(np.nan, np.float32, None), (0, np.uint16, None), (7, np.uint16, 7)])
def test_an_image_without_a_valid_pixel_is_named(tmp_path, write_tif, value, dtype, nodata):
    path = write_tif(tmp_path / 'void.tif', np.full((4, 4, 2), value, dtype), ('B02', 'B03'), nodata=nodata)
    with pytest.raises(ValueError, match='void.tif has no valid pixel'):
        load(path, sensor='sentinel2_l2a')


def test_a_black_picture_is_a_picture(tmp_path, write_jpg):
    assert load(write_jpg(tmp_path / 'night.jpg', np.zeros((4, 4, 3), np.uint8)))['valid_mask'] is None


def test_files_that_are_cut_off_or_no_image_are_named(tmp_path, write_tif, write_jpg, write_mat):
    good = {'tif': write_tif(tmp_path / 'a.tif', values((64, 64, 4))),
            'jpg': write_jpg(tmp_path / 'a.jpg', values((64, 64, 3), np.uint8)),
            'mat': write_mat(tmp_path / 'a.mat', values((64, 64, 4)))}
    Image.fromarray(values((64, 64, 3), np.uint8)).save(tmp_path / 'a.png')
    np.save(tmp_path / 'a.npy', values((64, 64, 4)))
    good.update(png=tmp_path / 'a.png', npy=tmp_path / 'a.npy')
    for suffix, path in good.items():
        content = path.read_bytes()
        for name, damaged in (('cut', content[:len(content) // 2]), ('text', b'<html>404 not found</html>'),
                              ('empty', b'')):
            broken = tmp_path / f'{name}.{suffix}'
            broken.write_bytes(damaged)
            with pytest.raises(ValueError, match=rf'{name}.{suffix} \([\d,]+ bytes\) cannot be read as a'):
                load(broken, sensor='rgb' if suffix in ('jpg', 'png') else 'sentinel2_l2a',
                     file_bands=None if suffix in ('jpg', 'png') else ['B02', 'B03', 'B04', 'B08'])
        with pytest.raises(FileNotFoundError, match=f'no image at .*gone.{suffix}'):
            load(tmp_path / f'gone.{suffix}')


def test_what_a_picture_is_decides_how_it_is_read(tmp_path, write_jpg):
    colour = values((64, 64, 3), np.uint8)
    jpeg = load(write_jpg(tmp_path / 'a.jpg', colour))['img']
    Image.fromarray(colour).save(tmp_path / 'a.png')
    picture = (tmp_path / 'a.png').read_bytes()
    for name, content, image in (('jpeg.png', (tmp_path / 'a.jpg').read_bytes(), jpeg), ('png.jpg', picture, colour),
                                 ('longer.png', picture + bytes(200), colour)):
        (tmp_path / name).write_bytes(content)
        np.testing.assert_array_equal(load(tmp_path / name)['img'], image)
    Image.fromarray(values((8, 8)) + 3000).save(tmp_path / 'tiff.png', 'TIFF')
    with pytest.raises(ValueError, match='tiff.png .* it is a TIFF of more than 8 bits'):
        load(tmp_path / 'tiff.png')


@pytest.mark.parametrize('image, message', [
    (np.ones((2, 3, 4, 5)), r'shape \(2, 3, 4, 5\)'), (np.ones((0, 0, 4)), r'shape \(0, 0, 4\) .*at least one of each'),
    (np.ones((4, 4, 4), complex), r'complex numbers \(complex128\); expected real ones')])
def test_arrays_that_are_no_images_are_named(tmp_path, write_mat, image, message):
    np.save(tmp_path / 'a.npy', image)
    write_mat(tmp_path / 'a.mat', image)
    for name in ('a.npy', 'a.mat'):
        with pytest.raises(ValueError, match=f'{name} holds .*{message}'):
            load(tmp_path / name, sensor='sentinel2_l2a', file_bands=['B02', 'B03', 'B04', 'B08'])


def test_a_geotiff_of_complex_numbers_is_refused(tmp_path, write_tif):
    path = write_tif(tmp_path / 'slc.tif', np.full((4, 4, 2), 1 + 2j, np.complex64), ('B02', 'B03'))
    with pytest.raises(ValueError, match=r'slc.tif holds complex numbers \(complex64\); expected real ones'):
        load(path, sensor='sentinel2_l2a')


@pytest.mark.parametrize('name, write', [
    ('a.mat', lambda path: scipy.io.savemat(path, dict(msi=values((64, 64, 4))), do_compression=True)),
    ('a.npy', lambda path: np.save(path, values((64, 64, 4)))),
    ('several.npy', lambda path: path.write_bytes(b'PK\x03\x04' + bytes(99)))])  # as of np.savez
def test_a_damaged_array_is_named(tmp_path, name, write):
    write(tmp_path / name)
    with open(tmp_path / name, 'r+b') as file:
        file.seek(200 if name == 'a.mat' else 20)
        file.write(b'((')
    with pytest.raises(ValueError, match=rf'{name} \([\d,]+ bytes\) cannot be read as a'):
        load(tmp_path / name, sensor='sentinel2_l2a', file_bands=['B02', 'B03', 'B04', 'B08'])


def test_wrong_band_counts_and_names(tmp_path, write_tif, write_mat):
    path = write_tif(tmp_path / 'a.tif', values())
    with pytest.raises(ValueError, match="a.tif has 4 bands, but sensor 'sentinel2_l2a' has 12: .*file_bands"):
        load(path, sensor='sentinel2_l2a')
    with pytest.raises(ValueError, match='a.tif has 4 bands, but file_bands names 2: B02, B03'):
        load(path, sensor='sentinel2_l2a', file_bands=['B02', 'B03'])
    with pytest.raises(ValueError, match="no band 'B8' in .*a.tif, nearest is 'B08'. Its bands: B02, B03, B04, B08"):
        load(path, sensor='sentinel2_l2a', file_bands=['B02', 'B03', 'B04', 'B08'], bands=['B8'])
    with pytest.raises(ValueError, match='a.mat has 9 bands, but file_bands names 2'):
        load(write_mat(tmp_path / 'a.mat', values((7, 8, 9))), sensor='sentinel2_l2a', file_bands=['B02', 'B03'])
    with pytest.raises(ValueError, match="no reader for '.gif'"):
        load(tmp_path / 'a.gif')
    np.save(tmp_path / 'flat.npy', np.ones(5))
    with pytest.raises(ValueError, match=r'flat.npy holds an array of shape \(5,\)'):
        load(tmp_path / 'flat.npy')


def test_mat_files_without_a_clear_image(tmp_path):
    scipy.io.savemat(tmp_path / 'a.mat', dict(one=np.ones((2, 2, 3)), two=np.ones((2, 2, 3))))
    with pytest.raises(ValueError, match="a.mat has no array 'msi' and 2 three-dimensional arrays.*one, two"):
        load(tmp_path / 'a.mat')


def test_a_data_set_that_names_no_bands_leaves_them_to_the_transform(tmp_path):
    np.save(tmp_path / 'a.npy', np.arange(12, dtype=np.uint16) * np.ones((2, 2, 1), np.uint16))
    names = get_sensor('sentinel2_l2a').band_names
    transform = TRANSFORMS.build(dict(type='LoadRaster', sensor='sentinel2_l2a', bands=('B04', 'B08')))
    found = transform(dict(img_path=str(tmp_path / 'a.npy')))
    assert found['bands'] == ['B04', 'B08'] and found['sensor'] == 'sentinel2_l2a'
    assert found['img'][0, 0].tolist() == [names.index('B04'), names.index('B08')]
    own = transform(dict(img_path=str(tmp_path / 'a.npy'), bands=['B02'], file_bands=tuple(reversed(names))))
    assert own['img'][0, 0].tolist() == [11 - names.index('B02')]  # what the data set says counts
    with pytest.raises(ValueError, match='sentinel2_l2a'):
        TRANSFORMS.build(dict(type='LoadRaster', sensor='sentinel2_l2aa'))
