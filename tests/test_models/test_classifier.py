"""SceneClassifier: mmpretrain's classifier with named bands."""

import copy

import pytest
import torch
from mmengine.registry import DefaultScope
from mmpretrain.models import ImageClassifier
from torch import nn

from rstoolbox.models import NonFiniteLossError, load_state, save_student
from rstoolbox.registry import MODELS, UnknownTypeError

TEN_BANDS = ('B02', 'B03', 'B04', 'B05', 'B06', 'B07', 'B08', 'B8A', 'B11', 'B12')


def plain(config):
    """The same network built by mmpretrain alone."""
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return ImageClassifier(**{part: copy.deepcopy(config[part]) for part in ('backbone', 'neck', 'head')})


def test_weights_load_into_plain_mmpretrain_and_give_equal_outputs(classifier_config, tmp_path):
    config = classifier_config()
    model = MODELS.build(config)
    model.init_weights()
    save_student(tmp_path / 'student.pth', model.state_dict(), dict(bands=model.bands))
    other = plain(config)
    other.load_state_dict(load_state(tmp_path / 'student.pth')['state_dict'], strict=True)
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(model.eval()(images), other.eval()(images))


def test_pretrained_weights_are_inflated_whichever_way_they_come(classifier_config, tmp_path, logged):
    source = plain(classifier_config())
    path = str(tmp_path / 'rgb.pth')
    torch.save(dict(state_dict=source.state_dict()), path)
    whole = MODELS.build(classifier_config(TEN_BANDS, pretrained=path))
    whole.init_weights()
    config = classifier_config(TEN_BANDS)
    config['backbone']['init_cfg'] = dict(type='Pretrained', checkpoint=path, prefix='backbone')
    part = MODELS.build(config)
    part.init_weights()
    weight = source.backbone.conv1.weight
    for model in (whole, part):
        assert torch.equal(model.backbone.layer4[0].conv1.weight, source.backbone.layer4[0].conv1.weight)
        torch.testing.assert_close(model.backbone.conv1.weight[:, 0], weight[:, 2] * 0.3)  # B02 is blue
        torch.testing.assert_close(model.backbone.conv1.weight[:, 6], weight.mean(1) * 0.3)
    assert sum("Pretrained weights of 'conv1.weight', 3 -> 10 channels" in line for line in logged) == 2


def test_batch_of_one_trains(classifier_config, samples):
    model = MODELS.build(classifier_config(TEN_BANDS)).train()
    data = model.data_preprocessor(dict(inputs=[torch.rand(10, 64, 64)], data_samples=samples([3])), True)
    loss = model(**data, mode='loss')['loss']
    loss.backward()
    assert torch.isfinite(loss)


def test_parts_of_the_toolbox_and_of_plugins_go_by_their_own_name(classifier_config):

    @MODELS.register_module(name='OneConvolution', force=True)
    class OneConvolution(nn.Module):

        def __init__(self):
            super().__init__()
            self.only = nn.Conv2d(3, 64, 3)

        def forward(self, images):
            return (self.only(images),)

    config = classifier_config(TEN_BANDS)
    config['backbone'] = dict(type='OneConvolution')
    assert MODELS.build(config)(torch.rand(2, 10, 8, 8)).shape == (2, 5)
    config['backbone'] = dict(type='mmpretrain.ResNet', depth=18)
    config['head'] = dict(type='mmpretrain.LinearClsHead', num_classes=5, in_channels=512)
    assert MODELS.build(config)(torch.rand(2, 10, 32, 32)).shape == (2, 5)


def test_loss_that_is_no_number_names_the_batch(classifier_config, samples):
    model = MODELS.build(classifier_config())
    images = torch.rand(4, 3, 32, 32)
    images[2, 0, 0, 0] = float('nan')
    with pytest.raises(NonFiniteLossError, match='loss = nan on the batch of s0, s1, s2, s3. Images .*: s2$'):
        model(images, samples(), mode='loss')
    nn.init.constant_(model.head.fc.weight, float('inf'))
    with pytest.raises(FloatingPointError, match='Every image is finite: lower the learning rate'):
        model(torch.rand(4, 3, 32, 32), samples(), mode='loss')


@pytest.mark.parametrize(('change', 'message'), [
    (dict(bands=()), 'bands must be different names, at least one'),
    (dict(bands=('R', 'G', 'R')), 'bands must be different names'),
    (dict(rgb_bands=('R', 'G')), 'rgb_bands names the red, the green and the blue band'),
    (dict(data_preprocessor=dict(bands=('B02', 'B03'))), 'reads the bands R, G, B, its data_preprocessor B02'),
])
def test_bands_that_do_not_fit_are_refused(classifier_config, change, message):
    with pytest.raises(ValueError, match=message):
        MODELS.build({**classifier_config(), **change})


@pytest.mark.parametrize(('part', 'kind', 'near'), [
    ('backbone', 'ResNt', 'mmpretrain.ResNet'), ('backbone', 'mmpretrain.ResNt', 'mmpretrain.ResNet'),
    ('neck', 'GlobalAveragePoling', 'mmpretrain.GlobalAveragePooling'),
    ('head', 'mmpretran.LinearClsHed', 'mmpretrain.LinearClsHead'),
    ('data_preprocessor', 'SceneProcessor', 'ScenePreprocessor')])
def test_a_misspelt_part_names_the_nearest(classifier_config, part, kind, near):
    config = classifier_config()
    config[part] = dict(config[part], type=kind)
    with pytest.raises(UnknownTypeError, match=f"(?s)'{kind}' is not in the registry.*Nearest names: .*{near}"):
        MODELS.build(config)


@pytest.mark.parametrize(('part', 'settings', 'kind', 'near'), [
    ('head', dict(loss=dict(type='CrossEntropyLos')), 'CrossEntropyLos', 'mmpretrain.CrossEntropyLoss'),
    ('head', dict(loss=dict(type='mmpretrain.FocalLos')), 'mmpretrain.FocalLos', 'mmpretrain.FocalLoss'),
    ('backbone', dict(norm_cfg=dict(type='SyncBM')), 'SyncBM', 'SyncBN'),
    ('data_preprocessor', dict(batch_augments=dict(augments=dict(type='Mixpu'))), 'Mixpu', 'mmpretrain.Mixup')])
@pytest.mark.parametrize('registry', [MODELS, MODELS.parent])  # a runner builds by that of mmengine
def test_a_misspelt_part_of_a_part_names_the_nearest(classifier_config, registry, part, settings, kind, near):
    config = classifier_config()
    config[part] = {**config[part], **settings}
    with pytest.raises(UnknownTypeError, match=f"(?s)'{kind}' is not in the registry.*Nearest names: .*{near}"):
        registry.build(config)
