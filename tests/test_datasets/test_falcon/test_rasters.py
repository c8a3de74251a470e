"""Rasters of several bands and of more than eight bits, as pictures."""

import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio.enums import ColorInterp

from rstoolbox.datasets.falcon.images import image_size, load_image, load_mask

pytestmark = pytest.mark.filterwarnings('ignore::rasterio.errors.NotGeoreferencedWarning')


def write(path, values, names=(), colours=None, nodata=None):
    """Write bands (C, H, W) as a GeoTIFF."""
    count, height, width = values.shape
    with rasterio.open(path, 'w', driver='GTiff', count=count, height=height, width=width, dtype=values.dtype,
                       nodata=nodata, photometric='MINISBLACK') as target:
        target.write(values)
        for number, name in enumerate(names, 1):
            target.set_band_description(number, name)
        if colours:
            target.colorinterp = colours
    return path


@pytest.fixture
def bands():
    """Four bands of 12 x 20 pixels; band k is brighter than the one before by 1000."""
    steps = np.linspace(0, 900, 240).reshape(12, 20)
    return np.stack([steps + 1000 * band for band in range(4)]).astype(np.uint16)


@pytest.mark.parametrize('kind', ['descriptions', 'colours'])
def test_red_green_and_blue_are_found_by_what_the_file_says(bands, tmp_path, kind):
    said = dict(names=('B02', 'b3', 'Red', 'B08')) if kind == 'descriptions' else dict(
        colours=[ColorInterp.blue, ColorInterp.green, ColorInterp.red, ColorInterp.undefined])
    path = write(tmp_path / 'a.tif', bands, **said)
    image = load_image(path)
    assert image_size(path) == (20, 12) and image.shape == (12, 20, 3) and image.dtype == np.uint8
    red, green, blue = image.transpose(2, 0, 1).astype(int)
    assert (red > green).all() and (green > blue).all() and red.max() == 255 and blue.min() == 0
    # One stretch for all three: equal steps stay equal in every band.
    assert abs(np.ptp(green) - 900 / 2900 * 255) < 12


def test_a_crop_is_what_lies_there(bands, tmp_path):
    path = write(tmp_path / 'a.tif', bands[:3])
    crop = load_image(path, (5, 2, 15, 12))
    assert crop.shape == (10, 10, 3)
    low, high = np.percentile(bands[:3, 2:12, 5:15], (2, 98))
    expected = np.clip((bands[:3, 2:12, 5:15] - low) / (high - low), 0, 1) * 255
    assert np.abs(crop - expected.transpose(1, 2, 0)).max() < 1.01
    with pytest.raises(ValueError, match='reaches beyond .*a.tif'):
        load_image(path, (5, 2, 25, 12))


def test_pixels_without_a_measurement_are_black_and_stretch_nothing(tmp_path):
    values = np.full((3, 8, 8), 100, np.float32) + np.arange(64, dtype=np.float32).reshape(8, 8)
    values[:, 0] = -9999
    values[:, 1, 0] = np.nan
    image = load_image(write(tmp_path / 'a.tif', values, nodata=-9999))
    assert not image[0].any() and not image[1, 0].any()
    assert image[7, 7].tolist() == [255] * 3 and np.ptp(image[2:]) > 200
    values[:] = np.nan
    with pytest.raises(ValueError, match="a.tif' holds not a single number"):
        load_image(write(tmp_path / 'a.tif', values))


def test_one_band_becomes_grey(tmp_path):
    values = np.arange(64, dtype=np.uint16).reshape(1, 8, 8) * 500
    image = load_image(write(tmp_path / 'a.tif', values))
    assert (image == image[..., :1]).all() and image.min() == 0 and image.max() == 255
    Image.fromarray(values[0]).save(tmp_path / 'a.png')
    assert (load_image(tmp_path / 'a.png') == image).all()


def test_bands_that_cannot_be_told_apart_are_named(bands, tmp_path):
    path = write(tmp_path / 'a.tif', bands, ('B08', 'B11', 'B04', ''))
    with pytest.raises(ValueError, match=r"a.tif' does not say .* 4 bands are red.* \(B08, B11, B04, number 4\).*gdal"):
        load_image(path)


def test_a_raster_that_ends_too_soon_is_named(tmp_path):
    values = np.random.default_rng(0).integers(0, 9999, (4, 64, 64)).astype(np.uint16)
    path = write(tmp_path / 'a.tif', values, ('R', 'G', 'B', 'N'))
    path.write_bytes(path.read_bytes()[:20000])
    with pytest.raises(ValueError, match="a.tif' is no image that can be read"):
        load_image(path)


@pytest.mark.parametrize('kind', ['pixel.tif', 'band.tif', 'a.png'])
def test_colours_of_16_bits_are_not_cut_to_eight(tmp_path, kind):
    # 3,000 of 65,535, as reflectances are: nearly black in the upper eight bits, noise in the lower ones.
    ramp = np.linspace(200, 3000, 96)[None].repeat(96, 0)
    bands = np.stack([ramp, ramp[:, ::-1], ramp.T]).astype(np.uint16)
    driver = {} if kind == 'a.png' else dict(interleave=kind.removesuffix('.tif'), photometric='RGB')
    with rasterio.open(tmp_path / kind, 'w', driver='PNG' if kind == 'a.png' else 'GTiff', count=3, height=96, width=96,
                       dtype=np.uint16, **driver) as target:
        target.write(bands)
    low, high = np.percentile(bands, (2, 98))
    expected = np.clip((bands - low) / (high - low), 0, 1) * 255
    assert np.abs(load_image(tmp_path / kind) - expected.transpose(1, 2, 0)).max() < 2
    assert np.array_equal(load_mask(tmp_path / kind), bands.transpose(1, 2, 0))


def test_colours_of_a_mask_that_was_written_in_16_bits_are_those_of_eight(tmp_path):
    colours = np.array([[[255, 0, 0], [0, 0, 63]]], np.uint8)
    with rasterio.open(tmp_path / 'a.png', 'w', driver='PNG', count=3, height=1, width=2, dtype=np.uint16) as target:
        target.write(colours.transpose(2, 0, 1) * np.uint16(257))
    mask = load_mask(tmp_path / 'a.png')
    assert mask.dtype == np.uint8 and np.array_equal(mask, colours)


def test_a_mask_of_one_bit_holds_numbers(tmp_path):
    Image.fromarray(np.array([[True, False]])).save(tmp_path / 'a.png')
    mask = load_mask(tmp_path / 'a.png')
    assert mask.dtype == np.uint8 and mask.tolist() == [[1, 0]]


def test_an_image_of_one_value_is_grey(tmp_path):
    assert (load_image(write(tmp_path / 'a.tif', np.full((3, 4, 4), 65535, np.uint16))) == 127).all()


def test_grey_with_alpha_multiplied_in_is_read(tmp_path):
    values = np.stack([np.full((4, 4), 90), np.full((4, 4), 255)]).astype(np.uint8)
    with rasterio.open(tmp_path / 'a.tif', 'w', driver='GTiff', count=2, height=4, width=4, dtype=np.uint8,
                       photometric='MINISBLACK', alpha='PREMULTIPLIED') as target:
        target.write(values)
    assert (load_image(tmp_path / 'a.tif') == 90).all()


def test_complex_numbers_are_no_picture(tmp_path):
    path = write(tmp_path / 'a.tif', np.ones((1, 4, 4), np.complex64))
    with pytest.raises(ValueError, match='a.tif.* holds complex numbers'):
        load_image(path)
