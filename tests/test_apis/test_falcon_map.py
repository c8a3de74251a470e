"""Answers about a large scene on a map."""

import json
from types import SimpleNamespace

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rasterio.transform import Affine, from_origin
from scipy import ndimage

from commands import run_command
from rstoolbox.apis import FalconInferencer
from rstoolbox.apis.falcon_map import map_answers
from rstoolbox.apis.geo import GeoRaster
from rstoolbox.apis.merging import shapes_of
from rstoolbox.models.falcon import Falcon, load_tokenizer
from rstoolbox.structures import Answer

TOKENIZER = 'configs/_base_/models/falcon_tiny_tokenizer'
WIDTH, HEIGHT = 150, 110
ORIGIN = from_origin(500000, 5200000, 2, 2)


class Eye:
    """Answers what a perfect model would: every bright object of a tile, one cut by its edge a little less surely."""

    model = SimpleNamespace(image_size=(64, 64))
    fingerprint = 'perfect'

    def __call__(self, images, task, batch_size, classes, **slots):
        assert 1 <= len(images) <= batch_size
        return [SimpleNamespace(pred_answer=self.answer(image, task)) for image in images]

    def answer(self, image, task):
        image = np.abs(image[0].astype(int) - image[1]) if isinstance(image, tuple) else image
        numbers, count = ndimage.label(image[..., 0] > 100)
        boxes = np.array([[x.start, y.start, x.stop, y.stop] for y, x in ndimage.find_objects(numbers)], float)
        boxes = boxes.reshape(-1, 4)
        corners = boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]]
        scores = np.array([image[int(y1), int(x1), 0] / 255 for x1, y1, _, _ in boxes])
        if task == 'REG_DET_OBB':
            return Answer(quads=corners, scores=scores)
        if task in ('PIX_SEG', 'PIX_CHG'):
            return Answer(polygons=[[ring.reshape(4, 2)] for ring in corners], scores=scores)
        if task == 'IMG_CT':
            return Answer(text=f'{count}.', count=count, scores=np.array([0.5]))
        return Answer(bboxes=boxes, scores=scores)


def write_scene(path, boxes, transform=ORIGIN, **profile):
    image = np.full((3, HEIGHT, WIDTH), 10, np.uint8)
    for number, (x1, y1, x2, y2) in enumerate(boxes):
        image[:, y1:y2, x1:x2] = 120 + number
    with rasterio.open(path, 'w', driver='GTiff', width=WIDTH, height=HEIGHT, count=3, dtype='uint8',
                       **dict(dict(crs='EPSG:32633', transform=transform), **profile)) as file:
        file.write(image)
    return path


def on_earth(boxes):
    return [shapely.box(500000 + 2 * x1, 5200000 - 2 * y2, 500000 + 2 * x2, 5200000 - 2 * y1)
            for x1, y1, x2, y2 in boxes]


def equal(shapes, expected):
    return len(shapes) == len(expected) and all(any(shape.equals(other) for other in expected) for shape in shapes)


@st.composite
def layouts(draw):
    """Boxes smaller than the overlap of tiles, apart from one another."""
    boxes = []
    for x in range(0, WIDTH - 20, 20):
        for y in range(0, HEIGHT - 20, 20):
            if draw(st.booleans()):
                left, top = x + draw(st.integers(1, 4)), y + draw(st.integers(1, 4))
                boxes.append((left, top, left + draw(st.integers(3, 14)), top + draw(st.integers(3, 14))))
    return boxes


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(boxes=layouts(), task=st.sampled_from(['REG_DET_HBB', 'REG_DET_OBB', 'PIX_SEG']), tile=st.integers(60, 200))
def test_every_object_is_found_once_where_it_lies(tmp_path, boxes, task, tile):
    path = write_scene(tmp_path / 'scene.tif', boxes)
    frame = map_answers(Eye(), path, task, tile=tile, stride=tile - 16, batch_size=3, category='ship')
    assert frame.crs == 'EPSG:32633' and equal(list(frame.geometry), on_earth(boxes))
    assert set(frame.columns) == {'task', 'category', 'score', 'geometry'}


