"""Small networks and batches for the tests of the models."""

import copy
import logging

import pytest
import torch
from mmengine.logging import MMLogger
from mmengine.optim import OptimWrapper
from mmengine.registry import init_default_scope
from mmpretrain.structures import DataSample
from torch import nn

from rstoolbox.models import TransferLoss, save_student
from rstoolbox.registry import MODELS, TRANSFER_LOSSES

RGB = ('R', 'G', 'B')
TEN_BANDS = ('B02', 'B03', 'B04', 'B05', 'B06', 'B07', 'B08', 'B8A', 'B11', 'B12')


@pytest.fixture(autouse=True)
def default_scope():
    init_default_scope('rstoolbox')
    torch.manual_seed(0)


@pytest.fixture(scope='session')
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


@TRANSFER_LOSSES.register_module(force=True)
class EverythingMSE(TransferLoss):
    """Touches every output, with a trainable part of a width that only the networks know."""

    needs = ('logits', 'embedding', 'tokens', 'feats')

    def build(self, student, teacher):
        self.projection = nn.Linear(student['embedding'].shape[1], teacher['embedding'].shape[1])

    def compare(self, student, teacher, labels, progress):
        pairs = [(student[name], teacher[name]) for name in ('logits', 'tokens')]
        pairs += zip(student['feats'], teacher['feats'], strict=True)
        distance = (self.projection(student['embedding']) - teacher['embedding']).pow(2).mean()
        return distance + sum((mine.mean() - theirs.mean()).pow(2) for mine, theirs in pairs)


@TRANSFER_LOSSES.register_module(force=True)
class Recorder(TransferLoss):
    """Keeps what it is given."""

    def compare(self, student, teacher, labels, progress):
        self.seen = dict(student=student, teacher=teacher, labels=labels, progress=progress)
        return student['logits'].sum() * 0


@pytest.fixture
def distiller_config(classifier_config):

    def config(losses=None, **kwargs):
        losses = losses or dict(kd=dict(type='KD'), every=dict(type='EverythingMSE', loss_weight=0.1))
        teacher = classifier_config(TEN_BANDS, width=16)
        return {**dict(type='Distiller', student=classifier_config(), teacher=teacher, losses=losses, image_size=32),
                **kwargs}

    return config


@pytest.fixture
def teacher_file(classifier_config, tmp_path):
    teacher = MODELS.build(classifier_config(TEN_BANDS, width=16))
    for module in teacher.modules():  # statistics that differ from the start
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean)
    save_student(tmp_path / 'teacher.pth', teacher.state_dict(), dict(bands=TEN_BANDS))
    return str(tmp_path / 'teacher.pth')


@pytest.fixture
def steps():
    """A function that trains a model on one batch and returns the losses of each step."""

    def train(model, batch, count, learning_rate=0.05):
        optimizer = OptimWrapper(torch.optim.SGD(model.parameters(), lr=learning_rate, momentum=0.9))
        model.train()
        return [{name: value.item() for name, value in model.train_step(copy.deepcopy(batch), optimizer).items()}
                for _ in range(count)]

    return train
