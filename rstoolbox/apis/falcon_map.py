"""Answers about a large georeferenced scene: asked tile by tile, merged, and put where they belong on a map."""

import logging
from contextlib import nullcontext

import numpy as np
from mmengine.logging import print_log
from rich.console import Console
from rich.progress import track

from rstoolbox.datasets.falcon.rasters import read_tile, stretch_of
from rstoolbox.heads import head_for

from .answered_tiles import AnsweredTiles
from .geo import GeoRaster, check_features_file, geopandas, shapely, write_features
from .merging import cut_by_edges, dissolve, keep_best, shapes_of
from .part_file import PartFile, key_of

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
    # As many pixels as the network sees: of a pair, on a canvas of two by two.
    tile = max(ask.model.image_size) // head.num_images if tile is None else tile
    stride = (tile if task.startswith('IMG_') else max(1, 3 * tile // 4)) if stride is None else stride
    if not 1 <= stride <= tile or batch_size < 1:
        raise ValueError('tile is the side of a tile in pixels, stride the pixels from one to the next, at most as '
                         f'many, and batch_size how many are answered at once, each 1 or more; got {tile}, {stride} '
                         f'and {batch_size}.')
    rasters = [GeoRaster(path) for path in (scene, *([] if later is None else [later]))]
    raster = rasters[0]
    if later is not None:
        raster.check_same_grid(rasters[1])
    if out is not None:
        check_features_file(out, task, rasters)
    head.prompt(**slots)  # refuses what it does not know, before anything is read
    looks = [stretch_of(raster.path) for raster in rasters]
    tiles = raster.tiles(tile, stride)
    files = [name for raster in rasters for name in raster.files]
    key = key_of(files, ask.fingerprint, task, tiles, classes, slots) if out is not None else None
    with nullcontext() if out is None else PartFile(out, key) as part:
        known = AnsweredTiles(part, head)
        if len(known):
            print_log(f'{len(known)} of {len(tiles)} tiles were answered before ({part.path})', 'current')
        found = _ask(ask, rasters, looks, tiles, task, known, batch_size, classes, slots)
        if not found:
            if part is not None:
                part.remove()
            raise ValueError(f"'{scene}' holds nothing measured: all of its pixels are nodata or masked.")
        frame = _frame(found, tiles, raster, dict(task=task, **slots), task)
        if part is not None:
            write_features(frame, out, task)
            part.remove()
    return frame


def _frame(found, tiles, raster, columns, task):
    """The features, in the raster's coordinates."""
    unread = sum(answer.failures for answer in found.values())
    if unread:
        print_log(f'{unread} parts of the answers could not be read and are not on the map.', 'current',
                  logging.WARNING)
    if task.startswith('IMG_'):
        frame = _footprints(found, tiles, columns)
    else:
        frame = _shapes(found, tiles, raster.size, columns, task)
    return frame.set_geometry(raster.coordinates(frame.geometry.values), crs=raster.crs)


def _ask(ask, rasters, looks, tiles, task, known, batch_size, classes, slots):
    """The answer about each tile that is measured, by its number."""
    found, waiting = {}, {}
    for number, place in enumerate(track(tiles, 'tiles', console=Console(stderr=True))):
        if number in known:
            found[number] = known.get(number, (place[2] - place[0], place[3] - place[1]))
        else:
            images = tuple(read_tile(raster.path, place, look) for raster, look in zip(rasters, looks))
            if all(image is not None for image in images):
                waiting[number] = images if len(images) > 1 else images[0]
        if waiting and (len(waiting) == batch_size or number == len(tiles) - 1):
            samples = ask(list(waiting.values()), task, batch_size=batch_size, classes=classes, **slots)
            for answered, sample in zip(waiting, samples, strict=True):
                found[answered] = sample.pred_answer
                known.add(answered, sample.pred_answer)
            waiting = {}
    return dict(sorted(found.items()))


def _footprints(found, tiles, columns):
    """A feature for each tile with what was said of it."""
    rows = [dict(columns, text=answer.text, label=', '.join(answer.labels) or None, count=answer.count,
                 score=_score(answer, 0)) for answer in found.values()]
    boxes = [shapely.box(*tiles[number]) for number in found]
    return geopandas.GeoDataFrame(rows, columns=[*columns, 'text', 'label', 'count', 'score'], geometry=boxes)


def _shapes(found, tiles, size, columns, task):
    """A feature for each object, or each connected area; what has no area is left out."""
    shapes, scores, numbers, cut = [], [], [], []
    for number, answer in found.items():
        own = shapely.transform(shapes_of(answer), lambda points, corner=tiles[number][:2]: points + corner)
        rows = [row for row, area in enumerate(shapely.area(own)) if area > 0]
        shapes += list(own[rows])
        scores += [_score(answer, row) for row in rows]
        numbers += [number] * len(rows)
        cut += cut_by_edges(own[rows], tiles[number], size).tolist()
    shapes, scores = np.array(shapes, dtype=object), np.array(scores, np.float64)
    if len(shapes) and task in AREAS:
        shapes, scores = dissolve(shapes, scores)
    elif len(shapes):
        kept = keep_best(shapes, scores, np.array(numbers), np.array(cut))
        kept = kept if task != 'REG_VG' else [max(kept, key=lambda row: scores[row])]  # a description is of one object
        shapes, scores = shapes[kept], scores[kept]
    return geopandas.GeoDataFrame(dict({name: [value] * len(shapes) for name, value in columns.items()}, score=scores),
                                  geometry=list(shapes))


def _score(answer, row):
    return float('nan') if answer.scores is None else float(answer.scores[row])
