"""Segmentors of mmseg as teacher and student of one another."""

import copy

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData

from rstoolbox.models.distillers.dense import _Preprocessor
from rstoolbox.registry import MODELS

structures = pytest.importorskip('mmseg.structures', reason="mmseg is not installed: pip install -e '.[dense]'")


def segmentor(channels=3, width=8):
    norm = dict(type='BN')
    return dict(
        type='mmseg.EncoderDecoder',
        data_preprocessor=dict(type='mmseg.SegDataPreProcessor', mean=[127.], std=[60.],  # of all channels
                               size=(64, 64), pad_val=0, seg_pad_val=255),
        backbone=dict(type='mmseg.ResNetV1c', depth=18, in_channels=channels, norm_cfg=norm, base_channels=width,
                      stem_channels=width),
        decode_head=dict(type='mmseg.FCNHead', in_channels=8 * width, channels=8, num_convs=1, num_classes=4,
                         norm_cfg=norm, loss_decode=dict(type='mmseg.CrossEntropyLoss', avg_non_ignore=True)),
        train_cfg=dict(), test_cfg=dict(mode='whole'))


def distiller(**settings):
    init_default_scope('rstoolbox')
    torch.manual_seed(0)
    values = dict(student=segmentor(), teacher=segmentor(width=16), image_size=64,
                  losses=dict(cwd=dict(type='CWD', loss_weight=3.)))
    return MODELS.build(ConfigDict(type='DenseDistiller', **{**values, **settings}))


def batch(channels=3, sizes=((64, 64), (64, 64))):
    random, samples = torch.Generator().manual_seed(0), []
    for size in sizes:
        truth = torch.randint(4, (1, *size), generator=random)
        samples.append(structures.SegDataSample(gt_sem_seg=PixelData(data=truth), metainfo=dict(
            img_shape=size, ori_shape=size, pad_shape=size)))
    return dict(inputs=[torch.randint(255, (channels, *size), generator=random, dtype=torch.uint8) for size in sizes],
                data_samples=samples)


def step(model, data):
    model.train()
    data = model.data_preprocessor(data, True)
    return model(**data, mode='loss')


SCORES = dict(feats='decode_head.conv_seg')


@pytest.mark.parametrize('taps', [None, dict(student=SCORES, teacher=SCORES)], ids=['backbone', 'class scores'])
@pytest.mark.parametrize('loss', ['AT', 'CWD', 'FitNet', 'MGD'])
def test_the_student_alone_learns(loss, taps):
    model = distiller(losses=dict(transfer=dict(type=loss)), taps=taps)
    frozen = copy.deepcopy(model.teacher.network.state_dict())
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    for _ in range(2):
        losses = step(model, batch())
        assert {'decode.loss_ce', 'loss_transfer'} <= set(losses)
        total, _ = model.parse_losses(losses)
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
    assert all(parameter.grad is not None for parameter in model.student.parameters())
    assert all(torch.equal(value, frozen[name]) for name, value in model.teacher.network.state_dict().items())
    assert not any(name.startswith('teacher') for name in model.state_dict())


def test_the_transfer_loss_is_that_of_the_tapped_maps():
    model = distiller(taps=dict(student=SCORES, teacher=SCORES))
    model.student.decode_head.dropout = None  # the same maps twice
    value = step(model, batch())['loss_cwd']
    data = model.data_preprocessor(batch(), True)
    maps = []
    for network, side in ((model.student.train(), 'student'), (model.teacher.network.eval(), 'teacher')):
        maps.append(network.decode_head(network.extract_feat(data['inputs'][side])).flatten(0, 1).flatten(1))
    student, teacher = (map_.div(4).softmax(1) for map_ in maps)
    expected = 3 * 16 * (teacher * (teacher / student).log()).sum(1).mean()
    assert value.item() == pytest.approx(expected.item(), rel=1e-4)


