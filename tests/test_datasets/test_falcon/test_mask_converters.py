"""Masks as records: what the pixels say is what the polygons say."""

import shutil

import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio import features
from shapely import Polygon

from rstoolbox.datasets.falcon.converters import ChangeRecords, MaskRecords
from rstoolbox.datasets.falcon.converters import rings as rings_module
from rstoolbox.datasets.falcon.converters.rings import mask_to_instances
from rstoolbox.heads import head_for


def fill(instances, size):
    """Rings as a mask, holes open."""
    mask = np.zeros(size[::-1], bool)
    for rings in instances:
        polygon = Polygon(rings[0], rings[1:])
        mask |= features.rasterize([polygon], out_shape=mask.shape, fill=0).astype(bool)
    return mask


def overlap(first, second):
    return (first & second).sum() / max((first | second).sum(), 1)


def test_outlines_fill_to_the_mask_they_were_drawn_around():
    mask = np.zeros((40, 60), bool)
    mask[5:30, 10:50] = True
    mask[10:20, 20:30] = False
    mask[35:39, 2:8] = True
    instances, left_out = mask_to_instances(mask, tolerance=0)
    assert sorted(len(rings) for rings in instances) == [1, 2]
    assert (fill(instances, (60, 40)) == mask).all() and not left_out
    assert mask_to_instances(np.zeros((5, 5))) == ([], 0)
    instances, left_out = mask_to_instances(mask, smallest=25)
    assert len(instances) == left_out == 1


def test_masks_of_classes_and_of_instances(shared):
    root = shared('data/segmentation_samples')
    classes = {2: 'building', 3: 'road', 4: 'water', 5: 'barren', 6: 'forest', 7: 'agriculture'}
    records = MaskRecords(root / 'loveda/ann_dir', root / 'loveda/img_dir', classes, tasks=['PIX_SEG'])
    for record in records:
        mask = np.asarray(Image.open(root / 'loveda/ann_dir' / record.images[0]))
        value = next(value for value, name in classes.items() if name == record.category)
        answer = head_for('PIX_SEG').decode(record.answer, mask.shape[::-1])
        assert not answer.failures and overlap(fill(answer.polygons, mask.shape[::-1]), mask == value) > 0.8
    vehicles = list(MaskRecords(root / 'isaid', root / 'isaid', {(0, 0, 63): 'ship', (0, 0, 127): 'small vehicle'},
                                suffix='_instance_color_RGB', instances='_instance_id_RGB', tasks=['PIX_CLS']))
    assert vehicles and all(record.answer == 'small vehicle.' for record in vehicles)


def test_changes_lie_where_the_label_says(shared):
    root = shared('data/change_detection_samples/levir_cd')
    records = list(ChangeRecords(root / 'label', root))
    assert len(records) == 11 and all(len(record.images) == 2 for record in records)
    assert sum(record.answer == 'The object does not exist.' for record in records) == 1
    for record in records:
        mask = np.asarray(Image.open(root / record.images[0].replace('A/', 'label/')).convert('L')) > 0
        answer = head_for('PIX_CHG').decode(record.answer, mask.shape[::-1])
        assert not answer.failures
        assert not mask.any() or overlap(fill(answer.polygons, mask.shape[::-1]), mask) > 0.75


def write_masks(folder, **masks):
    folder.mkdir(exist_ok=True)
    for name, mask in masks.items():
        Image.fromarray(np.asarray(mask, np.uint8)).save(folder / f'{name}.png')


def test_parts_of_one_number_are_one_instance(image, tmp_path):
    """Colours of classes and of instances; two ships touch, and one lies under a bridge."""
    classes, numbers = np.zeros((60, 80, 3)), np.zeros((60, 80, 3))
    classes[10:20, 10:50] = classes[40:50, 10:20] = classes[40:50, 30:40] = 0, 0, 63
    numbers[10:20, 10:30], numbers[10:20, 30:50] = (1, 0, 0), (0, 1, 0)
    numbers[40:50, 10:40] = 0, 0, 1
    write_masks(tmp_path / 'masks', a=classes, a_id=numbers)
    record, = MaskRecords(tmp_path / 'masks', image, {(0, 0, 63): 'ship'}, tasks=['PIX_SEG'], instances='_id')
    ships = head_for('PIX_SEG').decode(record.answer, (80, 60)).polygons
    assert sorted(len(rings) for rings in ships) == [1, 1, 2]
    assert overlap(fill(([ring] for rings in ships for ring in rings), (80, 60)), classes[..., 2] > 0) > 0.9


