"""Both views of a scene for the matcher."""

import numpy as np
import pytest

import rstoolbox.datasets  # noqa: F401, registers the transforms
from rstoolbox.registry import TRANSFORMS

BANDS = ['B02', 'B03', 'B04', 'B08']


def scene():
    image = np.random.default_rng(0).random((8, 6, 4)).astype(np.float32)
    return dict(img=image, bands=BANDS, sensor='sentinel2_l1c', sample_id='MS/Forest/1.tif', gt_label=2,
                unit='reflectance', img_shape=(8, 6), img_path='1.tif')


def test_both_views_show_the_same_scene():
    image = scene()['img']
    ms, rgb = dict(mean=0.2, std=0.1), dict(mean=0.4, std=0.2)
    statistics = dict(ms=dict.fromkeys(BANDS, ms), rgb=dict.fromkeys('RGB', rgb))
    packed = TRANSFORMS.build(dict(type='PackMatcherInputs', statistics=statistics))(scene())
    assert np.allclose(packed['inputs']['ms'], image.transpose(2, 0, 1))
    assert np.allclose(packed['inputs']['rgb'], np.clip(2 * image[..., [2, 1, 0]], 0, 1).transpose(2, 0, 1), atol=1e-6)
    assert packed['data_samples'].sample_id == 'MS/Forest/1.tif'
    assert packed['data_samples'].bands == BANDS
    assert packed['data_samples'].gt_label.item() == 2


def test_a_view_can_be_changed_alone():
    jitter = dict(type='RadiometricJitter', brightness=1., contrast=0., band_gain=0.)
    plain = TRANSFORMS.build(dict(type='PackMatcherInputs'))(scene())['inputs']
    ms = TRANSFORMS.build(dict(type='PackMatcherInputs', ms_transforms=[jitter]))(scene())['inputs']
    rgb = TRANSFORMS.build(dict(type='PackMatcherInputs', rgb_transforms=[jitter]))(scene())['inputs']
    assert not np.allclose(ms['ms'], plain['ms'])
    assert np.allclose(ms['rgb'], plain['rgb'])
    assert np.allclose(rgb['ms'], plain['ms'])
    assert not np.allclose(rgb['rgb'], plain['rgb'])


def test_a_scene_without_a_red_band_is_refused():
    with pytest.raises(ValueError, match='B04'):
        TRANSFORMS.build(dict(type='PackMatcherInputs'))(dict(scene(), bands=['B02', 'B03', 'B05', 'B08']))
