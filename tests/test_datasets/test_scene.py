"""SceneDataset: folders, classes, labels, splits, reproducible epochs."""

import json
import shutil

import numpy as np
import pytest
import scipy.io
import torch
from mmengine.dataset import pseudo_collate
from torch.utils.data import DataLoader

from rstoolbox.datasets import SceneDataset, make_split
from rstoolbox.registry import DATASETS

RANDOM = [dict(type='LoadRaster'), dict(type='ToReflectance'), dict(type='RandomRot90'),
          dict(type='RandomFlip', prob=0.5), dict(type='RadiometricJitter'), dict(type='mmpretrain.PackInputs')]


def test_samples_are_sorted_by_id_and_packed(teacher_cfg):
    dataset = DATASETS.build(teacher_cfg)
    assert dataset.metainfo['classes'] == ('Forest', 'River') and len(dataset) == 20
    assert dataset.sample_ids == sorted(dataset.sample_ids) and dataset.sample_ids[0] == 'MS/Forest/Forest_0.tif'
    assert dataset.gt_labels.tolist() == [0] * 10 + [1] * 10
    assert dataset.bands == ('B02', 'B03', 'B04', 'B08')
    item = dataset[12]
    assert item['inputs'].shape == (4, 8, 8) and item['inputs'].max() < 1
    sample = item['data_samples']
    assert sample.gt_label.item() == 1 and sample.sample_id == dataset.sample_ids[12]
    assert sample.bands == list(dataset.bands) and dataset.get_cat_ids(12) == [1]


def test_bands_are_read_in_the_order_asked_for(teacher_cfg):
    every, some = DATASETS.build(teacher_cfg), DATASETS.build(dict(teacher_cfg, bands=['B08', 'B02']))
    torch.testing.assert_close(some[3]['inputs'], every[3]['inputs'][[3, 0]])
    assert some.bands == ('B08', 'B02')


