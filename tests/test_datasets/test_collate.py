"""Batches as loaders hand them over."""

import pytest
import torch
from mmengine.registry import FUNCTIONS
from mmpretrain.structures import DataSample
from torch.utils.data import DataLoader

from rstoolbox.datasets import stack_images


def samples(*shapes):
    return [dict(inputs=torch.full(shape, float(row)), data_samples=DataSample(metainfo=dict(sample_id=str(row))))
            for row, shape in enumerate(shapes)]


@pytest.mark.parametrize('workers', [0, 2])
def test_images_of_one_shape_are_stacked_and_samples_stay_a_list(workers):
    loader = DataLoader(samples(*[(3, 4, 5)] * 4), 4, collate_fn=stack_images, num_workers=workers)
    batch = next(iter(loader))
    assert batch['inputs'].shape == (4, 3, 4, 5)
    assert batch['inputs'][:, 0, 0, 0].tolist() == [0, 1, 2, 3]
    assert [sample.sample_id for sample in batch['data_samples']] == ['0', '1', '2', '3']


def test_images_of_several_shapes_stay_a_list():
    batch = stack_images(samples((3, 4, 5), (3, 5, 4)))
    assert [image.shape for image in batch['inputs']] == [(3, 4, 5), (3, 5, 4)]


def test_each_side_of_a_pair_is_stacked_for_itself():
    pairs = [dict(inputs=dict(student=torch.zeros(3, 4, 4), teacher=torch.zeros(10, size, size)),
                  data_samples=DataSample()) for size in (4, 6)]
    inputs = stack_images(pairs)['inputs']
    assert inputs['student'].shape == (2, 3, 4, 4)
    assert [image.shape for image in inputs['teacher']] == [(10, 4, 4), (10, 6, 6)]


def test_a_config_finds_it_by_name():
    assert FUNCTIONS.get('rstoolbox.stack_images') is stack_images