def test_an_object_that_edges_cut_everywhere_is_kept_and_areas_grow_together(tmp_path):
    large = [(10, 20, 140, 40)]
    path = write_scene(tmp_path / 'scene.tif', large)
    parts = map_answers(Eye(), path, 'REG_DET_HBB', category='ship')
    assert len(parts) and shapely.union_all(parts.geometry.values).area > 0.5 * on_earth(large)[0].area
    whole = map_answers(Eye(), path, 'PIX_SEG', category='water')
    assert equal(list(whole.geometry), on_earth(large)) and len(whole) == 1
    one = map_answers(Eye(), write_scene(path, [(2, 2, 9, 9), (100, 80, 120, 95)]), 'REG_VG', text='the bright one')
    assert equal(list(one.geometry), on_earth([(100, 80, 120, 95)]))


def test_a_ring_within_another_is_a_hole_and_crossed_corners_are_no_failure():
    rings = [np.array(shapely.box(*box).exterior.coords[:4])
             for box in ((0, 0, 20, 20), (5, 5, 15, 15), (30, 0, 40, 10))]
    shape, bow = shapes_of(Answer(polygons=[rings, [np.array([[0, 0], [4, 4], [4, 0], [0, 4]])]]))
    assert shape.area == 400 - 100 + 100 and bow.is_valid and bow.area == 8
    quad, = shapes_of(Answer(quads=np.array([[0, 0, 4, 4, 4, 0, 0, 4]])))
    assert quad.is_valid and quad.area == 8


def test_two_dates_of_one_grid(tmp_path):
    before = write_scene(tmp_path / 'before.tif', [(5, 5, 15, 15)])
    after = write_scene(tmp_path / 'after.tif', [(5, 5, 15, 15), (90, 70, 110, 80)])
    frame = map_answers(Eye(), before, 'PIX_CHG', later=after)
    assert equal(list(frame.geometry), on_earth([(90, 70, 110, 80)]))
    degrees = dict(crs='EPSG:4326')
    fine, coarse = (write_scene(tmp_path / f'{size}.tif', [], from_origin(10, 50, size * 1e-6, size * 1e-6), **degrees)
                    for size in (3, 6))
    moved = write_scene(tmp_path / 'moved.tif', [], from_origin(500001, 5200000, 2, 2))
    for first, second in ((before, moved), (fine, coarse)):
        with pytest.raises(ValueError, match=f"{first.name}' and '.*{second.name}' differ in size"):
            map_answers(Eye(), first, 'PIX_CHG', later=second)
    with pytest.raises(ValueError, match='PIX_CHG is about two dates'):
        map_answers(Eye(), before, 'PIX_CHG')


def test_tasks_about_the_image_answer_for_each_tile_that_is_measured(tmp_path):
    path = write_scene(tmp_path / 'scene.tif', [(5, 5, 15, 15), (70, 70, 80, 80), (90, 90, 99, 99)])
    with rasterio.open(path, 'r+') as file:
        image = file.read()
        image[:, :40, 64:] = 0
        image[:, 40:64, 86:] = 0
        file.write(image)
        file.nodata = 0
    frame = map_answers(Eye(), path, 'IMG_CT', tmp_path / 'counts.gpkg', category='ship', tile=40)
    assert sum(frame['count']) >= 3 and set(frame['category']) == {'ship'} and len(frame) == 12 - 2
    again = geopandas.read_file(tmp_path / 'counts.gpkg', layer='IMG_CT')
    assert again.crs == frame.crs and list(again['count']) == list(frame['count'])
    assert equal(list(again.geometry), list(frame.geometry))


def test_geojson_holds_degrees_and_turned_rasters_lie_right(tmp_path):
    turned = Affine.translation(500000, 5200000) @ Affine.rotation(30) @ Affine.scale(2, -2)
    path = write_scene(tmp_path / 'scene.tif', [(50, 40, 60, 52)], turned)
    frame = map_answers(Eye(), path, 'REG_DET_HBB', tmp_path / 'found.geojson', category='Schiff für Ö')
    expected = shapely.Polygon([turned @ corner for corner in ((50, 40), (60, 40), (60, 52), (50, 52))])
    assert frame.geometry[0].symmetric_difference(expected).area < 1e-6
    content = json.loads((tmp_path / 'found.geojson').read_text())
    feature, = content['features']
    assert shapely.LinearRing(feature['geometry']['coordinates'][0]).is_ccw
    assert feature['properties']['category'] == 'Schiff für Ö'
    back = geopandas.read_file(tmp_path / 'found.geojson').to_crs(frame.crs)
    assert back.geometry[0].symmetric_difference(expected).area < 1e-3 * expected.area
    for name in ('none.geojson', 'none.gpkg'):
        map_answers(Eye(), write_scene(path, []), 'REG_DET_HBB', tmp_path / name, category='ship')
        assert len(geopandas.read_file(tmp_path / name)) == 0


