"""The distiller: a student that learns, a teacher that never changes."""

import copy

import pytest
import torch
from mmengine.logging import MessageHub
from mmengine.registry import DefaultScope
from mmpretrain.models import ImageClassifier
from torch import nn
from torch.utils.data import DataLoader

from rstoolbox.models import NonFiniteLossError, load_state, save_student
from rstoolbox.models.distillers import training_progress
from rstoolbox.models.sembridge import Gallery
from rstoolbox.registry import MODELS

ENCODER = dict(type='SceneClassifier', backbone=dict(type='ResNet', depth=18), neck=dict(type='GlobalAveragePooling'))
TEN_BANDS = ('B02', 'B03', 'B04', 'B05', 'B06', 'B07', 'B08', 'B8A', 'B11', 'B12')


def test_teacher_never_changes_and_is_nowhere_to_be_seen(steps, distiller_config, pair_batch, teacher_file):
    model = MODELS.build(distiller_config(teacher_checkpoint=teacher_file))
    model.init_weights()
    teacher = model.teacher.network
    before = load_state(teacher_file)['state_dict']
    model.train().requires_grad_(True)
    steps(model, pair_batch(), 3)
    model.apply(lambda module: module.train())
    after = teacher.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert not any(module.training for module in teacher.backbone.modules())
    assert not any(parameter.requires_grad or parameter.grad is not None for parameter in teacher.parameters())
    hidden = {id(value) for value in (*teacher.parameters(), *teacher.modules())} - {id(teacher.data_preprocessor)}
    assert not hidden & {id(value) for value in (*model.parameters(), *model.modules())}
    assert {name.split('.')[0] for name in model.state_dict()} == {'student', 'transfer_losses'}


def test_losses_are_named_weighted_and_sum_to_the_total(steps, distiller_config, pair_batch):
    log = steps(MODELS.build(distiller_config(task_weight=0.5)), pair_batch(), 1)[0]
    assert set(log) == {'loss', 'loss_task', 'loss_kd', 'loss_every'}
    assert log['loss'] == pytest.approx(log['loss_task'] + log['loss_kd'] + log['loss_every'])
    doubled = distiller_config(dict(kd=dict(type='KD', loss_weight=2.)), task_weight=1.)
    plain = distiller_config(dict(kd=dict(type='KD', loss_weight=1.)), task_weight=0.5)
    logs = []
    for config in (doubled, plain):
        torch.manual_seed(0)
        logs.append(steps(MODELS.build(config), pair_batch(), 1)[0])
    assert logs[0]['loss_kd'] == pytest.approx(2 * logs[1]['loss_kd'])
    assert logs[0]['loss_task'] == pytest.approx(2 * logs[1]['loss_task'])


def test_training_brings_the_student_to_the_teacher(steps, distiller_config, pair_batch):
    model = MODELS.build(distiller_config(dict(mse=dict(type='LogitsMSE')), task_weight=0.))
    nn.init.normal_(model.teacher.network.head.fc.weight)
    log = steps(model, pair_batch(), 12, 0.02)
    assert log[-1]['loss_mse'] < 0.5 * log[0]['loss_mse']


def test_trainable_parts_of_losses_are_there_before_the_optimizer(steps, distiller_config, pair_batch):
    model = MODELS.build(distiller_config())
    projection = model.transfer_losses['every'].projection
    assert projection.weight.shape == (128, 64)
    assert any(parameter is projection.weight for parameter in model.parameters())
    before = projection.weight.clone()
    steps(model, pair_batch(), 1)
    assert not torch.equal(projection.weight, before)


def test_student_alone_predicts_and_loads_into_plain_mmpretrain(steps, distiller_config, pair_batch, tmp_path):
    config = distiller_config()
    model = MODELS.build(config)
    steps(model, pair_batch(), 2)
    save_student(tmp_path / 'best_student.pth', model.student_state_dict(), dict(bands=model.student.bands))
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        plain = ImageClassifier(**{part: config['student'][part] for part in ('backbone', 'neck', 'head')})
    plain.load_state_dict(load_state(tmp_path / 'best_student.pth')['state_dict'], strict=True)
    batch = pair_batch()
    images = model.data_preprocessor(copy.deepcopy(batch))['inputs']['student']
    assert torch.equal(model.eval()(images), plain.eval()(images))
    evaluated = model.val_step(dict(inputs=batch['inputs']['student'], data_samples=batch['data_samples']))
    assert torch.equal(torch.stack([sample.pred_score for sample in evaluated]), plain(images).softmax(1))


