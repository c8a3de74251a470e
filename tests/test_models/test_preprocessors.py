"""Normalised once, logged once; what does not fit is named by its sample id."""

import copy

import pytest
import torch
from mmengine.model import BaseDataPreprocessor

from rstoolbox.models import DistillPreprocessor, ScenePreprocessor

BANDS = ('B02', 'B08', 'B11')
STATISTICS = {'B08': dict(mean=0.3, std=0.2), 'B02': dict(mean=0.1, std=0.05), 'B11': dict(mean=0.2, std=0.1),
              'B12': dict(mean=9., std=9.)}


@pytest.fixture
def preprocessor():
    return ScenePreprocessor(BANDS, STATISTICS, num_classes=4)


@pytest.mark.parametrize('stacked', [False, True])
def test_every_band_is_normalised_by_its_own_statistics(preprocessor, samples, stacked):
    images = torch.rand(4, 3, 8, 8)
    data = dict(inputs=images if stacked else list(images), data_samples=samples())
    batch = preprocessor(data)
    expected = torch.stack([(images[:, 0] - 0.1) / 0.05, (images[:, 1] - 0.3) / 0.2, (images[:, 2] - 0.2) / 0.1], 1)
    torch.testing.assert_close(batch['inputs'], expected)
    assert [sample.gt_label.item() for sample in batch['data_samples']] == [0, 1, 2, 3]


def test_images_of_several_sizes_are_padded_as_mmpretrain_does(preprocessor):
    assert preprocessor(dict(inputs=[torch.rand(3, 8, 8), torch.rand(3, 6, 10)]))['inputs'].shape == (2, 3, 8, 10)


def test_table_is_logged_exactly_once(logged, samples):
    preprocessor = ScenePreprocessor(BANDS, STATISTICS)
    copy.deepcopy(preprocessor)
    for _ in range(2):
        preprocessor(dict(inputs=list(torch.rand(4, 3, 8, 8)), data_samples=samples()), training=True)
    assert len(logged) == 1
    rows = [line.split() for line in logged[0].splitlines()]
    assert rows[1:] == [['band', 'mean', 'std'], ['B02', '0.1', '0.05'], ['B08', '0.3', '0.2'], ['B11', '0.2', '0.1']]


def test_wrong_channel_count_names_the_sample(preprocessor, samples):
    images = [torch.rand(3, 8, 8), torch.rand(3, 8, 8), torch.rand(13, 8, 8), torch.rand(3, 8, 8)]
    with pytest.raises(ValueError, match=r"image 's2' has shape \(13, 8, 8\); expected .* 3 channels: B02, B08"):
        preprocessor(dict(inputs=images, data_samples=samples()))
    with pytest.raises(ValueError, match='image 2 of the batch has shape'):
        preprocessor(dict(inputs=images))


@pytest.mark.parametrize('label', [4, -1, [1, 7]])
def test_label_out_of_range_names_the_sample(preprocessor, samples, label):
    with pytest.raises(ValueError, match="image 's1' has the label .*; the model has 4 classes, 0 to 3"):
        preprocessor(dict(inputs=list(torch.rand(2, 3, 8, 8)), data_samples=samples([0, label])))


def test_images_without_statistics_do_not_pass(samples):
    with pytest.raises(ValueError, match="no statistics for the bands B02, B08, B11, so image 's0' cannot"):
        ScenePreprocessor(BANDS)(dict(inputs=list(torch.rand(4, 3, 8, 8)), data_samples=samples()))


def test_statistics_without_a_band_are_refused():
    with pytest.raises(ValueError, match="no band 'B8A'"):
        ScenePreprocessor(('B02', 'B8A'), STATISTICS)


def test_both_sides_are_prepared_each_by_its_own(preprocessor, samples):
    teacher = ScenePreprocessor(('B12',), STATISTICS)
    both = DistillPreprocessor(preprocessor, teacher)
    assert isinstance(both, BaseDataPreprocessor)
    images = dict(student=list(torch.full((4, 3, 8, 8), 0.2)), teacher=list(torch.full((4, 1, 4, 4), 18.)))
    batch = both(dict(inputs=images, data_samples=samples()))
    torch.testing.assert_close(batch['inputs']['student'][0, :, 0, 0], torch.tensor([2., -0.5, 0.]))
    assert batch['inputs']['teacher'].shape == (4, 1, 4, 4)
    assert (batch['inputs']['teacher'] == 1).all()
    plain = both(dict(inputs=list(torch.rand(4, 3, 8, 8)), data_samples=samples()))
    assert plain['inputs'].shape == (4, 3, 8, 8)
    alone = DistillPreprocessor(preprocessor)(dict(inputs=dict(student=list(torch.rand(4, 3, 8, 8)))))
    assert list(alone['inputs']) == ['student']
