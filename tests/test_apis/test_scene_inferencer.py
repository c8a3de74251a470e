"""Classes of images and maps of scenes, from Python and from the command line."""

import json
import re

import numpy as np
import pytest
import rasterio
import torch
from PIL import Image
from rasterio.transform import from_origin

from commands import run_command
from rstoolbox.apis import SceneInferencer, map_file
from rstoolbox.models.checkpoint import CheckpointError


def test_an_image_gets_its_class_whether_file_or_array(classify, tmp_path):
    pixels = np.random.default_rng(1).integers(0, 256, (3, 64, 64, 3), np.uint8)
    for number, image in enumerate(pixels):
        Image.fromarray(image).save(tmp_path / f'{number}.png')
    (tmp_path / 'notes.txt').touch()
    found = classify([tmp_path], batch_size=2)
    assert [entry['image'] for entry in found] == [str(tmp_path / f'{number}.png') for number in range(3)]
    for one, other in zip(found, classify(list(pixels)), strict=True):
        assert one['pred_class'] == classify.classes[one['pred_label']] == other['pred_class']
        assert one['pred_score'] == max(one['pred_scores'].values()) == one['pred_scores'][one['pred_class']]
        assert sum(one['pred_scores'].values()) == pytest.approx(1)
        assert one['pred_scores'] == pytest.approx(other['pred_scores'], abs=1e-5)
    assert len({entry['pred_label'] for entry in classify([*pixels, pixels[0] // 8, 255 - pixels[0] // 4])}) > 1


@pytest.mark.parametrize('tile, stride', [(16, 4), (16, 16), (36, 12), (20, 5)])
def test_a_cell_is_the_mean_of_the_tiles_that_cover_it(classify, scene, tmp_path, tile, stride):
    path, image = scene()
    shares = classify.map(path, tmp_path / 'map.tif', tile, stride, tmp_path / 'probabilities.tif', batch_size=7)
    columns, rows = -(-44 // stride), -(-36 // stride)
    total, count = np.zeros((rows, columns, 8)), np.zeros((rows, columns, 1))
    padded = np.pad(image, ((0, rows * stride + tile - 36), (0, columns * stride + tile - 44), (0, 0)), 'reflect')
    for top in range(0, 36 - tile + stride, stride):
        for left in range(0, 44 - tile + stride, stride):
            cells = np.s_[top // stride:(top + tile) // stride, left // stride:(left + tile) // stride]
            found, = classify(padded[top:top + tile, left:left + tile])
            total[cells] += list(found['pred_scores'].values())
            count[cells] += 1
    expected = total / count
    with rasterio.open(tmp_path / 'map.tif') as made, rasterio.open(tmp_path / 'probabilities.tif') as scores:
        assert made.crs == 'EPSG:32633' and made.nodata == 255 and (made.width, made.height) == (columns, rows)
        assert made.transform == from_origin(500000, 5200000, 10 * stride, 10 * stride)
        assert json.loads(made.tags()['classes']) == list(classify.classes) and len(set(made.colormap(1).values())) > 8
        np.testing.assert_allclose(scores.read().transpose(1, 2, 0), expected, atol=1e-5)
        assert scores.descriptions == tuple(classify.classes)
        numbers = made.read(1)
    assert (numbers == expected.argmax(2)).all()
    expected = [100 * (numbers == index).mean() for index in range(len(classify.classes))]
    assert shares == pytest.approx(dict(zip(classify.classes, expected)))
    assert Image.open(tmp_path / 'map.png').size[0] > 500


def test_what_was_not_measured_has_no_class(classify, scene, tmp_path):
    path, _ = scene(nodata=0)
    with rasterio.open(path, 'r+') as file:
        image = file.read()
        image[:, :, 24:] = 0
        image[:, 30:34, 4:6] = 0  # a hole smaller than a cell
        file.write(image)
    classify.map(path, tmp_path / 'map.tif', tile=16, stride=4)
    with rasterio.open(tmp_path / 'map.tif') as made:
        known = made.read_masks(1) > 0
    assert known[:, :6].all() and not known[:, 6:].any()
    with rasterio.open(path, 'r+') as file:
        file.write(np.zeros_like(image))
    with pytest.raises(ValueError, match='no tile of which half is measured'):
        classify.map(path, tmp_path / 'none.tif', tile=16)
    assert not list(tmp_path.glob('*none*'))


def test_a_map_is_written_as_a_whole_or_not_at_all(classify, scene, tmp_path, monkeypatch):
    path, _ = scene()
    before = path.read_bytes()
    (tmp_path / 'pic.png').touch()
    for options, message in ((dict(out=path), 'are different files'), (dict(probabilities=path), 'are different files'),
                             (dict(probabilities=tmp_path / 'map.tif'), 'are different files'),
                             (dict(scene=tmp_path / 'pic.png', out=tmp_path / 'pic.tif'), 'are different files'),
                             (dict(probabilities=tmp_path / 'p.png'), "p.png' should end in .tif")):
        with pytest.raises(ValueError, match=message):
            classify.map(**dict(dict(scene=path, out=tmp_path / 'map.tif', tile=16), **options))
    assert path.read_bytes() == before

    check = map_file._check_written

    def cut(temporary, *rest):
        with open(temporary, 'r+b') as file:
            file.truncate(300)
        check(temporary, *rest)

    monkeypatch.setattr(map_file, '_check_written', cut)
    with pytest.raises(OSError, match="map.tif' could not be written.* is the disk full"):
        classify.map(path, tmp_path / 'map.tif', tile=16)
    assert [path.name for path in tmp_path.glob('*map*')] == ['map.tif.part']  # what was computed is not lost


@pytest.mark.parametrize('tile, stride, calls', [(16, 4, 9), (16, 4, 1), (16, 4, 22), (20, 20, 3), (36, 6, 2)])
def test_an_interrupted_map_goes_on_with_its_rows(classify, scene, tmp_path, monkeypatch, tile, stride, calls):
    path, _ = scene()
    arguments = dict(scene=path, tile=tile, stride=stride, batch_size=2)
    whole = classify.map(out=tmp_path / 'whole.tif', probabilities=tmp_path / 'scores.tif', **arguments)
    count, original = [], SceneInferencer.classify

    def tired(self, loaded):
        count.append(len(loaded))
        if len(count) == calls:
            raise KeyboardInterrupt
        return original(self, loaded)

    monkeypatch.setattr(SceneInferencer, 'classify', tired)
    with pytest.raises(KeyboardInterrupt):
        classify.map(out=tmp_path / 'map.tif', **arguments)
    assert not (tmp_path / 'map.tif').exists()
    with (tmp_path / 'map.tif.part').open('ab') as file:
        file.write(b'half a row')
    first = len(count)
    with pytest.raises(ValueError, match='holds what another map has so far'):
        classify.map(path, tmp_path / 'map.tif', tile=12)
    assert classify.map(out=tmp_path / 'map.tif', probabilities=tmp_path / 'p.tif', **arguments) == whole
    assert not (tmp_path / 'map.tif.part').exists() and len(count) > first
    for one, other in (('map.tif', 'whole.tif'), ('p.tif', 'scores.tif')):
        with rasterio.open(tmp_path / one) as made, rasterio.open(tmp_path / other) as expected:
            np.testing.assert_array_equal(made.read(), expected.read())


def test_a_raster_without_coordinates_gives_a_map_without_them(classify, scene, tmp_path):
    path, _ = scene(crs=None, transform=None)
    classify.map(path, tmp_path / 'map.tif', tile=16)
    with rasterio.open(tmp_path / 'map.tif') as made:
        assert made.crs is None and (made.width, made.height) == (11, 9)


def test_images_of_several_sizes_do_not_change_one_another(classify):
    images = [np.random.default_rng(side).integers(0, 256, (side, side + 3, 3), np.uint8) for side in (40, 64, 50, 40)]
    for image, found in zip(images, classify(images), strict=True):
        assert found['pred_scores'] == pytest.approx(classify(image)[0]['pred_scores'], abs=1e-5)
    assert classify(Image.fromarray(images[0]))[0]['pred_scores'] == classify(images[0])[0]['pred_scores']
    holes = images[1].astype(np.float32) / 255
    holes[:9, :9] = np.nan
    assert np.isfinite(classify(holes)[0]['pred_score'])


def test_a_classifier_of_several_labels_names_each_and_makes_no_map(trained, scene, tmp_path):
    classify = SceneInferencer(*trained, options={'label_kind.student': 'multi'})
    images = [np.random.default_rng(seed).integers(0, 60 * seed, (64, 64, 3), np.uint8) for seed in (1, 2, 4)]
    for found in classify(images, out_dir=tmp_path):
        likely = [name for name, score in found['pred_scores'].items() if score >= 0.5]
        assert found['pred_class'] == likely and found['pred_score'] == [found['pred_scores'][name] for name in likely]
    assert len(list(tmp_path.glob('image_*.png'))) == 3
    with pytest.raises(ValueError, match='one class a cell'):
        classify.map(scene()[0], tmp_path / 'map.tif', tile=16)


def test_an_alpha_band_is_no_colour(classify, scene, tmp_path):
    path, image = scene(bands=4, photometric='rgb', alpha='yes')
    with rasterio.open(path, 'r+') as file:
        file.write(np.uint8(np.arange(44) < 24)[None].repeat(36, 0) * 255, 4)
    classify.map(path, tmp_path / 'map.tif', tile=16, stride=8)
    with rasterio.open(tmp_path / 'map.tif') as made:
        assert (made.read_masks(1)[:, 3:] == 0).all() and (made.read_masks(1)[:, :3] > 0).all()


@pytest.mark.parametrize('options, message', [
    (dict(tile=16, stride=5), 'Tiles of 16 pixels cannot be 5 pixels apart.* such as 4'),
    (dict(tile=16, stride=0), 'cannot be 0 pixels apart.* such as 4'),
    (dict(tile=0), 'each 1 or more; got 0 and 64'),
    (dict(tile=40), '44 x 36 pixels is smaller than a tile of 40 x 40'),
    (dict(tile=16, out='map.png'), "written as GeoTIFF; '.*map.png' should end in .tif"),
    (dict(tile=16, scene='text.tif'), "text.tif' is no image that can be read"),
    (dict(tile=16, scene='gone.tif'), "gone.tif' is no image that can be read.*No such file"),
    (dict(tile=16, scene='two.tif'), "two.tif has 2 bands, but sensor 'rgb' has 3"),
])
def test_what_cannot_be_mapped_is_explained(classify, scene, tmp_path, options, message):
    scene()
    scene('two.tif', bands=2)
    (tmp_path / 'text.tif').write_text('no raster')
    arguments = dict(dict(scene='scene.tif', out='map.tif'), **options)
    arguments.update(scene=tmp_path / arguments['scene'], out=tmp_path / arguments['out'])
    with pytest.raises(ValueError, match=message):
        classify.map(**arguments)
    assert not (tmp_path / 'map.tif').exists()


def test_models_that_cannot_classify_are_explained(trained, tmp_path):
    config, checkpoint = trained
    with pytest.raises(ValueError, match="device 'cudo' cannot be used"):
        SceneInferencer(config, checkpoint, device='cudo')
    state = torch.load(checkpoint)
    torch.save(dict(state_dict=state['state_dict'], meta={}), tmp_path / 'nameless.pth')
    with pytest.raises(ValueError, match='nameless.pth. does not say what its classes are called'):
        SceneInferencer(config, tmp_path / 'nameless.pth')
    with pytest.raises(CheckpointError, match='8 classes apart'):
        SceneInferencer(config, checkpoint, options={'num_classes.student': 5})
    with pytest.raises(ValueError, match='image 1 is an array of the shape .*R, G, B'):
        SceneInferencer(config, checkpoint)(np.zeros((8, 8)))


def test_the_command_classifies_and_maps(classify, trained, scene, tmp_path):
    path, image = scene()
    model = '--model', trained[0], '--checkpoint', trained[1], '--device', 'cpu'
    done = run_command('predict.py', path, *model, '--out', tmp_path / 'answers')
    assert done.returncode == 0, done.stderr
    line, = map(json.loads, done.stdout.splitlines())
    assert line['image'] == str(path) and set(line['pred_scores']) == set(classify.classes)
    assert line['pred_class'] == max(line['pred_scores'], key=line['pred_scores'].get)
    assert json.loads((tmp_path / 'answers/scene.json').read_text()) == line
    assert (tmp_path / 'answers/scene.png').is_file()
    done = run_command('predict.py', path, *model, '--out', tmp_path / 'map.tif', '--tile', 16, '--stride', 8)
    assert done.returncode == 0, done.stderr
    assert sum(json.loads(done.stdout)['classes'].values()) == pytest.approx(100, abs=0.1)
    assert (tmp_path / 'map.tif').is_file() and (tmp_path / 'map.png').is_file()


@pytest.mark.parametrize('arguments, message', [
    (('--out', 'map.tif'), 'a map needs --tile'),
    (('--out', 'map.geojson'), "'map.geojson' is the name of a file; .* ends in .tif, .tiff"),
    (('--task', 'IMG_CLS'), '--task is of no use to a scene classifier'),
    (('--tile', 16), '--tile is of no use without a map'),
    (('--out', 'map.tif', '--tile', 16, '--show'), '--show is of no use to a map'),
    (('--model', 'student.pth'), "'student.pth' is neither the folder .* nor a config"),
    (('--model', '.'), 'with a config.json'),
])
def test_options_that_do_not_fit_are_explained(trained, scene, tmp_path, arguments, message):
    path, _ = scene()
    done = run_command('predict.py', path, '--model', trained[0], '--checkpoint', trained[1], *arguments, cwd=tmp_path)
    assert done.returncode and re.search(message, done.stderr), done.stderr
