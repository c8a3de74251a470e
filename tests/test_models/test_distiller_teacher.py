"""Where the distiller's teacher comes from: a checkpoint that must be its own, or a gallery of its outputs."""

import pytest
import torch
from mmengine.logging import MessageHub
from torch.utils.data import DataLoader

from rstoolbox.models import CheckpointError, Gallery, load_state, save_student
from rstoolbox.models.transfer import TransferLoss
from rstoolbox.registry import MODELS, TRANSFER_LOSSES

TEN_BANDS = ('B02', 'B03', 'B04', 'B05', 'B06', 'B07', 'B08', 'B8A', 'B11', 'B12')


@TRANSFER_LOSSES.register_module()
class TeacherTokens(TransferLoss):
    """Keeps the teacher's tokens."""

    needs = ('tokens',)

    def compare(self, student, teacher, labels, progress):
        self.seen = teacher['tokens']
        return student['tokens'].sum() * 0


@pytest.fixture
def build_gallery(classifier_config, teacher_file, pair_batch):
    """A function: a folder and taps -> the teacher's outputs for the batch's images, row by row."""
    teacher = MODELS.build(classifier_config(TEN_BANDS, width=16))
    teacher.load_state_dict(load_state(teacher_file)['state_dict'])
    batch = pair_batch()
    items = [dict(inputs=image, data_samples=sample)
             for image, sample in zip(batch['inputs']['teacher'], batch['data_samples'], strict=True)]

    def collate(rows):
        return {key: [row[key] for row in rows] for key in rows[0]}

    def build(folder, taps=None):
        Gallery.build(folder, teacher, DataLoader(items, 3, collate_fn=collate), key='key', taps=taps,
                      ids=[sample.sample_id for sample in batch['data_samples']], labels=[0, 1, 2, 3])
        return str(folder)

    return build


@pytest.fixture
def gallery(build_gallery, tmp_path):
    return build_gallery(tmp_path / 'gallery')


def test_losses_from_the_gallery_equal_those_with_the_teacher_in_the_loop(steps, distiller_config, pair_batch,
                                                                          teacher_file, gallery):
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


def test_taps_of_the_teacher_hold_for_a_gallery_too(steps, distiller_config, pair_batch, teacher_file, build_gallery,
                                                    tmp_path):
    taps = dict(tokens='backbone.layer3')
    seen = []
    for source in (dict(teacher_checkpoint=teacher_file),
                   dict(teacher=None, gallery=build_gallery(tmp_path / 'gallery', taps))):
        losses = dict(every=dict(type='TeacherTokens'))
        model = MODELS.build(distiller_config(losses, taps=dict(teacher=taps), **source))
        steps(model, pair_batch(), 1)
        seen.append(model.transfer_losses['every'].seen)
    assert torch.allclose(*seen, rtol=1e-4, atol=1e-5)
    rebuilt = build_gallery(tmp_path / 'gallery')
    assert Gallery.open(rebuilt)['tokens'].shape != tuple(seen[0].shape)
    with pytest.raises(ValueError, match=r'made with the taps \{\}, and taps.teacher is .*give the stage gallery'):
        MODELS.build(distiller_config(losses, taps=dict(teacher=taps), teacher=None, gallery=rebuilt))


def test_gallery_reads_the_row_of_each_sample(steps, distiller_config, pair_batch, gallery):
    model = MODELS.build(distiller_config(dict(recorder=dict(type='Recorder')), teacher=None, gallery=gallery))
    batch = pair_batch()
    for sample, index in zip(batch['data_samples'], (3, 0, 0, 2), strict=True):
        sample.set_metainfo(dict(teacher_index=index))
    steps(model, batch, 1)
    expected = torch.from_numpy(Gallery.open(gallery)['logits'][[3, 0, 0, 2]])
    assert torch.equal(model.transfer_losses['recorder'].seen['teacher']['logits'], expected)


def test_gallery_without_what_a_loss_needs_or_samples_without_a_row(steps, distiller_config, pair_batch, gallery):
    with pytest.raises(ValueError, match='keeps logits, embedding, tokens, but a transfer loss needs feats'):
        MODELS.build(distiller_config(teacher=None, gallery=gallery))
    with pytest.raises(ValueError, match="taps of the teacher are module paths by output, .* got 'head'"):
        MODELS.build(distiller_config(dict(kd=dict(type='KD')), teacher=None, gallery=gallery,
                                      taps=dict(teacher='head')))
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


@pytest.mark.parametrize('value', [float('nan'), float('inf')])
def test_a_teacher_whose_training_went_astray_is_refused(distiller_config, teacher_file, value):
    checkpoint = load_state(teacher_file)
    checkpoint['state_dict']['backbone.layer1.0.bn1.weight'][3] = value
    torch.save(checkpoint, teacher_file)
    with pytest.raises(CheckpointError, match=r'teacher.pth.*NaN or infinite \(first: backbone.layer1.0.bn1.weight\)'):
        MODELS.build(distiller_config(teacher_checkpoint=teacher_file))


def test_scores_of_the_teacher_follow_the_classes_of_the_data_set(steps, distiller_config, classifier_config,
                                                                  pair_batch, tmp_path):
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
