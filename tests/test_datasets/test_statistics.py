"""Statistics of a stream of images equal those of all pixels at once."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rstoolbox.datasets import compute_statistics
from rstoolbox.datasets.statistics import RunningStatistics
from rstoolbox.registry import DATASETS
from rstoolbox.structures import load_statistics


@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.booleans())
def test_streaming_equals_all_at_once(seed, num_images, masked):
    generator = np.random.default_rng(seed)
    images = [generator.normal(5000, 3, (4, generator.integers(1, 9), 3)) for _ in range(num_images)]
    masks = [generator.random(image.shape) < 0.7 if masked else np.ones(image.shape, bool) for image in images]
    masks[0][0] = True
    running = RunningStatistics('RGB')
    for image, mask in zip(images, masks):
        running.update(image, mask if masked else None)
    for place, band in enumerate('RGB'):
        pixels = np.concatenate([image[..., place][mask[..., place]] for image, mask in zip(images, masks)])
        expected = [pixels.mean(), pixels.std(), pixels.min(), pixels.max()]
        np.testing.assert_allclose([running.result()[band][key] for key in ('mean', 'std', 'min', 'max')], expected,
                                   rtol=1e-7, atol=1e-7)


def test_a_data_sets_statistics_are_in_the_units_of_its_images(teacher_cfg):
    dataset = DATASETS.build(teacher_cfg)
    infos = [dataset.get_data_info(index) for index in range(len(dataset))]
    result = compute_statistics(infos, dataset.pipeline.transforms)
    assert result['unit'] == 'reflectance' and result['num_images'] == 20
    pixels = np.stack([dataset[index]['inputs'].numpy() for index in range(len(dataset))])
    means, stds = load_statistics(result, dataset.bands)
    np.testing.assert_allclose(means, pixels.mean((0, 2, 3)), rtol=1e-5)
    np.testing.assert_allclose(stds, pixels.std((0, 2, 3)), rtol=1e-4)


def test_unmeasured_pixels_do_not_count(tmp_path, write_tif):
    image = np.full((4, 4, 1), 2000, np.uint16)
    image[0] = 9
    path = write_tif(tmp_path / 'a.tif', image, ['B02'], nodata=9)
    result = compute_statistics([dict(img_path=str(path), sensor='sentinel2_l2a')])
    assert result['statistics']['B02'] == pytest.approx(dict(mean=0.2, std=0, min=0.2, max=0.2))


def test_nothing_and_mixed_bands_are_refused(tmp_path, write_tif):
    with pytest.raises(ValueError, match='no images'):
        compute_statistics([])
    paths = [write_tif(tmp_path / f'{band}.tif', np.ones((4, 4, 1), np.uint16), [band]) for band in ('B02', 'B03')]
    with pytest.raises(ValueError, match='B03.tif has the bands B03, the images before it B02'):
        compute_statistics([dict(img_path=str(path), sensor='sentinel2_l2a') for path in paths])