def test_tiles_of_sixteen_bits_share_one_stretch_and_dark_ones_are_asked_about(tmp_path):
    values = np.full((3, HEIGHT, WIDTH), 1000, np.uint16)
    values[:, :, 100:] = 2000
    values[:, 50:60, 120:130] = 3000
    path = tmp_path / 'scene.tif'
    with rasterio.open(path, 'w', driver='GTiff', width=WIDTH, height=HEIGHT, count=3, dtype='uint16',
                       crs='EPSG:32633', transform=ORIGIN) as file:
        file.write(values)
    seen = []

    class Watching(Eye):
        def answer(self, image, task):
            seen.append(set(np.unique(image)))
            return Answer()

    map_answers(Watching(), path, 'IMG_CT', category='ship', tile=40)
    assert set().union(*seen) == {0, 255}  # 2000 is white as 3000 is, in every tile; 1000 is black
    assert len(seen) == 12 and {0} in seen


@pytest.mark.parametrize('count, profile', [(4, dict(photometric='rgb', alpha='yes')), (2, dict(alpha='yes'))])
def test_what_is_transparent_is_not_seen(tmp_path, count, profile):
    path = tmp_path / 'scene.tif'
    values = np.full((count, HEIGHT, WIDTH), 200, np.uint8)
    values[-1, :, 70:] = 0
    for dtype in ('uint8', 'uint16'):
        with rasterio.open(path, 'w', driver='GTiff', width=WIDTH, height=HEIGHT, count=count, dtype=dtype,
                           crs='EPSG:32633', transform=ORIGIN, **profile) as file:
            file.write(values.astype(dtype))
            file.write(np.full((HEIGHT, WIDTH), 10, dtype)[:9], 1, window=((0, 9), (0, WIDTH)))
        frame = map_answers(Eye(), path, 'IMG_CT', category='field', tile=40)
        assert len(frame) == 6  # of twelve


def test_a_palette_is_seen_in_its_colours(tmp_path):
    path = write_scene(tmp_path / 'scene.tif', [])
    with rasterio.open(path, 'w', driver='GTiff', width=WIDTH, height=HEIGHT, count=1, dtype='uint8',
                       crs='EPSG:32633', transform=ORIGIN) as file:
        file.write(np.uint8(np.arange(WIDTH) > 70)[None].repeat(HEIGHT, 0), 1)
        file.write_colormap(1, {0: (0, 0, 0, 255), 1: (150, 200, 0, 255)})
    frame = map_answers(Eye(), path, 'PIX_SEG', category='field')
    assert equal(list(frame.geometry), on_earth([(71, 0, WIDTH, HEIGHT)]))


def test_an_interrupted_map_goes_on_with_its_answers(tmp_path):
    path, out = write_scene(tmp_path / 'scene.tif', [(5, 5, 15, 15), (90, 70, 110, 80)]), tmp_path / 'found.geojson'
    asked = []

    class Tired(Eye):
        def answer(self, image, task):
            asked.append(image)
            if len(asked) == self.last:
                raise KeyboardInterrupt
            found = super().answer(image, task)
            rows = [f'<box>{"".join(f"<{int(1000 * value / 64)}>" for value in box)}</box>' for box in found.bboxes]
            found.text = ''.join(rows) or 'The object does not exist.'
            return found

    tired = Tired()
    tired.last = 5
    arguments = dict(scene=path, task='REG_DET_HBB', out=out, batch_size=1, tile=64, category='ship')
    with pytest.raises(KeyboardInterrupt):
        map_answers(tired, **arguments)
    assert not out.exists() and len((tmp_path / 'found.geojson.part').read_text().splitlines()) == 1 + 4
    with (tmp_path / 'found.geojson.part').open('a') as file:
        file.write('{"tile": 5, "te')
    tired.last = None
    frame = map_answers(tired, **arguments)
    whole = map_answers(Eye(), **dict(arguments, out=None))
    assert len(asked) == 5 + len(GeoRaster(path).tiles(64, 48)) - 4
    assert len(frame) == len(whole) == 2 and not list(tmp_path.glob('*.part'))
    for one, other in zip(frame.geometry, whole.geometry):
        assert one.symmetric_difference(other).area < 0.05 * other.area  # what was read again is in bins
    tired.last = 3
    asked.clear()
    with pytest.raises(KeyboardInterrupt):
        map_answers(tired, **arguments)
    tired.last = None
    asked.clear()
    with pytest.raises(ValueError, match="found.geojson.part' holds what another map has so far.* delete it"):
        map_answers(tired, **dict(arguments, category='plane'))
    with pytest.raises(ValueError, match="needs 'category'"):
        map_answers(tired, **{key: value for key, value in arguments.items() if key != 'category'})
    assert not asked and len(map_answers(tired, **arguments)) == 2 and len(asked) == 4


