"""The distiller: a student that learns, a teacher that never changes."""

import copy

import pytest
import torch
from mmengine.logging import MessageHub
from mmengine.optim import OptimWrapper
from mmengine.registry import DefaultScope
from mmpretrain.models import ImageClassifier
from torch import nn
from torch.utils.data import DataLoader

from rstoolbox.models import CheckpointError, Gallery, NonFiniteLossError, TransferLoss, load_state, save_student
from rstoolbox.models.distillers import training_progress
from rstoolbox.registry import MODELS, TRANSFER_LOSSES

ENCODER = dict(type='SceneClassifier', backbone=dict(type='ResNet', depth=18), neck=dict(type='GlobalAveragePooling'))
TEN_BANDS = ('B02', 'B03', 'B04', 'B05', 'B06', 'B07', 'B08', 'B8A', 'B11', 'B12')


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


def steps(model, batch, count, learning_rate=0.05):
    optimizer = OptimWrapper(torch.optim.SGD(model.parameters(), lr=learning_rate, momentum=0.9))
    model.train()
    return [{name: value.item() for name, value in model.train_step(copy.deepcopy(batch), optimizer).items()}
            for _ in range(count)]


def test_teacher_never_changes_and_is_nowhere_to_be_seen(distiller_config, pair_batch, teacher_file):
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


def test_losses_are_named_weighted_and_sum_to_the_total(distiller_config, pair_batch):
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


def test_training_brings_the_student_to_the_teacher(distiller_config, pair_batch):
    model = MODELS.build(distiller_config(dict(mse=dict(type='LogitsMSE')), task_weight=0.))
    nn.init.normal_(model.teacher.network.head.fc.weight)
    log = steps(model, pair_batch(), 12, 0.02)
    assert log[-1]['loss_mse'] < 0.5 * log[0]['loss_mse']


def test_trainable_parts_of_losses_are_there_before_the_optimizer(distiller_config, pair_batch):
    model = MODELS.build(distiller_config())
    projection = model.transfer_losses['every'].projection
    assert projection.weight.shape == (128, 64)
    assert any(parameter is projection.weight for parameter in model.parameters())
    before = projection.weight.clone()
    steps(model, pair_batch(), 1)
    assert not torch.equal(projection.weight, before)


def test_student_alone_predicts_and_loads_into_plain_mmpretrain(distiller_config, pair_batch, tmp_path):
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


def test_losses_see_labels_and_progress(distiller_config, pair_batch, samples):
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
    assert training_progress() == 0.


def test_batch_of_one(distiller_config, pair_batch):
    log = steps(MODELS.build(distiller_config(image_size=64)), pair_batch((1,), size=64), 1)[0]
    assert all(torch.isfinite(torch.tensor(value)) for value in log.values())


def test_autocast_trains(distiller_config, pair_batch):
    model = MODELS.build(distiller_config())
    batch = model.data_preprocessor(pair_batch(), True)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        losses = model(**batch, mode='loss')
    sum(losses.values()).backward()
    assert losses['loss_kd'].dtype == torch.float32


@pytest.fixture
def gallery(classifier_config, teacher_file, pair_batch, tmp_path):
    """The teacher's outputs for the batch's images, row by row."""
    teacher = MODELS.build(classifier_config(TEN_BANDS, width=16))
    teacher.load_state_dict(load_state(teacher_file)['state_dict'])
    batch = pair_batch()
    items = [dict(inputs=image, data_samples=sample)
             for image, sample in zip(batch['inputs']['teacher'], batch['data_samples'], strict=True)]

    def collate(rows):
        return {key: [row[key] for row in rows] for key in rows[0]}

    folder = tmp_path / 'gallery'
    Gallery.build(folder, teacher, DataLoader(items, 3, collate_fn=collate), key='key',
                  ids=[sample.sample_id for sample in batch['data_samples']], labels=[0, 1, 2, 3])
    return str(folder)


def test_losses_from_the_gallery_equal_those_with_the_teacher_in_the_loop(distiller_config, pair_batch, teacher_file,
                                                                          gallery):
    losses = dict(kd=dict(type='KD'), ska=dict(type='SKA'))
    logs, models = [], []
    for source in (dict(teacher_checkpoint=teacher_file), dict(teacher=None, gallery=gallery)):
        torch.manual_seed(0)
        models.append(MODELS.build(distiller_config(losses, **source)))
        models[-1].init_weights()
        batch = pair_batch()
        if 'gallery' in source:
            del batch['inputs']['teacher']
        logs.append(steps(models[-1], batch, 3))
    assert not hasattr(models[1].teacher, 'network')
    for looped, stored in zip(*logs, strict=True):
        assert looped == pytest.approx(stored, rel=1e-4)


def test_gallery_reads_the_row_of_each_sample(distiller_config, pair_batch, gallery):
    model = MODELS.build(distiller_config(dict(recorder=dict(type='Recorder')), teacher=None, gallery=gallery))
    batch = pair_batch()
    for sample, index in zip(batch['data_samples'], (3, 0, 0, 2), strict=True):
        sample.set_metainfo(dict(teacher_index=index))
    steps(model, batch, 1)
    expected = torch.from_numpy(Gallery.open(gallery)['logits'][[3, 0, 0, 2]])
    assert torch.equal(model.transfer_losses['recorder'].seen['teacher']['logits'], expected)