def test_teacher_follows_casts_and_copies_share_it(distiller_config):
    model = MODELS.build(distiller_config())
    twin = copy.deepcopy(model)
    assert twin.teacher is model.teacher
    assert twin.taps is not model.taps
    model.double()
    assert model.teacher.network.backbone.conv1.weight.dtype == torch.float64
    model.to('meta')
    assert model.teacher.network.backbone.conv1.weight.is_meta


def test_student_starts_alike_whether_the_teacher_is_built_or_not(distiller_config, classifier_config):
    states = []
    for build in (lambda: MODELS.build(distiller_config()).student, lambda: MODELS.build(classifier_config())):
        torch.manual_seed(5)
        student = build()
        states.append((student.state_dict(), torch.rand(3)))
    assert all(torch.equal(states[0][0][name], states[1][0][name]) for name in states[1][0])


def test_losses_see_labels_and_progress(steps, distiller_config, pair_batch, samples):
    hub = MessageHub.get_instance('test_losses_see_progress')
    hub.update_info('iter', 30)
    hub.update_info('max_iters', 40)
    assert training_progress() == 0.75
    model = MODELS.build(distiller_config(dict(recorder=dict(type='Recorder'))))
    steps(model, pair_batch((4, 0, 2)), 1)
    seen = model.transfer_losses['recorder'].seen
    assert seen['labels'].tolist() == [4, 0, 2]
    assert seen['progress'] == 0.75
    assert seen['student']['logits'].requires_grad
    assert not seen['teacher']['logits'].requires_grad
    MessageHub.get_instance('test_without_training')
    assert training_progress() == 1.


def test_batch_of_one(steps, distiller_config, pair_batch):
    log = steps(MODELS.build(distiller_config(image_size=64)), pair_batch((1,), size=64), 1)[0]
    assert all(torch.isfinite(torch.tensor(value)) for value in log.values())


def test_autocast_trains(distiller_config, pair_batch):
    model = MODELS.build(distiller_config())
    batch = model.data_preprocessor(pair_batch(), True)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        losses = model(**batch, mode='loss')
    sum(losses.values()).backward()
    assert losses['loss_kd'].dtype == torch.float32


def test_other_class_counts_are_refused_at_build(distiller_config, classifier_config):
    with pytest.raises(ValueError, match="loss 'kd': KD compares .* student has 5 classes and the teacher 7"):
        MODELS.build(distiller_config(teacher=classifier_config(TEN_BANDS, num_classes=7)))


def test_labels_beyond_the_classes_are_refused(steps, distiller_config, pair_batch):
    with pytest.raises(ValueError, match="image 's1' has the label .5.; the model has 5 classes"):
        steps(MODELS.build(distiller_config()), pair_batch((0, 5)), 1)


@pytest.mark.parametrize(('change', 'message'), [
    (dict(teacher=None), 'the losses kd, every need a teacher or a gallery'),
    (dict(losses=dict(task=dict(type='KD'))), "'task' is the name of the student's own loss"),
    (dict(taps=dict(studnet=dict())), r"dict\(student=..., teacher=...\), not {'studnet': {}}"),
    (dict(taps='head'), "taps are given as dict.*, not 'head'"),
    (dict(taps=dict(student='head')), "taps of the student are module paths by output, .* got 'head'"),
    (dict(taps=dict(student=dict(logits=None))), "taps of the student are .* got {'logits': None}"),
    (dict(taps=dict(teacher=dict(logits=3))), "taps of the teacher are .* got {'logits': 3}"),
    (dict(image_size=dict(student=64)), "image_size is .* with both, not {'student': 64}"),
    (dict(image_size=dict(student=64, techer=64)), "image_size is .* with both, not {'student': 64, 'techer': 64}"),
    (dict(taps=dict(student=dict(feats='backbone.layer5'))), "no module 'backbone.layer5' to tap; nearest: backbone."),
    (dict(taps=dict(teacher=dict(embedding='backbone.layer2'))), "embedding='backbone.layer2' of the teacher gives"),
    (dict(student=dict(type='SceneClassifier', backbone=dict(type='ResNet', depth=18))),
     'the student must be a SceneClassifier with a head, got SceneClassifier without a head'),
    (dict(student=dict(type='SceneMatcher', ms_encoder=ENCODER, rgb_encoder=ENCODER)),
     'the student must be a SceneClassifier with a head, got SceneMatcher'),
])
def test_wiring_that_does_not_fit_is_refused_at_build(distiller_config, change, message):
    with pytest.raises(ValueError, match=message):
        MODELS.build({**distiller_config(), **change})


