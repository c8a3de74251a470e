"""UnpairedSceneDataset: the match table decides, and can be changed under running workers."""

import numpy as np
import pytest
from mmengine.dataset import pseudo_collate
from torch.utils.data import DataLoader

from rstoolbox.registry import DATASETS
from rstoolbox.structures import MatchTable


def build(student, teacher, **kwargs):
    return DATASETS.build(dict(type='UnpairedSceneDataset', student=student, teacher=teacher, **kwargs))


def table_of(dataset, shift=0, **meta):
    """Match student i of a class with teacher (i + shift) of that class."""
    rows = [label * 10 + (place + shift) % 10 for place, label in enumerate(dataset.student.gt_labels)]
    return MatchTable(dataset.student.sample_ids, dataset.teacher.sample_ids, rows, meta)


@pytest.fixture
def dataset(student_cfg, teacher_cfg):
    return build(student_cfg, teacher_cfg)


def test_items_hold_both_images_and_say_which_teacher_sample(dataset):
    dataset.set_match_table(table_of(dataset, 3))
    item = dataset[7]
    sample = item['data_samples']
    assert item['inputs']['student'].shape == (3, 8, 8) and item['inputs']['teacher'].shape == (4, 8, 8)
    assert sample.teacher_index == 10 and sample.teacher_id == dataset.teacher.sample_ids[10]
    assert sample.sample_id == dataset.student.sample_ids[7] and sample.gt_label.item() == 1
    assert (item['inputs']['teacher'] == dataset.teacher[10]['inputs']).all()
    assert dataset.get_data_info(7)['teacher_index'] == 10


def test_the_gallery_mode_opens_no_teacher_image(student_cfg, teacher_cfg, pair):
    dataset = build(student_cfg, teacher_cfg, read_teacher=False, match='random')
    for path in (pair / 'MS').rglob('*.tif'):
        path.write_bytes(b'')
    batch = pseudo_collate([dataset[index] for index in range(len(dataset))])
    assert set(batch['inputs']) == {'student'} and len(batch['inputs']['student']) == 10
    assert all(0 <= sample.teacher_index < 20 for sample in batch['data_samples'])


def test_persistent_workers_see_a_new_table(dataset):
    dataset.set_match_table(table_of(dataset))
    loader = DataLoader(dataset, batch_size=3, num_workers=2, persistent_workers=True, collate_fn=pseudo_collate)
    for shift in (0, 4):
        dataset.set_match_table(table_of(dataset, shift))
        rows = [sample.teacher_index for batch in loader for sample in batch['data_samples']]
        assert rows == dataset.match_table.indices.tolist() == table_of(dataset, shift).indices.tolist()


def test_a_table_is_found_by_ids_not_by_places(dataset, tmp_path):
    table = table_of(dataset, 2, kind='similarity')
    order = np.random.default_rng(0).permutation(len(table))
    teacher_order = np.random.default_rng(1).permutation(len(table.teacher_ids))
    shuffled = MatchTable([table.student_ids[i] for i in order], [table.teacher_ids[i] for i in teacher_order],
                          np.argsort(teacher_order)[table.indices[order]], dict(kind='similarity'))
    shuffled.save(tmp_path / 'table.json')
    dataset.set_match_table(tmp_path / 'table.json')
    assert dataset.match_table.matches() == table.matches() and dataset.match_table.meta['kind'] == 'similarity'


def test_random_matches_are_of_the_class_and_drawn_anew_every_epoch(student_cfg, teacher_cfg):
    dataset = build(student_cfg, teacher_cfg, match='random')
    tables = []
    for epoch in (0, 1, 0):
        dataset.set_epoch(epoch)
        tables.append(dataset.match_table)
        same = dataset.teacher.gt_labels[tables[-1].indices] == dataset.student.gt_labels
        assert same.all() and tables[-1].meta['kind'] == 'random' and tables[-1].meta['epoch'] == epoch
    assert tables[0] == tables[2] and tables[0].churn(tables[1]) > 0
    assert build(student_cfg, teacher_cfg, match='random', seed=1).match_table != tables[0]
    assert tables[0].meta['student_split_hash'] == dataset.student.split_hash


