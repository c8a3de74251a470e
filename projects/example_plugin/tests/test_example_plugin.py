"""The plug-in's own tests; they find its classes by name only, as a config does."""

import pytest
import torch

from rstoolbox.registry import DATASETS, METRICS, TRANSFER_LOSSES, load_plugins


def alignment(student, teacher):
    return TRANSFER_LOSSES.build(dict(type='LinearCKA'))(dict(embedding=student), dict(embedding=teacher))


def test_the_plugin_loaded():
    assert load_plugins()['example'] is None


def test_the_same_similarities_up_to_rotation_scale_and_shift_cost_nothing():
    embedding = torch.randn(6, 4, generator=torch.manual_seed(0))
    rotation = torch.linalg.qr(torch.randn(4, 4)).Q
    assert alignment(3 * embedding @ rotation + 1, embedding).item() == pytest.approx(0, abs=1e-5)


def test_the_value_is_that_of_the_definition_for_other_widths():
    student, teacher = torch.randn(2, 7, 5, generator=torch.manual_seed(1)).split([1, 1])
    student, teacher = student[0], teacher[0, :, :3]
    centre = torch.eye(7) - 1 / 7
    cross, own, other = (a.T @ centre @ b for a, b in ((student, teacher), (student, student), (teacher, teacher)))
    expected = 1 - cross.norm() ** 2 / (own.norm() * other.norm())
    assert alignment(student, teacher).item() == pytest.approx(expected.item(), abs=1e-5)


def test_only_the_student_learns_and_a_constant_batch_stays_finite():
    student, teacher = torch.randn(4, 3, requires_grad=True), torch.randn(4, 2, requires_grad=True)
    alignment(student, teacher).backward()
    assert student.grad.abs().sum() > 0
    assert teacher.grad is None
    assert alignment(torch.ones(4, 3), torch.ones(4, 2)).item() == pytest.approx(1)


def kappa(truth, answers, num_classes=3):
    metric = METRICS.build(dict(type='CohenKappa'))
    samples = [dict(gt_label=torch.tensor([label]), pred_score=torch.eye(num_classes)[answer])
               for label, answer in zip(truth, answers, strict=True)]
    metric.process(None, samples)
    return metric.evaluate(len(samples))['kappa']


def test_kappa_is_full_for_right_answers_and_nothing_for_guessing():
    assert kappa([0, 1, 2, 2], [0, 1, 2, 2]) == pytest.approx(100)
    assert kappa([0, 0, 1, 1], [0, 1, 0, 1]) == pytest.approx(0)
    assert kappa([1, 1], [1, 1]) == 0
    # Three of four right; guessing with these frequencies is right half the time.
    assert kappa([0, 0, 1, 1], [0, 0, 1, 0]) == pytest.approx(50)


@pytest.fixture(scope='module')
def mini(tmp_path_factory):
    return dict(data_root=str(tmp_path_factory.mktemp('data') / 'mini'), images_per_class=5)


def test_few_shots_are_a_balanced_part_of_the_split(mini):
    full = DATASETS.build(dict(type='MiniS2S', split='train', **mini))
    few = DATASETS.build(dict(type='FewShotMiniS2S', shots=2, split='train', **mini))
    classes = len(full.metainfo['classes'])
    assert len(few) == 2 * classes
    assert sorted(few.gt_labels.tolist()) == sorted(2 * list(range(classes)))
    assert set(few.sample_ids) < set(full.sample_ids)
    assert few.split_hash != full.split_hash
    assert few[0]['sample_id'] == few.sample_ids[0]


def test_more_shots_than_images_is_an_error(mini):
    with pytest.raises(ValueError, match="has 3 images in split 'train', but shots=4"):
        DATASETS.build(dict(type='FewShotMiniS2S', shots=4, split='train', **mini))
    with pytest.raises(ValueError, match='at least one image'):
        DATASETS.build(dict(type='FewShotMiniS2S', shots=0, **mini))
