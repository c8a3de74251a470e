"""Answers about a large georeferenced scene: asked tile by tile, merged, and put where they belong on a map."""

import numpy as np
from rich.console import Console
from rich.progress import track

from rstoolbox.datasets.falcon.rasters import read_raster, stretch_of
from rstoolbox.heads import head_for

from .geo import GeoRaster, check_format, geopandas, shapely, write_features
from .merging import cut_by_edges, dissolve, keep_best, shapes_of

OBJECTS = ('REG_DET_HBB', 'REG_DET_OBB', 'REG_VG')
AREAS = ('PIX_SEG', 'PIX_CHG')


def map_answers(ask, scene, task, out=None, later=None, tile=None, stride=None, batch_size=8, classes=None, **slots):
    """See :meth:`~rstoolbox.apis.FalconInferencer.map`."""
    head = head_for(task)
    if task not in (*OBJECTS, *AREAS) and not task.startswith('IMG_'):
        raise ValueError(f'{task} is about a region of an image, not about a scene: ask about a crop of it.')
    if (later is not None) != (head.num_images == 2):
        raise ValueError(f'{task} is about ' + ('two dates: give the later one as later.' if later is None else
                                                'one date: leave later out.'))
    if out is not None:
        check_format(out)
    rasters = [GeoRaster(path) for path in (scene, *([] if later is None else [later]))]
    raster = rasters[0]
    if later is not None:
        _check_same_place(*rasters)
    # As many pixels as the network sees: of a pair, on a canvas of two by two.
    tile = max(ask.model.image_size) // head.num_images if tile is None else tile
    stride = stride or (tile if task.startswith('IMG_') else max(1, 3 * tile // 4))
    if not 1 <= stride <= tile:
        raise ValueError(f'stride is how many pixels one tile lies from the next, 1 to the {tile} of a tile; got '
                         f'{stride}.')
    looks = [stretch_of(raster.path) for raster in rasters]
    tiles, found = raster.tiles(tile, stride), []
    for start in track(range(0, len(tiles), batch_size), 'tiles', console=Console(stderr=True)):
        batch = tiles[start:start + batch_size]
        images = [tuple(read_raster(raster.path, place, stretch=look) for raster, look in zip(rasters, looks))
                  for place in batch]
        seen = [row for row, parts in enumerate(images) if any(part.any() for part in parts)]  # not all nodata
        entries = [images[row] if later is not None else images[row][0] for row in seen]
        samples = ask(entries, task, batch_size=batch_size, classes=classes, **slots) if seen else []
        found += [(start + row, sample.pred_answer) for row, sample in zip(seen, samples)]
    columns = dict(task=task, **slots)
    if task.startswith('IMG_'):
        frame = _footprints(found, tiles, columns)
    else:
        frame = _shapes(found, tiles, raster.size, columns, task)
    frame = frame.set_geometry(raster.coordinates(frame.geometry.values), crs=raster.crs)
    if out is not None:
        write_features(frame, out, task)
    return frame


def _footprints(found, tiles, columns):
    """A feature for each tile with what was said of it."""
    rows = [dict(columns, text=answer.text, label=', '.join(answer.labels) or None, count=answer.count,
                 score=_score(answer, 0)) for _, answer in found]
    boxes = [shapely.box(*tiles[number]) for number, _ in found]
    return geopandas.GeoDataFrame(rows, columns=[*columns, 'text', 'label', 'count', 'score'], geometry=boxes)


def _shapes(found, tiles, size, columns, task):
    """A feature for each object, or each connected area."""
    shapes, scores, numbers, cut = [], [], [], []
    for number, answer in found:
        own = shapes_of(answer)
        own = shapely.transform(own, lambda points, corner=tiles[number][:2]: points + corner)
        shapes += list(own)
        scores += [_score(answer, row) for row in range(len(own))]
        numbers += [number] * len(own)
        cut += cut_by_edges(own, tiles[number], size).tolist() if len(own) else []
    shapes, scores = np.array(shapes, dtype=object), np.array(scores, np.float64)
    if len(shapes) and task in AREAS:
        shapes, scores = dissolve(shapes, scores)
    elif len(shapes):
        kept = keep_best(shapes, scores, np.array(numbers), np.array(cut))
        kept = kept if task != 'REG_VG' else [max(kept, key=lambda row: scores[row])]  # a description is of one object
        shapes, scores = shapes[kept], scores[kept]
    frame = geopandas.GeoDataFrame(dict(score=scores), geometry=list(shapes))
    for place, (name, value) in enumerate(columns.items()):
        frame.insert(place, name, value)
    return frame


def _score(answer, row):
    return float('nan') if answer.scores is None else float(answer.scores[row])


def _check_same_place(before, after):
    if before.size != after.size or before.crs != after.crs or not before.transform.almost_equals(after.transform):
        raise ValueError(f"A pair of dates shows one place, pixel by pixel, but '{before.path}' and '{after.path}' "
                         'differ in size, coordinate system or transform. Bring one onto the grid of the other, such '
                         'as by gdalwarp -t_srs -te -ts.')
