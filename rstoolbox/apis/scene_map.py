"""A large raster as a map of classes: classified tile by tile, averaged where tiles overlap."""

import logging
from collections import deque
from contextlib import ExitStack
from itertools import islice

import numpy as np
from mmengine.logging import print_log
from rich.console import Console
from rich.progress import track

from rstoolbox.datasets.transforms.readers import open_raster, reading_raster
from rstoolbox.visualization import draw_class_map

from .kept_rows import KeptRows
from .map_file import NODATA, check_map_files, map_writer
from .part_file import PartFile, key_of
from .strips import Strips, usual_stride


def map_classes(inferencer, scene, out, tile, stride=None, probabilities=None, batch_size=64):
    """See :meth:`~rstoolbox.apis.SceneInferencer.map`."""
    if inferencer.model.multi_label:
        raise ValueError('A map has one class a cell, and this model says for each class whether it is there.')
    if tile < 1 or batch_size < 1:
        raise ValueError('tile is the side of a tile in pixels and batch_size how many are classified at once, each 1 '
                         f'or more; got {tile} and {batch_size}.')
    picture = check_map_files(scene, out, probabilities, inferencer.classes)
    stride = usual_stride(tile) if stride is None else stride
    with ExitStack() as stack:
        with reading_raster(scene):
            source = stack.enter_context(open_raster(scene))
        if source.crs is None or source.transform.is_identity:
            print_log(f"'{scene}' does not say where on Earth it lies, so neither does its map. Control points can be "
                      'applied before by gdalwarp.', 'current', logging.WARNING)
        strips = Strips(source, tile, stride, inferencer.sensor, inferencer.model.bands, inferencer.file_bands)
        columns, rows = strips.num_cells
        part = stack.enter_context(PartFile(out, key_of(
            source.files or [str(scene)], inferencer.fingerprint, tile, stride, strips.sensor.name, strips.places)))
        kept = KeptRows(part, (columns, len(inferencer.classes)))
        if kept.count:
            print_log(f'{kept.count} of {rows} rows were made before ({part.path})', 'current')
        with map_writer(out, probabilities, inferencer.classes, source, stride, (columns, rows)) as write:
            counts = _write_rows(inferencer, strips, kept, write, batch_size)
            known = counts[:len(inferencer.classes)]
            if not known.any():
                part.remove()
                raise ValueError(f"'{scene}' has no tile of which half is measured (not NaN, nodata or masked).")
        shares = {name: 100 * float(count / known.sum()) for name, count in zip(inferencer.classes, known)}
        draw_class_map(out, shares, picture)
        part.remove()
    return shares


def _write_rows(inferencer, strips, kept, write, batch_size):
    """Write every row, the kept ones and the missing; returns how many cells hold each number."""
    columns, rows = strips.num_cells
    missing, counts = _missing_rows(inferencer, strips, kept.count, batch_size), np.zeros(NODATA + 1, np.int64)
    for row in track(range(rows), 'rows of the map', console=Console(stderr=True)):
        cells = kept.read(row) if row < kept.count else kept.add(next(missing)[:columns])
        counts += np.bincount(write(row, cells), minlength=len(counts))
    return counts


def _missing_rows(inferencer, strips, count, batch_size):
    """The rows of cells behind the first ``count``; tiles that begin above them reach into them."""
    reach = strips.tile // strips.stride
    first = min(max(0, count - reach + 1), strips.num_tiles[1] - 1)
    rows = average_tiles(_scored(inferencer, strips, first, batch_size), reach, first)
    return islice(rows, count - first, None)


def average_tiles(rows, reach, first=0):
    """Average the scores of all tiles that cover a cell.

    Args:
        rows (Iterable[tuple[np.ndarray, np.ndarray]]): For each row of tiles, from the top: (tiles, classes) scores,
            NaN in a tile that has no say; and (reach, tiles + reach - 1) bool, which cells below it are measured.
        reach (int): How many cells a tile covers in either direction.
        first (int): The number of the first row, where those above it are left out.

    Yields:
        np.ndarray: For each row of cells from the first on (tiles + reach - 1, classes), NaN in one that is not
        measured or where no tile has a say.
    """
    recent = deque(maxlen=reach)
    for number, (scores, measured) in enumerate(rows, first):
        recent.append((number, _spread(scores, reach)))
        yield _mean([total for _, total in recent], measured[0])
    for below in range(1, reach):
        yield _mean([total for row, total in recent if row > number + below - reach], measured[below])


def _scored(inferencer, strips, first, batch_size):
    """For each row of tiles the probabilities of its tiles, NaN in one without a say; and which cells are measured."""
    name = f'a tile of {strips.source.name}'
    for image, mask, measured in strips.rows(first):
        tiles = strips.tiles(image, mask)
        scores = np.full((len(tiles), len(inferencer.classes)), np.nan)
        voting = [place for place, (_, known) in enumerate(tiles) if _has_a_say(known)]
        for start in range(0, len(voting), batch_size):
            places = voting[start:start + batch_size]
            samples, _ = inferencer.classify([
                inferencer.unpacked(pixels, None if known.all() else known, name)
                for pixels, known in (tiles[place] for place in places)])
            scores[places] = [sample.pred_score.cpu().numpy() for sample in samples]
        yield scores, measured


def _has_a_say(mask):
    return mask.mean() >= 0.5 and mask.any((0, 1)).all()


def _spread(scores, reach):
    """Sums over the tiles of a row that cover a cell; the last column counts them."""
    voting = ~np.isnan(scores).any(1, keepdims=True)
    values = np.concatenate([np.where(voting, scores, 0), voting], axis=1)
    total = np.zeros((len(values) + reach - 1, values.shape[1]))
    for shift in range(reach):
        total[shift:shift + len(values)] += values
    return total


def _mean(totals, measured):
    total = sum(totals)
    count = np.where(measured & (total[:, -1] > 0), total[:, -1], np.nan)
    return total[:, :-1] / count[:, None]