def test_splits_share_out_the_classes_and_do_not_overlap(teacher_cfg):
    parts = {part: DATASETS.build(dict(teacher_cfg, split=part)) for part in ('train', 'val', 'test')}
    assert [len(part) for part in parts.values()] == [12, 4, 4]
    assert all(np.bincount(part.gt_labels).tolist() == [len(part) // 2] * 2 for part in parts.values())
    ids = [name for part in parts.values() for name in part.sample_ids]
    assert len(set(ids)) == 20
    assert len({part.split_hash for part in parts.values()}) == 3
    assert DATASETS.build(dict(teacher_cfg, split='val', split_seed=1)).split_hash != parts['val'].split_hash


def test_indices_take_the_first_samples(teacher_cfg):
    dataset = DATASETS.build(dict(teacher_cfg, indices=3))
    assert len(dataset) == len(dataset.sample_ids) == len(dataset.gt_labels) == 3


def test_a_saved_split_is_used_and_must_fit(teacher_cfg, pair, tmp_path):
    whole = DATASETS.build(teacher_cfg)
    path = tmp_path / 'split.json'
    make_split(whole.sample_ids, whole.gt_labels.tolist(), (0.5, 0.5, 0), 7).save(path)
    train = DATASETS.build(dict(teacher_cfg, split='train', split_file=str(path)))
    assert len(train) == 10
    with pytest.raises(ValueError, match=r"Split 'test' of .* is empty \(train, val, test: 10, 10, 0"):
        DATASETS.build(dict(teacher_cfg, split='test', split_file=str(path)))
    some = DATASETS.build(dict(teacher_cfg, split='train', split_file=str(path), classes=['River']))
    assert set(some.sample_ids) < set(train.sample_ids) and len(some) == 5
    (pair / 'MS/River/River_4.tif').rename(pair / 'MS/River/River_x.tif')
    with pytest.raises(ValueError, match="split.json no longer fits.*first 'MS/River/River_4.tif'; 1 samples of"):
        DATASETS.build(dict(teacher_cfg, split='train', split_file=str(path)))


def test_a_split_misses_class_folders_that_are_gone_but_not_those_left_out(teacher_cfg, pair, tmp_path):
    whole = DATASETS.build(teacher_cfg)
    cfg = dict(teacher_cfg, split_file=str(tmp_path / 'split.json'))
    make_split(whole.sample_ids, whole.gt_labels.tolist()).save(tmp_path / 'split.json')
    assert len(DATASETS.build(dict(cfg, class_map=dict(Forest=None)))) == 10
    shutil.rmtree(pair / 'MS/Forest')
    with pytest.raises(ValueError, match="10 of its samples are not in the folder, the first 'MS/Forest/Forest_0.tif'"):
        DATASETS.build(cfg)
    assert len(DATASETS.build(dict(cfg, classes=['River']))) == 10


def test_folders_are_matched_to_classes(pair, student_cfg):
    (pair / 'RGB/River').rename(pair / 'RGB/stream')
    shutil.copytree(pair / 'RGB/Forest', pair / 'RGB/wood')
    shutil.copytree(pair / 'RGB/Forest', pair / 'RGB/other')
    cfg = dict(student_cfg, classes=['Forest', 'River'])
    with pytest.raises(ValueError, match="Class 'River' has no folder in .*RGB.*Folders: Forest, other, stream"):
        DATASETS.build(cfg)
    dataset = DATASETS.build(dict(cfg, class_map=dict(stream='River', wood='Forest')))
    assert np.bincount(dataset.gt_labels).tolist() == [10, 5]
    with pytest.raises(ValueError, match="names the folder 'streem', which is not in .*, nearest is 'stream'"):
        DATASETS.build(dict(cfg, class_map=dict(streem='River')))
    with pytest.raises(ValueError, match="the folder 'stream' to 'Rivers', which is no class, nearest is 'River'"):
        DATASETS.build(dict(cfg, class_map=dict(stream='Rivers')))


def test_folders_that_hold_nothing(pair, student_cfg, tmp_path):
    (pair / 'RGB/Lake').mkdir()
    (pair / 'RGB/Lake/notes.txt').write_text('x')
    with pytest.raises(ValueError, match="Class folder '.*Lake' holds no image"):
        DATASETS.build(student_cfg)
    with pytest.raises(FileNotFoundError, match='no folder .*PAN.*one folder of images per class'):
        DATASETS.build(dict(student_cfg, data_prefix='PAN'))
    (tmp_path / 'bare').mkdir()
    with pytest.raises(ValueError, match='holds no class folders'):
        SceneDataset(tmp_path / 'bare')


@pytest.mark.parametrize('wrong, message', [
    (dict(split='valid'), "split='valid' is unknown, expected one of train, val, test, all"),
    (dict(label_kind='many'), "label_kind='many'"),
    (dict(sensor='landsat8'), "no sensor 'landsat8', nearest is 'landsat8_l"),
    (dict(bands=['B2']), "no band 'B2' in sensor 'sentinel2_l2a', nearest is 'B02'"),
    (dict(bands=['B11'], file_bands=['B02', 'B03', 'B04', 'B08']), "no band 'B11' in file_bands"),
    (dict(suffixes=['.gif']), "No reader for files ending in '.gif'"),
    (dict(label_file='labels.json'), "label_file is for label_kind='multi'"),
    (dict(split='train', split_ratio=(1, 1, 1)), 'three shares'),
])
def test_wrong_settings_are_found_when_the_data_set_is_built(teacher_cfg, wrong, message):
    with pytest.raises(ValueError, match=message):
        DATASETS.build(dict(teacher_cfg, **wrong))


def test_a_broken_image_is_named_also_from_a_worker(teacher_cfg, pair):
    (pair / 'MS/Forest/Forest_3.tif').write_bytes(b'no tiff')
    dataset = DATASETS.build(teacher_cfg)
    with pytest.raises(ValueError, match='Forest_3.tif'):
        dataset[3]
    with pytest.raises(ValueError, match='Forest_3.tif'):
        list(DataLoader(dataset, batch_size=4, num_workers=1, collate_fn=pseudo_collate))


def inputs_of(dataset, **kwargs):
    loader = kwargs.pop('loader', None) or DataLoader(dataset, batch_size=5, collate_fn=pseudo_collate, **kwargs)
    return torch.stack([image for batch in loader for image in batch['inputs']])


def test_an_epoch_depends_on_seed_and_epoch_only(student_cfg):
    dataset = DATASETS.build(dict(student_cfg, pipeline=RANDOM))
    workers = DataLoader(dataset, batch_size=3, num_workers=2, persistent_workers=True, collate_fn=pseudo_collate)
    dataset.set_epoch(4)
    here = inputs_of(dataset)
    torch.testing.assert_close(inputs_of(dataset, loader=workers), here, rtol=0, atol=0)
    dataset.set_epoch(5)
    other = inputs_of(dataset, loader=workers)  # the workers live since epoch 4 and must have seen the change
    assert not torch.equal(other, here)
    torch.testing.assert_close(inputs_of(dataset), other, rtol=0, atol=0)
    fresh = DATASETS.build(dict(student_cfg, pipeline=RANDOM))
    fresh.set_epoch(4)
    torch.testing.assert_close(inputs_of(fresh), here, rtol=0, atol=0)
    seeded = DATASETS.build(dict(student_cfg, pipeline=RANDOM, seed=1))
    seeded.set_epoch(4)
    assert not torch.equal(inputs_of(seeded), here)


def test_reading_data_leaves_the_models_random_numbers_alone(student_cfg):
    dataset = DATASETS.build(dict(student_cfg, pipeline=RANDOM))
    dataset.set_epoch(0)
    torch.manual_seed(3)
    np.random.seed(3)
    expected = torch.rand(1), np.random.rand()
    torch.manual_seed(3)
    np.random.seed(3)
    dataset[0]
    assert (torch.rand(1), np.random.rand()) == expected


def test_the_fingerprint_is_of_what_files_of_the_pipeline_hold(student_cfg, tmp_path):
    def fingerprint(place, mean):
        path = tmp_path / place / 'statistics.json'
        path.parent.mkdir()
        path.write_text(json.dumps(dict(statistics=dict.fromkeys('RGB', dict(mean=mean, std=0.1)))))
        step = dict(type='PackMatcherInputs', statistics=dict(ms=str(path), rgb=str(path)))
        return DATASETS.build(dict(student_cfg, pipeline=[dict(type='LoadRaster'), step])).fingerprint()

    first = fingerprint('here', 0.3)
    assert fingerprint('there', 0.3) == first and fingerprint('elsewhere', 0.4) != first


def test_the_fingerprint_changes_with_what_the_images_depend_on(student_cfg, teacher_cfg, pair, write_jpg):
    first = DATASETS.build(student_cfg).fingerprint()
    assert DATASETS.build(student_cfg).fingerprint() == first
    assert DATASETS.build(dict(student_cfg, pipeline=RANDOM)).fingerprint() != first
    assert DATASETS.build(dict(student_cfg, split='train')).fingerprint() != first
    assert DATASETS.build(dict(student_cfg, classes=['River', 'Forest'])).fingerprint() != first
    bands = [DATASETS.build(dict(teacher_cfg, bands=bands)).fingerprint() for bands in (['B02'], ['B03'])]
    assert bands[0] != bands[1]
    path = pair / 'RGB/River/River_0.jpg'
    large = path.read_bytes() + bytes(9000)
    path.write_bytes(large)
    before = DATASETS.build(student_cfg).fingerprint()
    path.write_bytes(large[:-1] + b'1')  # of one length and alike at the beginning
    assert len({DATASETS.build(student_cfg).fingerprint(), before, first}) == 3


def test_several_classes_per_image(tmp_path, write_mat):
    image = np.ones((4, 4, 2), np.float32)
    classes = ('sea', 'port', 'forest')
    labels = {'a': np.array(['port', 'sea'], dtype=object), 'b': np.array([0, 0, 1]), 'c': np.array([2]), 'd': 'port'}
    for name, label in labels.items():
        write_mat(tmp_path / 'MS' / 'sea' / f'{name}.mat', image, label)
    cfg = dict(data_root=str(tmp_path), data_prefix='MS', classes=classes, sensor='sentinel2_l2a', label_kind='multi',
               file_bands=['B02', 'B03'], pipeline=[dict(type='LoadRaster'), dict(type='mmpretrain.PackInputs')])
    dataset = SceneDataset(**cfg)
    assert dataset.gt_labels.tolist() == [[1, 1, 0], [0, 0, 1], [0, 0, 1], [0, 1, 0]]
    assert dataset[0]['data_samples'].gt_label.tolist() == [0, 1] and dataset.get_cat_ids(0) == [0, 1]
    for label, message in ((np.array([7]), 'e.mat: class number 7 is outside 0 to 2'),
                           (np.array([np.nan, 1, 0]), r'e.mat: labels are class names or whole numbers, got \[nan, 1'),
                           (np.array([np.inf]), r'e.mat: labels are class names or whole numbers, got \[inf'),
                           ('ports', "e.mat: 'ports' is no class, nearest is 'port'"),
                           (None, "e.mat has no variable 'label'"),
                           (np.array([0, 0, 0]), 'e.mat: the image has no class')):
        write_mat(tmp_path / 'MS' / 'sea' / 'e.mat', image, label)
        with pytest.raises(ValueError, match=message):
            SceneDataset(**cfg)
    path = tmp_path / 'MS' / 'sea' / 'e.mat'
    scipy.io.savemat(path, dict(msi=image, label=np.arange(99)), do_compression=True)
    for damaged in (b'no', path.read_bytes()[:200] + b'((' + path.read_bytes()[202:]):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r'e.mat \([\d,]+ bytes\) cannot be read as a .mat file'):
            SceneDataset(**cfg)


def test_labels_from_a_file(pair, student_cfg, tmp_path):
    ids = DATASETS.build(student_cfg).sample_ids
    path = tmp_path / 'labels.json'
    path.write_text(json.dumps({name: ['Forest', 'River'][:1 + place % 2] for place, name in enumerate(ids)}))
    cfg = dict(student_cfg, label_kind='multi', label_file=str(path))
    assert DATASETS.build(cfg).gt_labels[:2].tolist() == [[1, 0], [1, 1]]
    path.write_text(json.dumps({ids[0]: ['Forest']}))
    with pytest.raises(ValueError, match="labels.json has no labels for 9 images, the first 'RGB/Forest/Forest_1.jpg'"):
        DATASETS.build(cfg)
    for entry in (3, None, 'Forest'):
        path.write_text(json.dumps({**dict.fromkeys(ids, ['Forest']), ids[4]: entry}))
        with pytest.raises(ValueError, match=f"labels.json, '{ids[4]}': expected a list of classes, got {entry!r}"):
            DATASETS.build(cfg)
    path.write_text(json.dumps(ids))
    with pytest.raises(ValueError, match='labels.json is not a label file: its content is of type list, expected a m'):
        DATASETS.build(cfg)
    with pytest.raises(ValueError, match='Forest_0.jpg holds no labels.*label_file'):
        DATASETS.build(dict(student_cfg, label_kind='multi'))
