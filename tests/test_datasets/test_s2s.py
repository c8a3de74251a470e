"""The three pairs of the benchmark."""

import numpy as np
import pytest

from rstoolbox.datasets import EUROSAT_FILE_BANDS, SENTINEL2_SURFACE_BANDS
from rstoolbox.registry import DATASETS

KINDS = {'S2S_EU': (10, 10, 64, 'single'), 'S2S_CN': (10, 14, 64 * 2, 'single'), 'M2S_GL': (15, 10, 128, 'multi')}


@pytest.mark.parametrize('name', KINDS)
def test_what_each_pair_is_like(name):
    num_classes, num_bands, size, label_kind = KINDS[name]
    kind = DATASETS.get(name)
    assert len(set(kind.METAINFO['classes'])) == num_classes and kind.IMAGE_SIZE == size
    ms, rgb = (kind('absent', modality=modality, lazy_init=True) for modality in ('ms', 'rgb'))
    assert len(ms.bands) == num_bands and ms.label_kind == label_kind
    assert rgb.bands == ('R', 'G', 'B') and rgb.label_kind == 'single'
    assert (ms.data_prefix['img_path'], rgb.data_prefix['img_path']) == ('absent/MS', 'absent/RGB')
    with pytest.raises(ValueError, match=f"{name}: modality='sar' is unknown"):
        kind('absent', modality='sar')


def test_europe_reads_the_near_infrared_from_eurosats_file_order(tmp_path, write_tif):
    image = np.arange(1, 14, dtype=np.uint16) * np.ones((4, 4, 1), np.uint16)
    classes = DATASETS.get('S2S_EU').METAINFO['classes']
    for name in classes:
        write_tif(tmp_path / 'MS' / name / 'a.tif', image)
    dataset = DATASETS.build(dict(type='S2S_EU', data_root=str(tmp_path), modality='ms', pipeline=[
        dict(type='LoadRaster'), dict(type='mmpretrain.PackInputs')]))
    places = dataset[0]['inputs'][:, 0, 0].tolist()
    assert [EUROSAT_FILE_BANDS[place - 1] for place in places] == list(SENTINEL2_SURFACE_BANDS)
    assert dataset.gt_labels.tolist() == list(range(10))
    other = DATASETS.build(dict(type='S2S_EU', data_root=str(tmp_path), modality='ms', bands=['B04'], lazy_init=True))
    assert other.bands == ('B04',)
