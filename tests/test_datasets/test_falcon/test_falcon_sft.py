"""Records with their images, and the embedded ones."""

import dataclasses
import hashlib
import json
import pickle
import shutil

import numpy as np
import pytest
import shapely
import torch
from PIL import Image, ImageDraw

from rstoolbox.datasets.falcon import FalconSFT, MiniFalcon, Record, RecordStore, verify_records, write_records
from rstoolbox.datasets.falcon.images import load_image
from rstoolbox.datasets.falcon.mini_falcon import make_mini_falcon
from rstoolbox.datasets.falcon.mini_falcon_scenes import draw_objects
from rstoolbox.heads import head_for, split_canvas
from rstoolbox.registry import DATASETS, HEADS


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for name, size in (('a.png', (40, 30)), ('b.png', (40, 30)), ('c.png', (20, 20))):
        Image.fromarray(rng.integers(0, 256, (*size[::-1], 3), np.uint8)).save(tmp_path / name)
    return tmp_path


@pytest.fixture(scope='module')
def mini(tmp_path_factory):
    root = tmp_path_factory.mktemp('mini') / 'falcon'
    make_mini_falcon(root, scenes=12)
    return root


def made(folder, *records, **kwargs):
    write_records(records, folder / 'records.jsonl')
    return FalconSFT(folder / 'records.jsonl', folder, **kwargs)


DETECT = dict(task='REG_DET_HBB', prompt='Detect all ship in the image.\nUse horizontal bounding boxes.',
              answer='<box><0><0><500><999></box>')
CHANGE = dict(task='PIX_CHG', prompt='Find changes in the two images.',
              answer='<poly><0><0><250><0><250><250></poly>')


def test_a_record_becomes_an_image_and_a_sample(folder):
    item = made(folder, Record(images=['a.png'], **DETECT))[0]
    sample = item['data_samples']
    assert np.array_equal(item['inputs'], np.asarray(Image.open(folder / 'a.png')))
    assert (sample.task, sample.category, sample.image_size, sample.sample_id) == ('REG_DET_HBB', 'ship', (40, 30), '1')
    assert np.allclose(sample.gt_answer.bboxes, [[0, 0, 20, 30]], atol=0.05)


def test_a_crop_is_what_coordinates_refer_to(folder):
    item = made(folder, Record(images=['a.png'], crop=[10, 5, 30, 25], **DETECT))[0]
    assert np.array_equal(item['inputs'], np.asarray(Image.open(folder / 'a.png'))[5:25, 10:30])
    assert item['data_samples'].image_size == (20, 20)


def test_a_pair_is_laid_out_on_a_canvas(folder):
    item = made(folder, Record(images=['a.png', 'b.png'], **CHANGE))[0]
    before, after = split_canvas(item['inputs'].numpy())
    assert np.array_equal(before, load_image(folder / 'a.png')) and np.array_equal(after, load_image(folder / 'b.png'))
    assert item['data_samples'].image_size == (40, 30)


def test_a_closed_list_of_classes_goes_to_tasks_that_answer_with_one(folder):
    classes = dict(task='IMG_CLS', prompt='Classify the image.', answer='harbor.')
    write_records([Record(images=['a.png'], **DETECT), Record(images=['a.png'], **classes)], folder / 'records.json')
    boxes, label = FalconSFT(folder / 'records.json', folder, classes=['harbor', 'river'])
    assert 'classes' not in boxes['data_samples'] and label['data_samples'].classes == ['harbor', 'river']
    with pytest.raises(ValueError, match="a list of class names, but the list given is 'harbor'"):
        FalconSFT(folder / 'records.json', folder, classes='harbor')


