"""Objects that stand for more, or less, than they seem to: crowds, specks, boxes turned over, names of two words."""

import json

import numpy as np
import pytest
from pycocotools import mask as run_lengths

from rstoolbox.datasets.falcon.converters import CocoRecords, DotaRecords, VocRecords
from rstoolbox.datasets.falcon.converters import rings as rings_module
from rstoolbox.heads import head_for

VOC = '<annotation><filename>a.png</filename>{}</annotation>'
VOC_OBJECT = ('<object><name>{}</name><bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox>'
              '</object>')


def write_coco(folder, *annotations, **content):
    names = ('ship', 'plane', 'car')
    (folder / 'coco.json').write_text(json.dumps(dict(
        images=[dict(id=1, file_name='a.png')],
        categories=[dict(id=number, name=name) for number, name in enumerate(names, 1)],
        annotations=[dict(image_id=1) | annotation for annotation in annotations]) | content))
    return folder / 'coco.json'


def outlined(left, top, right, bottom, **keys):
    mask = np.zeros((60, 80), np.uint8, order='F')
    mask[top:bottom, left:right] = 1
    counts = run_lengths.encode(mask)
    return dict(category_id=1, bbox=[left, top, right - left, bottom - top],
                segmentation=dict(size=counts['size'], counts=counts['counts'].decode())) | keys


def asked(records, *tasks):
    return [(record.task, record.category, record.answer == 'The object does not exist.' or record.answer == '0.')
            for record in records if record.task in tasks]


def test_nothing_is_said_of_all_objects_of_a_class_with_a_crowd(image, tmp_path):
    """Of the classes ship and plane there is a crowd, of the plane a single one beside it; there is no car."""
    source = write_coco(tmp_path, outlined(8, 8, 20, 20, iscrowd=1), outlined(8, 8, 20, 20, category_id=2, iscrowd=1),
                        outlined(40, 40, 60, 50, category_id=2))
    records = list(CocoRecords(source, image, absent=3))
    assert asked(records, 'REG_DET_HBB', 'IMG_CT', 'PIX_SEG') == [
        ('REG_DET_HBB', 'car', True), ('IMG_CT', 'car', True), ('PIX_SEG', 'car', True)]
    assert [(record.task, record.answer) for record in records[3:]] == \
        [('REG_CLS_HBB', 'plane.'), ('PIX_CLS', 'plane.')]