def test_epochs_reach_both_sides(dataset):
    dataset.set_match_table(table_of(dataset))
    calls = []
    for side in ('student', 'teacher'):
        getattr(dataset, side).set_epoch = lambda epoch, side=side: calls.append((side, epoch))
    dataset.set_epoch(3)
    assert calls == [('student', 3), ('teacher', 3)]


def test_without_a_teacher_items_hold_the_student_alone(student_cfg):
    dataset = build(student_cfg, None)
    assert set(dataset[0]['inputs']) == {'student'} and dataset.match_table is None
    assert dataset.metainfo['classes'] == ('Forest', 'River')
    with pytest.raises(ValueError, match='no teacher data set'):
        dataset.set_match_table(MatchTable([], [], []))


def test_reading_before_matching_says_what_to_do(dataset):
    assert dataset.match_table is None
    with pytest.raises(ValueError, match='not matched with teacher samples yet: call set_match_table'):
        dataset[0]


def test_tables_of_other_samples_are_refused(dataset):
    ours = table_of(dataset)
    renamed = [name.replace('Forest_0', 'Forest_9') for name in ours.student_ids]
    with pytest.raises(ValueError, match="of other samples: it matches 10 .* first 'RGB/Forest/Forest_0.jpg', nearest"):
        dataset.set_match_table(MatchTable(renamed, ours.teacher_ids, ours.indices))
    with pytest.raises(ValueError, match='matches 9 student samples, the data set has 10'):
        dataset.set_match_table(MatchTable(ours.student_ids[:9], ours.teacher_ids, ours.indices[:9]))
    teachers = [name.replace('MS/', 'ms/') for name in ours.teacher_ids]
    with pytest.raises(ValueError, match="names 10 teacher samples that the data set .* first 'ms/Forest/Forest_0.tif'"
                                         ", nearest is 'MS/Forest/Forest_"):
        dataset.set_match_table(MatchTable(ours.student_ids, teachers, ours.indices))
    indices = ours.indices.copy()
    indices[[2, 4]] = 15
    with pytest.raises(ValueError, match="2 student samples with a teacher sample of another class, the first "
                                         "'RGB/Forest/Forest_2.jpg' with 'MS/River/River_5.tif'"):
        dataset.set_match_table(MatchTable(ours.student_ids, ours.teacher_ids, indices))
    assert dataset.match_table is None


def test_class_lists_must_agree(student_cfg, teacher_cfg):
    with pytest.raises(ValueError, match='same classes in the same order: only the student has Forest'):
        build(student_cfg, dict(teacher_cfg, classes=['River']))
    with pytest.raises(ValueError, match='the order differs'):
        build(student_cfg, dict(teacher_cfg, classes=['River', 'Forest']))


def test_a_class_without_a_teacher_sample_is_named(student_cfg, teacher_cfg, tmp_path):
    from rstoolbox.datasets import Split
    ids = DATASETS.build(teacher_cfg).sample_ids
    forest, river = ([name for name in ids if kind in name] for kind in ('Forest', 'River'))
    Split(forest, river, []).save(tmp_path / 's')
    with pytest.raises(ValueError, match="Class 'River' has student samples but no teacher sample in .*split 'train'"):
        build(student_cfg, dict(teacher_cfg, split='train', split_file=str(tmp_path / 's')))


def test_a_teacher_of_several_classes_matches_any_of_them(student_cfg, tmp_path, write_mat):
    for name, label in (('a', ['Forest', 'River']), ('b', ['River'])):
        write_mat(tmp_path / 'multi' / 'any' / f'{name}.mat', np.ones((4, 4, 2), np.float32), np.array(label, object))
    teacher = dict(type='SceneDataset', data_root=str(tmp_path), data_prefix='multi', sensor='sentinel2_l2a',
                   classes=['Forest', 'River'], file_bands=['B02', 'B03'], label_kind='multi', pipeline=[])
    dataset = build(student_cfg, teacher, match='random', read_teacher=False)
    rows = dataset.match_table.indices
    assert (rows[dataset.student.gt_labels == 0] == 0).all() and set(rows.tolist()) <= {0, 1}


@pytest.mark.parametrize('wrong, message', [(dict(match='nearest'), "match='nearest' is unknown"),
                                            (dict(match='random', match_table='x.json'), "with match='table'"),
                                            (dict(match_table='none.json'), 'no match table at none.json')])
def test_wrong_wiring(student_cfg, teacher_cfg, wrong, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        build(student_cfg, teacher_cfg, **wrong)