def test_tasks_and_indices_choose_records_of_files_and_stores(folder):
    count = dict(task='IMG_CT', prompt='Count.', answer='1.')
    records = [Record(images=['a.png'], **DETECT), Record(images=['a.png'], **count),
               Record(images=['b.png'], **DETECT)]
    RecordStore.create(records, folder / 'records.arrow')
    write_records(records, folder / 'records.json')
    for name in ('records.json', 'records.arrow'):
        chosen = FalconSFT(folder / name, folder, tasks=['REG_DET_HBB'])
        assert [item['data_samples'].sample_id for item in chosen] == ['1', '3']
        assert len(FalconSFT(folder / name, folder, indices=2)) == 2
        assert FalconSFT(folder / name, folder, indices=[2])[0]['data_samples'].img_path == 'b.png'
        with pytest.raises(ValueError, match='indices is how many records are taken, 1 or more, .* got -1'):
            FalconSFT(folder / name, folder, indices=-1)
        with pytest.raises(ValueError, match=f"{name}' has . records to choose from; indices name place 99"):
            FalconSFT(folder / name, folder, indices=[0, 99])
    with pytest.raises(ValueError, match='no record of PIX_SEG'):
        FalconSFT(folder / 'records.json', folder, tasks='PIX_SEG')
    with pytest.raises(KeyError, match='REG_DET_HBB'):
        FalconSFT(folder / 'records.json', folder, tasks=['REG_DET'])


def test_what_a_sampler_asks_for_is_the_same_of_files_and_stores(folder):
    records = [Record(images=[f'{number % 3}.png', 'later.png'][:1 + number % 2], prompt='a', answer='b' * (1 + number))
               for number in range(5000)]
    RecordStore.create(records, folder / 'records.arrow')
    write_records(records, folder / 'records.jsonl')
    names = ['\n'.join(record.images) for record in records]
    for name in ('records.jsonl', 'records.arrow'):
        data = FalconSFT(folder / name, folder, indices=range(7, 5000, 5))
        assert data.answer_lengths.tolist() == list(range(8, 5001, 5))
        keys = dict(zip(names[7::5], data.image_keys.tolist()))
        assert len(set(keys.values())) == len(set(names)) == 6
        assert [keys[name] for name in names[7::5]] == data.image_keys.tolist()
        again = pickle.loads(pickle.dumps(data.records))
        assert again[4999] == records[4999] and len(again) == 5000


def test_prompts_are_reworded_with_their_slots(folder):
    data = made(folder, Record(images=['a.png'], **DETECT), reword=True)
    torch.manual_seed(0)
    prompts = {data[0]['data_samples'].prompt for _ in range(60)}
    assert prompts == {prompt.format(category='ship') for prompt in head_for('REG_DET_HBB').prompts}
    torch.manual_seed(3)
    first = [data[0]['data_samples'].prompt for _ in range(5)]
    torch.manual_seed(3)
    assert first == [data[0]['data_samples'].prompt for _ in range(5)]