def test_a_speck_leaves_the_outlines_of_others(image, tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(rings_module, 'print_log', lambda text, *args: said.append(text))
    source = write_coco(tmp_path, outlined(8, 8, 20, 20), outlined(40, 40, 43, 43),
                        outlined(50, 50, 53, 53, category_id=2), dict(category_id=1, bbox=[60, 8, 1, 1],
                                                                      segmentation=[[60, 8, 61, 9]]))
    records = list(CocoRecords(source, image, absent=3))
    assert asked(records, 'PIX_SEG') == [('PIX_SEG', 'ship', False), ('PIX_SEG', 'car', True)]
    assert sum(record.task == 'PIX_CLS' for record in records) == 1
    assert [record.answer for record in records if record.task == 'IMG_CT'] == ['3.', '1.', '0.']
    answer = next(record.answer for record in records if record.task == 'PIX_SEG')
    assert len(head_for('PIX_SEG').decode(answer, (80, 60)).polygons) == 1
    assert len(said) == 1 and '2 parts of fewer than 16 pixels were left out' in said[0]
    assert sum(record.task == 'PIX_CLS' for record in CocoRecords(source, image, smallest=9)) == 3


def test_an_object_without_an_outline_leaves_its_class_without_segmentation(image, tmp_path):
    for nothing in ([], [[]], dict(size=[60, 80], counts=[4800])):
        source = write_coco(tmp_path, outlined(8, 8, 20, 20), outlined(40, 40, 60, 50, segmentation=nothing))
        assert not asked(CocoRecords(source, image), 'PIX_SEG')


def test_a_coco_box_that_is_a_text_is_refused(image, tmp_path):
    source = write_coco(tmp_path, dict(category_id=1, bbox='1234'))
    with pytest.raises(ValueError, match='coco.json, annotation 1 has no "bbox" of four numbers'):
        list(CocoRecords(source, image))


@pytest.mark.parametrize('bbox, size', [([8, 6, 0, 30], '0 wide and 30 high'), ([8, 6, 20, -3], '20 wide and -3 high')])
def test_coco_boxes_without_an_area_are_refused(image, tmp_path, bbox, size):
    source = write_coco(tmp_path, outlined(8, 8, 20, 20), dict(category_id=1, bbox=bbox))
    with pytest.raises(ValueError, match=f'coco.json, annotation 2 has a "bbox" that is {size}, expected'):
        list(CocoRecords(source, image))


@pytest.mark.parametrize('content, message', [
    (dict(images=[dict(id=1, file_name='a.png'), dict(id=1, file_name='b.png')]),
     'coco.json, image 2 has the "id" 1, which is that of number 1 already'),
    (dict(images=[dict(id=1, file_name='a.png'), dict(id=2, file_name='./a.png')]),
     "coco.json, image 2 annotates '.*a.png', which .*coco.json, image 1 does already"),
    (dict(images=[dict(id=1, file_name=5)]), 'image 1 has the "file_name" 5, expected a text'),
    (dict(images=[dict(id=[1], file_name='a.png')]), r'image 1 has the "id" \[1\], expected a number or a text'),
    (dict(categories=[dict(id=2, name='ship'), dict(id=1, name='car'), dict(id=1, name='ship')]),
     'coco.json, category 3 has the "id" 1, which is that of number 2 already'),
    (dict(categories=[dict(id=[1], name='ship')]), r'category 1 has the "id" \[1\], expected a number or a text'),
    (dict(categories=[dict(id=1, name=5), dict(id=2, name='car')]), 'category 1 has the "name" 5, expected a text'),
    (dict(annotations=[dict(image_id=[1], category_id=1)]), r'annotation 1 names the image \[1\] and the category 1'),
    (dict(annotations=[dict(image_id=1, category_id={})]), r'annotation 1 names the image 1 and the category \{\}'),
])
def test_coco_entries_that_cannot_be_told_apart_are_refused(image, tmp_path, content, message):
    with pytest.raises(ValueError, match=message):
        list(CocoRecords(write_coco(tmp_path, outlined(8, 8, 20, 20), **content), image, absent=1))


def test_coco_categories_of_one_name_are_one_class(image, tmp_path):
    categories = [dict(id=number, name=name) for number, name in enumerate(('ship', ' ship', 'car', 'car', 'tree'), 1)]
    source = write_coco(tmp_path, outlined(8, 8, 20, 20), outlined(40, 40, 60, 50, category_id=2),
                        categories=categories)
    records = list(CocoRecords(source, image, tasks=['IMG_CT'], absent=2))
    assert {record.category: record.answer for record in records} == dict(ship='2.', car='0.', tree='0.')


@pytest.mark.parametrize('counts', [[5, 5], [], [5, 50000], [5, -5, 4800], [4800.5], [2**40], 'zzzz garbage', None,
                                    '55',  # as [5, 5] is written
                                    'oe4'])  # as [4799] is
def test_run_lengths_that_do_not_fill_the_image_are_refused(image, tmp_path, counts):
    whole = outlined(8, 8, 20, 20)
    source = write_coco(tmp_path, whole, whole | dict(segmentation=dict(size=[60, 80], counts=counts)))
    with pytest.raises(ValueError, match='coco.json, annotation 2 has .* nor run lengths'):
        list(CocoRecords(source, image))


@pytest.mark.parametrize('segmentation', [
    [[10, 10], [30, 10], [30, 30]], [[[10, 10], [30, 10], [30, 30]]], [[[10, 10, 30, 10, 30, 30]]],
    [10, 10, 30, 10, 30, 30], [[10, 10, 30, 10, 30, 30, 5]], [[10, 10, 30, 10, 30, 'x']], [{'x': 1}]])
def test_coco_polygons_of_another_form_are_refused(image, tmp_path, segmentation):
    whole = outlined(8, 8, 20, 20)
    with pytest.raises(ValueError, match='coco.json, annotation 2 has .* "segmentation" that is neither polygons'):
        list(CocoRecords(write_coco(tmp_path, whole, whole | dict(segmentation=segmentation)), image))


def test_coco_rings_of_a_point_or_a_line_are_left_out(image, tmp_path):
    ring = [8, 6, 40, 6, 40, 30]
    source = write_coco(tmp_path, outlined(8, 6, 40, 30, segmentation=[ring, [5, 5], [5, 5, 6, 6], []]))
    record, = CocoRecords(source, image, tasks=['PIX_SEG'])
    assert np.allclose(head_for('PIX_SEG').decode(record.answer, (80, 60)).polygons,
                       [[np.reshape(ring, (3, 2))]], atol=0.1)
    assert not list(CocoRecords(write_coco(tmp_path, outlined(8, 6, 40, 30, segmentation=[[], []])), image,
                                tasks=['PIX_SEG']))


def write_voc(folder, *objects):
    (folder / 'xml').mkdir()
    (folder / 'xml/a.xml').write_text(VOC.format(''.join(VOC_OBJECT.format(*values) for values in objects)))
    return folder / 'xml'


@pytest.mark.parametrize('corners', [(40, 6, 8, 30), (8, 30, 40, 6)])
def test_voc_boxes_turned_over_are_refused(image, tmp_path, corners):
    source = write_voc(tmp_path, ('ship', 9, 7, 9, 7), ('ship', *corners))  # a single pixel is a box
    with pytest.raises(ValueError, match="a.xml' is no VOC annotation: the box of object 2 goes from "
                                         f'{corners[0]}, {corners[1]} to {corners[2]}, {corners[3]}, expected xmin'):
        list(VocRecords(source, image))


def test_what_a_voc_file_cannot_mean_is_named(image, tmp_path):
    file = write_voc(tmp_path, ('ship', 9, 7, 40, 30)) / 'a.xml'
    whole = file.read_text()
    size = '</filename><size><width>inf</width><height>60</height></size>'
    for text, message in ((whole.replace('</filename>', size), 'infinity'),
                          (f'<?xml version="1.0" encoding="foo"?>{whole}', 'unknown encoding: foo')):
        file.write_text(text)
        with pytest.raises(ValueError, match=f"a.xml' is no VOC annotation: .*{message}"):
            list(VocRecords(file.parent, image))


def test_names_of_classes_are_worded(image, tmp_path):
    records = list(VocRecords(write_voc(tmp_path, ('Expressway-Service-area', 9, 7, 40, 30)), image))
    assert records[0].prompt.startswith('Detect all expressway service area in') \
        and records[-1].answer == 'expressway service area.'
    (tmp_path / 'labelTxt').mkdir()
    (tmp_path / 'labelTxt/a.txt').write_text('8 6 40 6 40 30 8 30 small-vehicle 0\n')
    records = list(DotaRecords(tmp_path / 'labelTxt', image))
    assert records[0].prompt.startswith('Detect all small vehicle in') and records[-1].answer == 'small vehicle.'


@pytest.mark.parametrize('line', [*(f'8 6 40 6 40 30 8 30 {end}' for end in (
    'large vehicle 1', 'ship 1 0', 'ship difficult', '', '3 0')), '0 0.1 0.1 0.3 0.1 0.3 0.3 0.1 0.3'])
def test_dota_lines_with_other_columns_are_refused(image, tmp_path, line):
    (tmp_path / 'labelTxt').mkdir()
    (tmp_path / 'labelTxt/a.txt').write_text(f'8 6 40 6 40 30 8 30 ship\n{line}\n')
    with pytest.raises(ValueError, match=r'a.txt, line 2: expected eight numbers, a class without a blank \(small-veh'):
        list(DotaRecords(tmp_path / 'labelTxt', image))