@pytest.mark.parametrize('options, message', [
    (dict(task='REG_CAP', bbox=[0, 0, 9, 9]), 'REG_CAP is about a region of an image'),
    (dict(task='REG_DET', category='ship'), 'REG_DET_HBB'),
    (dict(task='REG_DET_HBB', out='a.shp', category='ship'), "GeoJSON .* or GeoPackage .*'a.shp' ends in neither"),
    (dict(task='REG_DET_HBB', later='scene.tif', category='ship'), 'REG_DET_HBB is about one date'),
    (dict(task='REG_DET_HBB', scene='flat.tif', category='ship'), "flat.tif' does not say where on Earth"),
    (dict(task='REG_DET_HBB', scene='text.tif', category='ship'), "text.tif' is no image that can be read"),
    (dict(task='REG_DET_HBB', batch_size=0, category='ship'), 'each 1 or more; got 64, 48 and 0'),
    (dict(task='REG_DET_HBB', out='scene.tif/a.gpkg', category='ship'), "out: '.*a.gpkg' cannot be written"),
    (dict(task='REG_DET_HBB', out='other.gpkg', category='ship'), "other.gpkg' holds the layer PIX_SEG, which would"),
    (dict(task='REG_DET_HBB', out='text.gpkg', category='ship'), "text.gpkg' is there and holds no layers"),
    (dict(task='REG_DET_HBB', out='scene.tif', category='ship'), 'GeoJSON .* ends in neither'),
    (dict(task='REG_DET_HBB', scene='far.tif', out='a.geojson', category='ship'), 'nowhere on Earth.* Name a .gpkg'),
    (dict(task='REG_DET_HBB', scene='empty.tif', category='ship'), "empty.tif' holds nothing measured"),
    (dict(task='REG_DET_HBB', scene='local.tif', out='a.geojson', category='ship'), 'do not lead to .* Name a .gpkg'),
    (dict(task='REG_DET_HBB', tile=10, stride=11, category='ship'), 'at most as many.* got 10, 11 and 8'),
])
def test_what_cannot_be_mapped_is_explained(tmp_path, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    write_scene('scene.tif', [])
    write_scene('flat.tif', [], crs=None, transform=None)
    write_scene('far.tif', [], transform=from_origin(5e9, 5e9, 2, 2))
    write_scene('empty.tif', [], nodata=10)
    write_scene('local.tif', [], crs='LOCAL_CS["site",UNIT["metre",1]]')
    map_answers(Eye(), 'scene.tif', 'PIX_SEG', 'other.gpkg', category='ship')
    for name in ('text.tif', 'text.gpkg'):
        (tmp_path / name).write_text('text')
    with pytest.raises((ValueError, KeyError), match=message):
        map_answers(Eye(), **dict(dict(scene='scene.tif'), **options))


def test_a_model_and_the_command_map_a_scene(tmp_path):
    model = Falcon('tiny', tokenizer=load_tokenizer(TOKENIZER), image_size=64, max_positions=256)
    model.save_pretrained(tmp_path / 'model')
    path = write_scene(tmp_path / 'scene.tif', [(50, 40, 60, 52)])
    ask = FalconInferencer(tmp_path / 'model', device='cpu', num_beams=1, max_new_tokens=40)
    frame = ask.map(path, 'REG_DET_OBB', category='ship')
    inside = shapely.box(500000, 5200000 - 2 * HEIGHT, 500000 + 2 * WIDTH, 5200000)
    assert frame.crs == 'EPSG:32633' and all(inside.buffer(1).contains(shape) for shape in frame.geometry)
    done = run_command('predict.py', path, '--model', tmp_path / 'model', '--task', 'IMG_CAP', '--beams', 1, '--tile',
                       100, '--out', tmp_path / 'captions.geojson', '--device', 'cpu')
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == dict(map=str(tmp_path / 'captions.geojson'), features=4)
    assert len(json.loads((tmp_path / 'captions.geojson').read_text())['features']) == 4