def test_a_teacher_of_more_bands_teaches_a_student_of_some():
    images = ('B02', 'B03', 'B04', 'B08')
    bands = dict(images=images, student=('B04', 'B03', 'B02'), teacher=images)
    model, data = distiller(teacher=segmentor(channels=4), bands=bands), batch(4)
    inputs = model.data_preprocessor(data, True)['inputs']
    red, blue = data['inputs'][0][2], data['inputs'][0][0]
    for side, band in (('student', red), ('teacher', blue)):
        torch.testing.assert_close(inputs[side][0][0] * 60 + 127, band.float())
    assert step(model, data)['loss_cwd'].isfinite()
    with pytest.raises(ValueError, match="student reads the band 'B4', nearest is 'B04', but the images have B02, B03"):
        distiller(teacher=segmentor(channels=4), bands=bands | dict(student=('B4', 'B03', 'B02')))
    with pytest.raises(ValueError, match=r'bands are given as dict\(images=..., student=..., teacher=...\)'):
        distiller(bands=dict(images=('R', 'G', 'B')))


def test_prediction_is_the_students():
    model = distiller().eval()
    data = model.data_preprocessor(batch(), False)
    assert set(data['inputs']) == {'student'}
    with torch.no_grad():
        predicted = model(**data, mode='predict')
        alone = model.student(data['inputs']['student'], data['data_samples'], mode='predict')
    assert torch.equal(predicted[0].pred_sem_seg.data, alone[0].pred_sem_seg.data)


def test_truth_of_images_of_several_sizes_is_padded_once():
    model = distiller()
    prepared = model.data_preprocessor(batch(sizes=((64, 48), (40, 64))), True)
    assert [sample.gt_sem_seg.shape for sample in prepared['data_samples']] == [(64, 64), (64, 64)]
    assert prepared['inputs']['student'].shape == prepared['inputs']['teacher'].shape == (2, 3, 64, 64)


@pytest.mark.parametrize(('settings', 'message'), [
    (dict(losses=dict(kd=dict(type='KD'))), "loss 'kd': KD compares logits, but of a segmentor .* feats and tokens"),
    (dict(taps=dict(student=dict(feats='decode_head.conv_segg'))), "no module 'decode_head.conv_segg' to tap; nearest: "
     'decode_head.conv_seg'),
    (dict(taps=dict(studnet=SCORES)), r'taps are given as dict\(student=..., teacher=...\)'),
    (dict(teacher=dict(type='mmpretrain.ResNet', depth=18)), 'the teacher must be a segmentor or detector, got ResNet'),
    (dict(teacher=segmentor(channels=4)), 'the teacher cannot read images of 3 bands and 64 x 64 pixels: .*See bands'),
    (dict(bands=dict(images='RGR', student='RG', teacher='RG')), 'bands.images names one twice: R, G, R'),
    (dict(image_size=8), r"loss 'cwd': CWD .* one place in common .* image_size"),
    (dict(losses=dict(fit=dict(type='FitNet', stage=7))), "loss 'fit': stage 7 of FitNet is not among the maps"),
])
def test_what_does_not_fit_is_named_when_built(settings, message):
    with pytest.raises(ValueError, match=message):
        distiller(**settings)


def test_both_sides_see_the_same_places_of_images_with_the_named_bands():
    teacher = segmentor(width=16)
    teacher['data_preprocessor']['size'] = (128, 128)
    with pytest.raises(ValueError, match=r'student makes batches of \(64, 64\) pixels .* teacher of \(128, 128\)'):
        step(distiller(teacher=teacher), batch())
    bands = dict(images=('R', 'G', 'B', 'N'), student=('R', 'G', 'B'), teacher=('R', 'G', 'B'))
    model, data = distiller(bands=bands), batch(5)
    data['data_samples'][0].set_metainfo(dict(img_path='a.png'))
    with pytest.raises(ValueError, match="the image 'a.png' has 5 channels; bands.images names 4: R, G, B, N"):
        step(model, data)


def test_batch_augmentations_are_refused():
    init_default_scope('rstoolbox')
    model = MODELS.build(segmentor())
    model.data_preprocessor.batch_augments = object()
    with pytest.raises(ValueError, match="batch_augments of the student's data_preprocessor would show"):
        _Preprocessor(model.data_preprocessor, MODELS.build(segmentor()).data_preprocessor, None)


def test_a_loss_of_the_students_own_keeps_its_name():
    model = distiller()
    model.student.loss = lambda inputs, samples: (model.student.extract_feat(inputs), dict(loss_cwd=torch.zeros(())))[1]
    with pytest.raises(ValueError, match="'loss_cwd' is a loss of the student's own"):
        step(model, batch())