def test_a_loss_that_needs_more_maps_says_what_to_set_for_these_backbones(distiller_config):
    config = distiller_config(dict(svd=dict(type='KDSVD'), hint=dict(type='FitNet', stage=0)))
    config['student']['backbone'] = dict(type='mmpretrain.MobileNetV2', widen_factor=0.1)
    config['student']['head']['in_channels'] = 1280
    with pytest.raises(ValueError, match=(
            r"loss 'svd': KDSVD .* got 1 of the student and 2 of the teacher.* Here: student.backbone.out_indices="
            r'\(1, 3, 5, 7\), teacher.backbone.out_indices=\(0, 1, 2, 3\)$')):
        MODELS.build(config)
    config['student']['backbone']['out_indices'] = (1, 3, 5, 7)
    assert set(MODELS.build(config).transfer_losses) == {'svd', 'hint'}
    config['student']['backbone'] = dict(type='mmpretrain.TIMMBackbone', model_name='resnet10t')
    config['student']['head']['in_channels'] = 512
    with pytest.raises(ValueError, match='Here: student.backbone.features_only=True, '):
        MODELS.build(config)


@pytest.mark.parametrize('kind', ['KD', 'DKD', 'NKD', 'WSLD', 'DIST', 'MLKD', 'LSKD', 'CTKD', 'C2KD'])
def test_a_loss_of_softmax_logits_refuses_a_teacher_of_several_labels(distiller_config, kind):
    config = distiller_config(dict(kd=dict(type=kind)))
    config['teacher']['head']['type'] = 'MultiLabelLinearClsHead'
    with pytest.raises(ValueError, match=f"loss 'kd': {kind} takes a teacher of one label.*are BinaryKD, LogitsMSE; "):
        MODELS.build(config)


def test_a_gallery_of_several_labels_is_such_a_teacher(distiller_config, classifier_config, tmp_path):
    dataset = [dict(inputs=torch.rand(10, 32, 32)) for _ in range(2)]
    Gallery.build(tmp_path / 'gallery', MODELS.build(classifier_config(TEN_BANDS)), DataLoader(dataset, 2), key='key',
                  ids=['a', 'b'], labels=[[1, 1, 0, 0, 0], [0, 1, 0, 0, 0]])
    source = dict(teacher=None, gallery=str(tmp_path / 'gallery'))
    with pytest.raises(ValueError, match="loss 'kd': KD takes a teacher of one label"):
        MODELS.build(distiller_config(dict(kd=dict(type='KD')), **source))
    losses = dict(kd=dict(type='BinaryKD'), ska=dict(type='SKA'))
    assert set(MODELS.build(distiller_config(losses, **source)).transfer_losses) == {'kd', 'ska'}


def test_batch_without_images_for_the_teacher_is_refused(steps, distiller_config, pair_batch):
    batch = pair_batch()
    del batch['inputs']['teacher']
    with pytest.raises(ValueError, match='no images for the teacher; use UnpairedSceneDataset'):
        steps(MODELS.build(distiller_config()), batch, 1)


def test_transfer_loss_that_is_no_number_names_it_and_the_batch(steps, distiller_config, pair_batch):
    model = MODELS.build(distiller_config(dict(mse=dict(type='LogitsMSE', loss_weight=1e300))))
    with pytest.raises(NonFiniteLossError, match='^loss_mse = inf on the batch of s0, s1, s2, s3'):
        steps(model, pair_batch(), 1)


def test_taps_at_other_places(steps, distiller_config, pair_batch):
    taps = dict(student=dict(tokens='backbone.layer3', feats='backbone.layer4'), teacher=dict(feats='backbone.layer4'))
    model = MODELS.build(distiller_config(taps=taps))
    assert model.taps.paths == dict(logits='head', embedding='neck', tokens='backbone.layer3', feats='backbone.layer4')
    steps(model, pair_batch(), 1)


def test_several_labels_reach_the_losses_as_scores():
    from mmpretrain.structures import DataSample

    from rstoolbox.models.distillers.distiller import _labels
    single = [DataSample().set_gt_label(2), DataSample().set_gt_label(0)]
    assert _labels(single, 3).tolist() == [2, 0]
    several = [DataSample().set_gt_label([0, 2]), DataSample().set_gt_label([1])]
    assert _labels(several, 3).tolist() == [[1, 0, 1], [0, 1, 0]]
