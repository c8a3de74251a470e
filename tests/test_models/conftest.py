"""Small networks and batches for the tests of the models."""

import logging

import pytest
import torch
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from mmpretrain.structures import DataSample

import rstoolbox.models  # noqa: F401, registers what the configs name

RGB = ('R', 'G', 'B')
TEN_BANDS = ('B02', 'B03', 'B04', 'B05', 'B06', 'B07', 'B08', 'B8A', 'B11', 'B12')


@pytest.fixture(autouse=True)
def default_scope():
    init_default_scope('rstoolbox')
    torch.manual_seed(0)


@pytest.fixture
def classifier_config():
    """A function from bands and classes to the config of a small SceneClassifier with four stages of maps."""

    def config(bands=RGB, num_classes=5, width=8, **kwargs):
        return dict(
            type='SceneClassifier', bands=bands,
            backbone=dict(type='ResNet', depth=18, stem_channels=width, base_channels=width, out_indices=(2, 3)),
            neck=dict(type='GlobalAveragePooling'),
            head=dict(type='LinearClsHead', num_classes=num_classes, in_channels=8 * width),
            data_preprocessor=dict(statistics={band: dict(mean=0.2, std=0.1) for band in bands}), **kwargs)

    return config


@pytest.fixture
def samples():
    """A function from labels to data samples s0, s1, ... that name the gallery rows 0, 1, ..."""

    def make(labels=(0, 1, 2, 3)):
        return [DataSample(metainfo=dict(sample_id=f's{row}', teacher_index=row)).set_gt_label(label)
                for row, label in enumerate(labels)]

    return make


@pytest.fixture
def pair_batch(samples):
    """A batch as the data loader gives it: images of both sides, and the student's samples."""

    def make(labels=(0, 1, 2, 3), teacher_bands=10, size=32):
        random = torch.Generator().manual_seed(1)
        return dict(inputs=dict(student=[torch.rand(3, size, size, generator=random) for _ in labels],
                                teacher=[torch.rand(teacher_bands, size, size, generator=random) for _ in labels]),
                    data_samples=samples(labels))

    return make


@pytest.fixture
def logged():
    """A list that gathers what is logged during the test."""
    lines = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    logger = MMLogger.get_current_instance()
    logger.addHandler(handler)
    yield lines
    logger.removeHandler(handler)