def test_masks_may_be_any_raster(image, tmp_path):
    values = np.zeros((60, 80))
    values[12:42, 8:40] = 1
    (tmp_path / 'masks').mkdir()
    for data_type in ('int64', 'float64'):
        with rasterio.open(tmp_path / 'masks/a.tif', 'w', driver='GTiff', height=60, width=80, count=1,
                           dtype=data_type, transform=rasterio.Affine.scale(10)) as file:
            file.write(values.astype(data_type), 1)
        record, = MaskRecords(tmp_path / 'masks', image, {1: 'field'}, tasks=['PIX_SEG'])
        polygons = head_for('PIX_SEG').decode(record.answer, (80, 60)).polygons
        assert np.allclose(polygons, [[[[8, 12], [8, 42], [40, 42], [40, 12]]]], atol=0.1)


def test_masks_that_cannot_be_read_or_do_not_fit_are_named(image, tmp_path):
    write_masks(tmp_path / 'masks', a=np.ones((60, 80)), a_id=np.ones((30, 80)))
    with pytest.raises(ValueError, match="a_id.png' has 80 x 30 pixels and its mask of classes 80 x 60"):
        list(MaskRecords(tmp_path / 'masks', image, {1: 'field'}, instances='_id'))
    (tmp_path / 'masks/a_id.png').unlink()
    file = tmp_path / 'masks/a.png'
    file.write_bytes(file.read_bytes()[:-30])
    with pytest.raises(ValueError, match="masks/a.png' is cut off"):
        list(MaskRecords(tmp_path / 'masks', image, {1: 'field'}))
    for name in 'AB':
        shutil.copytree(image, tmp_path / name)
    (tmp_path / 'masks/.DS_Store').touch()
    with pytest.raises(ValueError, match="masks/a.png' is cut off"):
        list(ChangeRecords(tmp_path / 'masks', tmp_path))
    write_masks(tmp_path / 'masks', a=np.ones((60, 80)))
    assert [record.images for record in ChangeRecords(tmp_path / 'masks', tmp_path)] == [['A/a.png', 'B/a.png']]