def test_gallery_without_what_a_loss_needs_or_samples_without_a_row(distiller_config, pair_batch, gallery):
    with pytest.raises(ValueError, match='keeps logits, embedding, tokens, but a transfer loss needs feats'):
        MODELS.build(distiller_config(teacher=None, gallery=gallery))
    model = MODELS.build(distiller_config(dict(kd=dict(type='KD')), teacher=None, gallery=gallery))
    batch = pair_batch()
    for sample in batch['data_samples']:
        sample.set_metainfo(dict(teacher_index=9))
    with pytest.raises(IndexError, match='Row 9 is outside'):
        steps(model, batch, 1)
    for sample in batch['data_samples']:
        del sample.teacher_index
    with pytest.raises(ValueError, match="carry no 'teacher_index'"):
        steps(model, batch, 1)


def test_gallery_of_another_number_of_classes_is_refused(distiller_config, classifier_config, gallery):
    with pytest.raises(ValueError, match="loss 'kd': KD compares .* student has 7 classes and the teacher 5"):
        MODELS.build(distiller_config(dict(kd=dict(type='KD')), student=classifier_config(num_classes=7), teacher=None,
                                      gallery=gallery))


def test_other_class_counts_are_refused_at_build(distiller_config, classifier_config):
    with pytest.raises(ValueError, match="loss 'kd': KD compares .* student has 5 classes and the teacher 7"):
        MODELS.build(distiller_config(teacher=classifier_config(TEN_BANDS, num_classes=7)))


def test_labels_beyond_the_classes_are_refused(distiller_config, pair_batch):
    with pytest.raises(ValueError, match="image 's1' has the label .5.; the model has 5 classes"):
        steps(MODELS.build(distiller_config()), pair_batch((0, 5)), 1)


@pytest.mark.parametrize(('change', 'message'), [
    (dict(bands=TEN_BANDS[::-1]), 'was trained on the bands B02, B03, .*teacher reads B12, B11'),
    (dict(bands=TEN_BANDS[:9]), 'was trained on the bands'),
    (dict(num_classes=7), r"tells 5 classes apart \('head.fc.weight'\); the config's teacher 7"),
    (dict(width=8), r"not a checkpoint of the config's teacher \(ResNet\): weights \d+ of another shape \(first: "),
])
def test_checkpoint_of_another_teacher_is_refused(distiller_config, classifier_config, teacher_file, change, message):
    teacher = classifier_config(**{**dict(bands=TEN_BANDS, width=16), **change})
    with pytest.raises(CheckpointError, match=message):
        MODELS.build(distiller_config(teacher=teacher, teacher_checkpoint=teacher_file))


def test_scores_of_the_teacher_follow_the_classes_of_the_data_set(distiller_config, classifier_config, pair_batch,
                                                                  tmp_path):
    names = ('Forest', 'River', 'Highway', 'Pasture', 'Sea')
    teacher = MODELS.build(classifier_config(TEN_BANDS, width=16)).eval()
    save_student(tmp_path / 'named.pth', teacher.state_dict(), dict(bands=TEN_BANDS, classes=names))
    config = distiller_config(dict(recorder=dict(type='Recorder')), teacher_checkpoint=str(tmp_path / 'named.pth'))
    seen = []
    for number, classes in enumerate((names, names[1:] + names[:1])):
        MessageHub.get_instance(f'classes_{number}').update_info('dataset_meta', dict(classes=classes))
        model = MODELS.build(config)
        steps(model, pair_batch(), 1)
        seen.append(model.transfer_losses['recorder'].seen['teacher']['logits'])
    torch.testing.assert_close(seen[1], seen[0].roll(-1, dims=1))
    MessageHub.get_instance('classes_2').update_info('dataset_meta', dict(classes=(*names[:4], 'Beach')))
    with pytest.raises(CheckpointError, match="does not know the class 'Beach'; it was trained on Forest, River"):
        steps(MODELS.build(config), pair_batch(), 1)


def test_checkpoint_of_another_architecture_or_without_band_names_is_refused(distiller_config, classifier_config,
                                                                             teacher_file, tmp_path):
    path = str(tmp_path / 'unnamed.pth')
    torch.save(load_state(teacher_file)['state_dict'], path)
    MODELS.build(distiller_config(teacher_checkpoint=path))
    with pytest.raises(CheckpointError, match=r"reads 10 bands \('backbone.conv1.weight'\).* reads 3: R, G, B"):
        MODELS.build(distiller_config(teacher=classifier_config(width=16), teacher_checkpoint=path))
    other = classifier_config(TEN_BANDS, width=16)
    other['backbone']['depth'] = 34
    with pytest.raises(CheckpointError, match=r'weights \d+ missing \(first: backbone.layer1.2.bn1.bias\)'):
        MODELS.build(distiller_config(teacher=other, teacher_checkpoint=path))


def test_random_teacher_is_warned_about(distiller_config, logged):
    MODELS.build(distiller_config())
    assert any('its weights are random' in line for line in logged)


@pytest.mark.parametrize(('change', 'message'), [
    (dict(teacher=None), 'the losses kd, every need a teacher or a gallery'),
    (dict(losses=dict(task=dict(type='KD'))), "'task' is the name of the student's own loss"),
    (dict(taps=dict(studnet=dict())), 'not studnet'),
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


def test_batch_without_images_for_the_teacher_is_refused(distiller_config, pair_batch):
    batch = pair_batch()
    del batch['inputs']['teacher']
    with pytest.raises(ValueError, match='no images for the teacher; use UnpairedSceneDataset'):
        steps(MODELS.build(distiller_config()), batch, 1)


def test_transfer_loss_that_is_no_number_names_it_and_the_batch(distiller_config, pair_batch):
    model = MODELS.build(distiller_config(dict(mse=dict(type='LogitsMSE', loss_weight=float('inf')))))
    with pytest.raises(NonFiniteLossError, match='^loss_mse = inf on the batch of s0, s1, s2, s3'):
        steps(model, pair_batch(), 1)


def test_taps_at_other_places(distiller_config, pair_batch):
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
