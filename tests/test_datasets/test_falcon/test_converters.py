"""Converters on real samples: what the annotations say is what the records say."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from commands import run_command
from rstoolbox.datasets.falcon import read_records, verify_records, write_records
from rstoolbox.datasets.falcon.converters import (
    CaptionRecords,
    CocoRecords,
    DotaRecords,
    MaskRecords,
    QuestionRecords,
    SceneFolderRecords,
    VocRecords,
)
from rstoolbox.heads import head_for


def by_task(records):
    groups = {}
    for record in records:
        groups.setdefault(record.task, []).append(record)
    return groups


def test_coco_boxes_counts_and_polygons(shared):
    root = shared('data/nwpu_vhr10_subset')
    content = json.loads((root / 'annotations/instances_val.json').read_text())
    records = by_task(CocoRecords(root / 'annotations/instances_val.json', root / 'images', absent=2))
    assert len(records['REG_CLS_HBB']) == len(records['PIX_CLS']) == len(content['annotations'])
    assert sum(head_for('IMG_CT').decode(record.answer).count for record in records['IMG_CT']) \
        == len(content['annotations'])
    names = {entry['id']: entry['name'] for entry in content['categories']}
    image = content['images'][0]
    size = image['width'], image['height']
    for record in records['REG_DET_HBB']:
        if record.images != [image['file_name']]:
            continue
        boxes = [entry['bbox'] for entry in content['annotations']
                 if entry['image_id'] == image['id'] and names[entry['category_id']] == record.category]
        found = head_for('REG_DET_HBB').decode(record.answer, size).bboxes
        expected = np.reshape([[x, y, x + w, y + h] for x, y, w, h in boxes], (-1, 4))
        assert np.abs(found - expected).max(initial=0) <= max(size) / 1000
    absent = [record for record in records['REG_DET_HBB'] if record.answer == 'The object does not exist.']
    assert len(absent) == 2 * len(content['images'])


def test_dota_quads(shared):
    root = shared('data/dota_obb_samples')
    records = by_task(DotaRecords(root / 'labelTxt', root / 'images'))
    counts = {(record.images[0], record.category): record.answer for record in records['IMG_CT']}
    assert counts['P0706.png', 'ship'] == '531.' and counts['P0770.png', 'tennis court'] == '10.'
    record = next(item for item in records['REG_DET_OBB'] if item.category == 'roundabout')
    quads = head_for('REG_DET_OBB').decode(record.answer, (451, 839)).quads
    assert np.allclose(quads, [[119, 270, 340, 270, 340, 526, 119, 526]], atol=0.9)


def test_captions_and_questions(shared):
    folder = shared('data/caption_samples')
    records = by_task(CaptionRecords(folder / 'captions.json', folder))
    assert len(records['IMG_CAP']) == len(records['IMG_CAP_DETAILED']) == 16
    assert all(len(record.references) == 4 for record in records['IMG_CAP'])
    assert len(list(CaptionRecords(folder / 'captions.json', folder, split='train'))) == 32
    root = shared('data/rsvqa_samples/lr')
    answers = list(QuestionRecords(root / 'LR_split_test_questions.json', root / 'Images_LR'))
    assert len(answers) == 400
    assert (answers[0].prompt, answers[0].answer) == ('Is it a rural or an urban area', 'rural.')


def write_voc(folder, text='a ship in the harbour'):
    (folder / 'xml').mkdir(parents=True)
    (folder / 'images').mkdir()
    Image.new('RGB', (200, 100)).save(folder / 'images/00001.jpg')
    description = f'<description>{text}</description>' if text else ''
    (folder / 'xml/00001.xml').write_text(
        '<annotation><filename>00001.jpg</filename><size><width>200</width><height>100</height></size><object>'
        f'<name>ship</name><bndbox><xmin>11</xmin><ymin>21</ymin><xmax>100</xmax><ymax>50</ymax></bndbox>{description}'
        '</object></annotation>')


def test_voc_boxes_and_descriptions(tmp_path):
    write_voc(tmp_path)
    records = by_task(VocRecords(tmp_path / 'xml', tmp_path / 'images'))
    assert set(records) == set(VocRecords.tasks)
    box = head_for('REG_DET_HBB').decode(records['REG_DET_HBB'][0].answer, (200, 100)).bboxes
    assert np.allclose(box, [[10, 20, 100, 50]], atol=0.2)
    assert records['REG_CAP'][0].answer == 'a ship in the harbour'
    assert 'a ship in the harbour' in records['REG_VG'][0].prompt


def test_annotations_of_other_pixels_are_refused(image, tmp_path):
    write_voc(tmp_path / 'voc')
    Image.new('RGB', (400, 200)).save(tmp_path / 'voc/images/00001.jpg')
    with pytest.raises(ValueError, match="00001.xml': the image is said to have 200 x 100 pixels, but .* 400 x 200"):
        list(VocRecords(tmp_path / 'voc/xml', tmp_path / 'voc/images'))
    (tmp_path / 'labelTxt').mkdir()
    quad = '70 6 110 6 110 30 70 30'  # reaches over the right side of 80 x 60 pixels
    (tmp_path / 'labelTxt/a.txt').write_text(f'{quad} ship 0\n')
    assert len(list(DotaRecords(tmp_path / 'labelTxt', image))) == 3
    (tmp_path / 'labelTxt/a.txt').write_text(f'{quad} ship 0\n{quad.replace("70", "90")} plane 0\n')
    with pytest.raises(ValueError, match=r"object 2 of '.*a.png': a plane at \[90.0, 6.0.* outside .* 80 x 60 pixels"):
        list(DotaRecords(tmp_path / 'labelTxt', image))
    (tmp_path / 'coco.json').write_text(json.dumps(dict(
        images=[dict(id=1, file_name='a.png')], categories=[dict(id=1, name='ship')],
        annotations=[dict(image_id=1, category_id=1, bbox=[8, 66, 20, 30])])))
    with pytest.raises(ValueError, match="object 1 of '.*a.png': a ship at .* lies outside"):
        list(CocoRecords(tmp_path / 'coco.json', image))


def test_a_list_names_the_images_of_a_split(tmp_path):
    write_voc(tmp_path)
    for name in ('00002', '00003'):
        (tmp_path / f'xml/{name}.xml').write_text((tmp_path / 'xml/00001.xml').read_text().replace('00001', name))
        shutil.copy(tmp_path / 'images/00001.jpg', tmp_path / f'images/{name}.jpg')
    (tmp_path / 'train.txt').write_text('00003.jpg\n\n00001  1\n')  # as of a class, with whether it is there
    voc = dict(source=tmp_path / 'xml', images=tmp_path / 'images', tasks=['IMG_CT'], names=tmp_path / 'train.txt')
    assert [record.images for record in VocRecords(**voc)] == [['00003.jpg'], ['00001.jpg']]
    (tmp_path / 'train.txt').write_text('00001\n0004\n')
    with pytest.raises(FileNotFoundError, match="train.txt, line 2: '.*xml' has no file of the image '0004', nearest"):
        list(VocRecords(**voc))
    (tmp_path / 'train.txt').unlink()
    with pytest.raises(FileNotFoundError, match="no list of images '.*train.txt'"):
        VocRecords(**voc)


def test_scene_folders(tmp_path):
    for name in ('SeaLake', 'dense_residential'):
        (tmp_path / name).mkdir()
        Image.new('RGB', (8, 8)).save(tmp_path / name / 'a.png')
    assert [record.answer for record in SceneFolderRecords(tmp_path, tmp_path)] == ['sea lake.', 'dense residential.']


def test_bad_sources_are_named(tmp_path):
    write_voc(tmp_path)
    with pytest.raises(ValueError, match="no records of 'REG_DET'.*'REG_DET_HBB'"):
        VocRecords(tmp_path / 'xml', tmp_path / 'images', tasks=['REG_DET'])
    with pytest.raises(FileNotFoundError, match='nope'):
        VocRecords(tmp_path / 'nope', tmp_path / 'images')
    (tmp_path / 'xml/00002.xml').write_text('<annotation><object></annotation>')
    with pytest.raises(ValueError, match='00002.xml.*no VOC'):
        list(VocRecords(tmp_path / 'xml', tmp_path / 'images'))
    (tmp_path / 'xml/00002.xml').unlink()
    (tmp_path / 'images/00001.jpg').unlink()
    with pytest.raises(FileNotFoundError, match='00001.jpg'):
        list(VocRecords(tmp_path / 'xml', tmp_path / 'images'))
    (tmp_path / 'P1.txt').write_text('1 2 3 4 5 6 7 ship 0\n')
    Image.new('RGB', (8, 8)).save(tmp_path / 'images/P1.png')
    with pytest.raises(ValueError, match=r'P1.txt, line 1'):
        list(DotaRecords(tmp_path, tmp_path / 'images'))


@pytest.mark.parametrize('image_keys, annotation, message', [
    (dict(width=160, height=120), {}, "image 1 is said to have 160 x 120 pixels, but '.*a.png' has 80 x 60"),
    (dict(file_name=None), {}, 'image 1 has no "file_name", only id'),
    ({}, dict(bbox=None), 'annotation 1 has no "bbox" of four numbers'),
    ({}, dict(bbox=[[1], [2], [3], [4]]), 'annotation 1 has no "bbox" of four numbers'),
    ({}, dict(bbox=[1, 2, float('nan'), 4]), "the annotation of '.*a.png': A coordinate is not a finite number"),
    ({}, dict(segmentation=[[1, 2, 3, 4, 5, 6, 7]]), 'annotation 1 .* "segmentation" that is neither'),
])
def test_coco_files_that_would_misplace_boxes_are_refused(image, tmp_path, image_keys, annotation, message):
    entry = {key: value for key, value in (dict(id=1, file_name='a.png') | image_keys).items() if value is not None}
    content = dict(images=[entry], categories=[dict(id=1, name='ship')],
                   annotations=[dict(image_id=1, category_id=1, bbox=[1, 2, 30, 40]) | annotation])
    (tmp_path / 'coco.json').write_text(json.dumps(content))
    with pytest.raises(ValueError, match=message):
        list(CocoRecords(tmp_path / 'coco.json', image))


def test_coco_files_need_not_tell_the_size_of_images(image, tmp_path):
    (tmp_path / 'coco.json').write_text(json.dumps(dict(
        images=[dict(id=1, file_name='a.png')], categories=[dict(id=1, name='ship')],
        annotations=[dict(image_id=1, category_id=1, bbox=[8, 6, 800, 30])])))
    assert by_task(CocoRecords(tmp_path / 'coco.json', image))['REG_DET_HBB'][0].answer == \
        '<box><100><100><999><600></box>'
    with pytest.raises(ValueError, match='absent is .* 0 or more, got -1'):
        CocoRecords(tmp_path / 'coco.json', image, absent=-1)


def test_nothing_is_left_out_without_a_word(image, tmp_path):
    (tmp_path / 'masks').mkdir()
    for name in ('a.png', 'b.png'):
        Image.new('L', (80, 60), 2).save(tmp_path / 'masks' / name)
    (tmp_path / 'masks/readme.txt').touch()
    with pytest.raises(FileNotFoundError, match='The mask .*b.png.* has no image of its name'):
        list(MaskRecords(tmp_path / 'masks', image, classes={2: 'field'}))
    (tmp_path / 'masks/b.png').unlink()
    assert len(list(MaskRecords(tmp_path / 'masks', image, classes={2: 'field'}))) == 2
    with pytest.raises(ValueError, match=r'\(0, 0, 63\) is a colour; name its classes by numbers'):
        list(MaskRecords(tmp_path / 'masks', image, classes={(0, 0, 63): 'ship'}))
    with pytest.raises(FileNotFoundError, match='no image .*a_id.png'):
        list(MaskRecords(tmp_path / 'masks', image, classes={2: 'field'}, instances='_id'))
    (tmp_path / 'captions.json').write_text(json.dumps([dict(file='a.png', split='train', captions=['A field.'])]))
    with pytest.raises(ValueError, match="no split 'trian', nearest is 'train'"):
        list(CaptionRecords(tmp_path / 'captions.json', image, split='trian'))


def test_a_file_is_no_folder(image, tmp_path):
    with pytest.raises(ValueError, match="a.png' is a file; DotaRecords reads a folder there"):
        DotaRecords(image / 'a.png', image)
    with pytest.raises(ValueError, match="images' is a folder; CocoRecords reads a file there"):
        CocoRecords(image, image)
    with pytest.raises(ValueError, match="a.png' is a file; CaptionRecords reads a folder there"):
        CaptionRecords(image / 'a.png', image / 'a.png')


def test_names_of_images_are_no_patterns(image, tmp_path):
    (image / 'a.png').rename(image / 'P[1].png')
    (image / 'P[1].txt').touch()
    (tmp_path / 'labelTxt').mkdir()
    (tmp_path / 'labelTxt/P[1].txt').write_text('8 6 40 6 40 30 8 30 ship 0\n')
    records = list(DotaRecords(tmp_path / 'labelTxt', image, tasks=['REG_DET_OBB']))
    assert [record.images for record in records] == [['P[1].png']]


@pytest.mark.parametrize('key, entries, message', [
    ('categories', [dict(id=1)], 'category 1 has no "name", only id'),
    ('categories', ['ship'], "'categories' of '.*coco.json' is no list of objects: number 1 is 'ship'"),
    ('annotations', None, "'annotations' of '.*coco.json' is NoneType, expected a list"),
    ('images', {'a.png': 1}, "'images' of '.*coco.json' is dict, expected a list"),
    ('annotations', [dict(image_id=1, category_id=1, bbox=[0, 0, 9, 9],
                          segmentation=dict(size=[30, 40], counts=[0, 1200]))],
     r'annotation 1 .* run lengths of \[30, 40\] pixels high and wide for an image of \[60, 80\]'),
])
def test_coco_files_of_another_form_are_named(image, tmp_path, key, entries, message):
    content = dict(images=[dict(id=1, file_name='a.png')], categories=[dict(id=1, name='ship')], annotations=[])
    (tmp_path / 'coco.json').write_text(json.dumps(content | {key: entries}))
    with pytest.raises(ValueError, match=message):
        list(CocoRecords(tmp_path / 'coco.json', image))


def test_a_byte_order_mark_is_no_text_and_another_encoding_is_named(image, tmp_path):
    (tmp_path / 'captions.json').write_text(json.dumps([dict(file='a.png', captions=['A field.'])]), 'utf-8-sig')
    assert len(list(CaptionRecords(tmp_path / 'captions.json', image))) == 2
    (tmp_path / 'labelTxt').mkdir()
    (tmp_path / 'labelTxt/a.txt').write_text('imagesource:GoogleEarth\n8 6 40 6 40 30 8 30 ship 0\n', 'utf-8-sig')
    assert len(list(DotaRecords(tmp_path / 'labelTxt', image))) == 3
    (tmp_path / 'labelTxt/a.txt').write_text('8 6 40 6 40 30 8 30 forêt 0\n', 'latin-1')
    with pytest.raises(ValueError, match='a.txt is not text in UTF-8'):
        list(DotaRecords(tmp_path / 'labelTxt', image))


def test_what_a_voc_object_lacks_is_named(tmp_path):
    write_voc(tmp_path)
    whole = (tmp_path / 'xml/00001.xml').read_text()
    for part, key in (('<name>ship</name>', 'name'), ('<xmin>11</xmin>', 'bndbox/xmin')):
        (tmp_path / 'xml/00001.xml').write_text(whole.replace(part, ''))
        with pytest.raises(ValueError, match=f"00001.xml' is no VOC annotation: object 1 has no {key}, expected name"):
            list(VocRecords(tmp_path / 'xml', tmp_path / 'images'))


def test_the_commands_make_and_verify_records(tmp_path):
    write_voc(tmp_path)
    out = tmp_path / 'records.jsonl'

    def command(name, *args):
        return run_command(f'dataset_converters/{name}.py', *args)

    voc = 'voc', tmp_path / 'xml', tmp_path / 'images', out
    done = command('make_records', *voc, '--tasks', 'REG_DET_HBB', 'IMG_CT')
    assert done.returncode == 0 and '2 records' in done.stdout, done.stderr
    (tmp_path / 'xml/00001.xml').write_text('<annotation><filename>00001.jpg</filename></annotation>')
    done = command('make_records', 'voc', tmp_path / 'xml', tmp_path / 'images', tmp_path / 'none.jsonl')
    assert done.returncode == 1 and "xml' gave not a single record" in done.stderr
    assert f"OUT: '{out}' is a file" in command('train_tokenizer', out, out).stderr
    records = list(read_records(out))
    records[0].task, records[1].crop = 'REG_DET_HB', [0., 0., 500., 10.]
    records.append(type(records[0])(images=['gone.png'], prompt='a', answer='b'))
    write_records(records, out)
    done = command('verify_records', out, '--image-root', tmp_path / 'images', '--other', out)
    assert done.returncode == 1 and 'REG_DET_HBB' in done.stdout and 'gone.png' in done.stdout
    one = command('verify_records', out, '--image-root', tmp_path / 'images', '--other', out, '--show', '1').stdout
    *_, more, total = done.stdout.splitlines()[:1] + one.splitlines()
    assert more == f'... and {int(total.split()[-2]) - 1} more' and total == done.stdout.splitlines()[-1]
    done = command('train_tokenizer', out, tmp_path / 'tokenizer')
    assert done.returncode == 1 and f'error: {out}, record 1: ' in done.stderr
    report = verify_records(out, tmp_path / 'images')
    assert [text.partition(':')[0] for text in report.findings] == ['record 1', 'record 2', 'record 3']


def test_images_are_named_from_the_root_on_also_through_links(tmp_path):
    (tmp_path / 'disk/lake').mkdir(parents=True)
    (tmp_path / 'DATA').mkdir()
    Image.new('RGB', (8, 8)).save(tmp_path / 'disk/lake/a.png')
    (tmp_path / 'DATA/scenes').symlink_to(tmp_path / 'disk')
    for images, root, name in (('DATA/scenes', 'DATA', 'scenes/lake/a.png'), ('DATA/scenes', 'disk', 'lake/a.png'),
                               ('disk', 'DATA', str((tmp_path / 'disk/lake/a.png').resolve()))):
        record, = SceneFolderRecords(tmp_path / images, tmp_path / images, root=tmp_path / root)
        assert record.images == [name]