@pytest.mark.parametrize('record, message', [
    (Record(images=['gone.png'], **DETECT), 'record 1: There is no image .*gone.png'),
    (Record(images=['a.png'], crop=[0, 0, 500, 20], **DETECT), 'record 1: The crop .* reaches beyond'),
    (Record(images=['a.png'], crop=[1.1, 0, 1.4, 20], **DETECT), 'record 1: The crop .* is empty in whole pixels'),
    (Record(images=['a.png', 'c.png'], **CHANGE), 'record 1: .*40 x 30.*20 x 20'),
    (Record(images=['a.png'], **CHANGE), r'record 1 has 1 image\(s\), and PIX_CHG is about 2'),
    (Record(images=['a.png', 'b.png'], **DETECT), r'record 1 has 2 image\(s\), and REG_DET_HBB is about 1'),
    (Record(**DETECT), 'record 1 has no image'),
    (Record(images=['a.png'], task='REG_DET', prompt='a', answer='b'), "record 1: There is no task 'REG_DET'"),
    (Record(images=['records.jsonl'], **DETECT), 'record 1: .*no image that can be read'),
])
def test_a_bad_record_is_named(folder, record, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        made(folder, record)[0]


def test_images_of_any_mode_become_rgb(tmp_path):
    for name, image in dict(grey=Image.new('L', (4, 3), 7), alpha=Image.new('RGBA', (4, 3), (1, 2, 3, 0)),
                            palette=Image.new('P', (4, 3))).items():
        image.save(tmp_path / f'{name}.png')
        assert load_image(tmp_path / f'{name}.png').shape == (3, 4, 3)
    Image.fromarray(np.arange(12, dtype=np.uint16).reshape(3, 4) * 5000).save(tmp_path / 'deep.png')
    deep = load_image(tmp_path / 'deep.png')
    assert deep.min() == 0 and deep.max() == 255 and (np.diff(deep[..., 0].ravel().astype(int)) >= 0).all()
    (tmp_path / 'cut.png').write_bytes((tmp_path / 'deep.png').read_bytes()[:-30])
    with pytest.raises(ValueError, match='cut.png'):
        load_image(tmp_path / 'cut.png')


def test_what_is_no_number_in_an_image_is_black_and_nothing_else_is(tmp_path):
    values = np.arange(12, dtype=np.float32).reshape(3, 4)
    values[0, 0] = np.nan
    Image.fromarray(values).save(tmp_path / 'some.tif')
    pixels = load_image(tmp_path / 'some.tif')[..., 0].ravel()
    assert pixels[0] == 0 and pixels[-1] == 255 and (np.diff(pixels[2:-1].astype(int)) > 0).all()
    Image.fromarray(np.full((3, 4), np.nan, np.float32)).save(tmp_path / 'none.tif')
    with pytest.raises(ValueError, match='none.tif.* not a single number'):
        load_image(tmp_path / 'none.tif')


def test_an_enormous_image_is_refused_before_it_is_read(tmp_path):
    Image.new('1', (30_000, 30_000)).save(tmp_path / 'huge.tif', compression='group4')
    with pytest.raises(ValueError, match='huge.tif.* has more pixels than are read at once .*178,956,970.*; cut it'):
        load_image(tmp_path / 'huge.tif')
    with pytest.raises(ValueError, match='huge.tif'):
        load_image(tmp_path / 'huge.tif', crop=[0, 0, 20_000, 20_000])
    assert load_image(tmp_path / 'huge.tif', crop=[29_000, 29_000, 29_100, 29_100]).shape == (100, 100, 3)
    record = Record(images=['huge.tif'], **DETECT)
    write_records([record, dataclasses.replace(record, crop=[0, 0, 99, 99])], tmp_path / 'records.jsonl')
    assert [text[:8] for text in verify_records(tmp_path / 'records.jsonl', tmp_path).findings] == ['record 1']


def test_embedded_records_hold_all_tasks_and_what_was_drawn(mini):
    data = MiniFalcon(mini, scenes=12)
    assert {record.task for record in data.records} == set(HEADS.known_names())
    for split in ('train', 'val', 'test'):
        report = verify_records(mini / f'{split}.jsonl', mini / 'images')
        assert report.records and not report.findings
    names = [{image for record in MiniFalcon(mini, split, scenes=12).records for image in record.images}
             for split in ('train', 'val', 'test')]
    assert not names[0] & names[1] and not names[0] & names[2] and not names[1] & names[2]
    colours = dict(ship=(236, 236, 240), building=(188, 62, 52), pool=(70, 214, 232), tank=(120, 120, 130))
    for index in range(len(data)):
        if data.records[index].task != 'REG_DET_OBB':
            continue
        item = data[index]
        for quad in item['data_samples'].gt_answer.quads:
            x, y = quad.reshape(4, 2).mean(0).astype(int)
            colour = item['inputs'][y, x].numpy().astype(int)
            assert np.abs(colour - colours[item['data_samples'].category]).max() < 60
    assert DATASETS.build(dict(type='MiniFalcon', data_root=str(mini), scenes=12, tasks=['IMG_CLS']))[0]


def test_later_dates_differ_where_the_records_say(mini):
    records = [record for record in MiniFalcon(mini, scenes=12).records if record.task == 'PIX_CHG']
    shares, unchanged = [], 0
    for record in records:
        before, after = (np.asarray(Image.open(mini / 'images' / name), float) for name in record.images)
        polygons = head_for('PIX_CHG').decode(record.answer, (96, 96)).polygons
        unchanged += not polygons
        mask = Image.new('1', (96, 96))
        for rings in polygons:
            ImageDraw.Draw(mask).polygon([tuple(point) for point in np.reshape(rings[0], (-1, 2))], fill=1)
        mask, difference = np.asarray(mask), np.abs(after - before).mean(2)
        shares.append(mask.mean())
        if polygons:
            assert difference[mask].mean() > difference[~mask].mean() + 10
    assert len(records) == 12 * 5 and 0.1 < unchanged / len(records) < 0.5
    assert 0.3 < np.mean(np.array(shares) > 0.1) < 0.7  # a building site covers a tenth and more of the scene


def test_the_same_seed_gives_the_same_bytes(mini, tmp_path):
    make_mini_falcon(tmp_path / 'again', scenes=12)

    def digest(root):
        return {path.relative_to(root).as_posix(): hashlib.md5(path.read_bytes()).hexdigest()
                for path in sorted(root.rglob('*.*'))}

    assert digest(mini) == digest(tmp_path / 'again')
    make_mini_falcon(tmp_path / 'other', seed=1, scenes=12)
    assert digest(mini) != digest(tmp_path / 'other')


def test_another_making_or_foreign_files_are_never_replaced(mini, tmp_path):
    with pytest.raises(ValueError, match='holds mini_falcon with scenes 12, but scenes 20 is asked for'):
        MiniFalcon(mini, scenes=20)
    (tmp_path / 'images').mkdir()
    (tmp_path / 'images/train_0001.png').write_text('mine')
    with pytest.raises(ValueError, match='not overwritten'):
        MiniFalcon(tmp_path)
    with pytest.raises(ValueError, match="no split 'tests'"):
        MiniFalcon(mini, split='tests')


def test_all_that_a_training_would_stop_at_is_found_before(folder):
    good = json.dumps(vars(Record(images=['a.png'], **DETECT)))
    bad = [Record(**DETECT), Record(images=['a.png'], **CHANGE),
           Record(images=['a.png'], **DETECT | dict(answer='ship')),
           Record(images=['a.png'], prompt='Why</s>?', answer='So.'), Record(images=['gone.png'], **DETECT),
           Record(images=['a.png'], crop=[1.1, 0, 1.4, 20], **DETECT)]
    lines = [good, '{"images": ', good.replace('"answer"', '"reply"'), *(json.dumps(vars(one)) for one in bad), good]
    (folder / 'records.jsonl').write_text('\n'.join(lines))
    report = verify_records(folder / 'records.jsonl', folder)
    assert report.records == 10
    for text, expected in zip(report.findings, [
            'line 2, column 11: Expecting value', 'record 3 (line 3) has no "conversations"',
            'record 4: it has no image', 'record 5: it has 1 image(s), and PIX_CHG is about 2',
            "record 6: its answer cannot be read as one of REG_DET_HBB: 'ship'", "record 7: its prompt contains '</s>'",
            'record 8: There is no image', 'record 9: The crop [1.1, 0.0, 1.4, 20.0] is empty'], strict=True):
        assert expected in text


def test_an_embedded_file_that_lost_records_is_refused(mini, tmp_path):
    shutil.copytree(mini, tmp_path / 'mini')
    path = tmp_path / 'mini/train.jsonl'
    lines = path.read_text().splitlines(keepends=True)
    path.write_text(''.join(lines[:100]))
    with pytest.raises(ValueError, match=f'train.jsonl.* holds 100 records and was written with {len(lines)}.*--force'):
        MiniFalcon(tmp_path / 'mini', scenes=12)


def test_objects_of_embedded_scenes_lie_within_them_and_touch_none():
    for seed in range(300):
        objects = draw_objects(np.random.default_rng(seed))
        outlines = [shapely.Polygon(thing.polygon) for thing in objects]
        assert objects and all((0 < thing.polygon).all() and (thing.polygon < 96).all() for thing in objects)
        assert not any(one.intersects(other) for place, one in enumerate(outlines) for other in outlines[:place])