def test_what_is_too_small_to_outline_is_never_absent(image, tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(rings_module, 'print_log', lambda text, *args: said.append(text))
    mask = np.zeros((60, 80))
    mask[10:30, 10:30], mask[40:42, 40:42], mask[50:53, 50:53], mask[0:2, 0:2] = 1, 1, 2, 3
    write_masks(tmp_path / 'masks', a=mask)
    # The second value of the roof and the car are specks; a class has a record for what is large enough of it.
    masks = dict(source=tmp_path / 'masks', images=image, classes={1: 'roof', 2: 'car', 3: 'roof'}, absent=2)
    assert [(record.task, record.category) for record in MaskRecords(**masks)] == [('PIX_SEG', 'roof'), ('PIX_CLS', '')]
    assert len(said) == 1 and '3 parts of fewer than 16 pixels were left out; --smallest' in said[0]
    records = [record for record in MaskRecords(**masks, smallest=1) if record.task == 'PIX_SEG']
    counts = {record.category: len(head_for('PIX_SEG').decode(record.answer, (80, 60)).polygons) for record in records}
    assert counts == dict(roof=3, car=1) and len(said) == 1


def test_a_change_too_small_to_outline_is_not_said_to_be_none(image, tmp_path):
    for name in 'AB':
        shutil.copytree(image, tmp_path / name)
        for other in 'bc':
            shutil.copy(tmp_path / name / 'a.png', tmp_path / name / f'{other}.png')
    speck, part = np.zeros((60, 80)), np.zeros((60, 80))
    speck[10:13, 10:13] = part[10:30, 10:30] = 255
    write_masks(tmp_path / 'label', a=speck, b=part, c=np.zeros((60, 80)))
    answers = {record.images[0]: record.answer for record in ChangeRecords(tmp_path / 'label', tmp_path)}
    assert list(answers) == ['A/b.png', 'A/c.png'] and answers['A/c.png'] == 'The object does not exist.'
    assert len(list(ChangeRecords(tmp_path / 'label', tmp_path, smallest=9))) == 3


def test_dates_are_found_by_name_whatever_their_ending(image, tmp_path):
    for name, ending in (('A', 'jpg'), ('B', 'tif')):
        (tmp_path / name).mkdir()
        Image.open(image / 'a.png').save(tmp_path / name / f'a.{ending}')
    write_masks(tmp_path / 'label', a=np.zeros((60, 80)))
    assert [record.images for record in ChangeRecords(tmp_path / 'label', tmp_path)] == [['A/a.jpg', 'B/a.tif']]
    shutil.copy(image / 'a.png', tmp_path / 'A')  # the label's own name is nearer
    assert [record.images for record in ChangeRecords(tmp_path / 'label', tmp_path)] == [['A/a.png', 'B/a.tif']]
    shutil.rmtree(tmp_path / 'B')
    with pytest.raises(FileNotFoundError, match="The label '.*label/a.png' has no image of its name in '.*B'"):
        list(ChangeRecords(tmp_path / 'label', tmp_path))


def test_a_class_that_no_mask_holds_is_refused(image, tmp_path):
    mask = np.zeros((60, 80))
    mask[10:30, 10:30] = 2
    write_masks(tmp_path / 'masks', a=mask)
    with pytest.raises(ValueError, match=r"class 'roof' has the value 255, which occurs in none of the 1 masks of .*"
                                         'They hold: 0 2. Correct the value, or leave the class out'):
        list(MaskRecords(tmp_path / 'masks', image, {2: 'field', 255: 'roof'}, absent=1))
    write_masks(tmp_path / 'masks', a=np.stack([mask, 0 * mask, 10 * mask], axis=-1))
    with pytest.raises(ValueError, match="'roof' has the value 0,0,63, which .* They hold: 0,0,0 2,0,20. Correct"):
        list(MaskRecords(tmp_path / 'masks', image, {(0, 0, 63): 'roof'}, absent=1))
    # A list may choose images without it, and without questions about what is absent it does no harm.
    write_masks(tmp_path / 'masks', a=mask, b=mask + 5)
    shutil.copy(image / 'a.png', image / 'b.png')
    (tmp_path / 'some.txt').write_text('a')
    masks = dict(source=tmp_path / 'masks', images=image, names=tmp_path / 'some.txt')
    chosen = [record.category for record in MaskRecords(**masks, classes={2: 'field', 7: 'roof'}, absent=1)]
    assert sorted(filter(None, chosen)) == ['field', 'roof']
    assert list(MaskRecords(**masks, classes={2: 'field', 255: 'roof'}))


@pytest.mark.parametrize('name, value', [('tolerance', -1.), ('tolerance', float('nan')), ('tolerance', float('inf')),
                                         ('smallest', 0), ('smallest', 2.5), ('smallest', '16')])
def test_outlines_are_told_in_pixels(image, name, value):
    with pytest.raises(ValueError, match=f'{name} is how many pixels .* or more, got {value!r}'):
        MaskRecords(image, image, {1: 'field'}, **{name: value})


def test_a_colour_for_a_mask_of_numbers_names_the_mask(image, tmp_path):
    write_masks(tmp_path / 'masks', a=np.ones((60, 80)))
    picture = Image.open(tmp_path / 'masks/a.png').convert('P')
    picture.putpalette([0, 0, 0, 255, 0, 0])
    picture.save(tmp_path / 'masks/a.png')
    for absent in (0, 1):
        with pytest.raises(ValueError, match=r"mask '.*masks/a.png' has one number .* but \(255, 0, 0\) is a colour"):
            list(MaskRecords(tmp_path / 'masks', image, {(255, 0, 0): 'roof'}, absent=absent))


def test_two_masks_of_one_image_are_refused(image, tmp_path):
    write_masks(tmp_path / 'label', a=np.zeros((60, 80)))
    shutil.copy(tmp_path / 'label/a.png', tmp_path / 'label/._a.png')  # hidden files are none
    for name in 'AB':
        shutil.copytree(image, tmp_path / name)
    masks = dict(classes={0: 'field'})
    assert list(ChangeRecords(tmp_path / 'label', tmp_path)) and list(MaskRecords(tmp_path / 'label', image, **masks))
    Image.open(tmp_path / 'label/a.png').save(tmp_path / 'label/a.tif')
    for records in (ChangeRecords(tmp_path / 'label', tmp_path), MaskRecords(tmp_path / 'label', image, **masks)):
        with pytest.raises(ValueError, match="label/a.png' and 'a.tif' are both of the image 'a'. Leave one out"):
            list(records)
