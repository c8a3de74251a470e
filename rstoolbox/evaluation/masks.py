"""Segmentation and change: polygons drawn into masks and compared."""

import numpy as np
from pycocotools import mask as rle

from .boxes import reading_rates

SCORES = ('mIoU', 'mDice', 'mIoU_present', 'mDice_present', 'cIoU', 'cDice')


def score_masks(records):
    """Score the union of all polygons of a record, each record a mask.

    ``mIoU`` and ``mDice`` are means over records, where empty against empty is right (1), unless the answer could not
    be read, and empty against something wrong (0); ``..._present`` over the records with an object in the ground truth;
    ``cIoU`` and ``cDice`` of all pixels summed. Change is scored on the single frame: a pixel is changed if it is in
    either image. Records whose polygons lie on the canvas of both images get the same numbers there too, as
    ``canvas_...``.

    Args:
        records (Sequence[ScoredRecord]): Records of one task, with ``image_size``.

    Returns:
        tuple[dict, dict]: Scalars in percent, also ``parse_failure_rate`` and ``false_alarm_rate`` (of the records
        without an object, those with a prediction). Details: ``per_class`` with the scores and ``support`` (records).

    Raises:
        ValueError: If a record has no size, or one that cannot be a canvas.
    """
    masks = [[draw(answer.polygons, _size(record)) for answer in (record.prediction, record.truth)]
             for record in records]
    counts = np.array([pixel_counts(*(_fold(mask) if record.on_canvas else mask for mask in pair))
                       for record, pair in zip(records, masks)])
    unread = np.array([record.prediction.failures > 0 for record in records])
    scalars = _scores(counts, unread)
    if all(record.on_canvas for record in records):
        on_canvas = _scores(np.array([pixel_counts(*pair) for pair in masks]), unread)
        scalars |= {f'canvas_{name}': value for name, value in on_canvas.items()}
    scalars |= reading_rates(records, 'polygons')
    names = np.array([record.category or 'object' for record in records])
    classes = {str(name): names == name for name in np.unique(names)}
    per_class = {name: _scores(counts[own], unread[own]) | dict(support=int(own.sum()))
                 for name, own in classes.items()}
    return scalars, dict(per_class=per_class)


def draw(polygons, size):
    """Draw the rings of all instances into one mask; rings of less than three corners are left out.

    Args:
        polygons (list[list[np.ndarray]]): Instances, rings, (K, 2) corners in pixels.
        size (tuple[int, int]): (width, height) of the mask.

    Returns:
        dict: COCO's run-length code of the union.
    """
    width, height = size
    rings = [np.asarray(ring, np.float64).ravel().tolist() for instance in polygons for ring in instance
             if len(ring) >= 3]
    return rle.merge(rle.frPyObjects(rings, height, width) if rings else
                     [rle.encode(np.zeros((height, width), np.uint8, order='F'))])


def _fold(code):
    mask = rle.decode(code)
    height, width = mask.shape[0] // 2, mask.shape[1] // 2
    return rle.encode(np.asfortranarray(mask[:height, :width] | mask[height:, width:]))


def pixel_counts(prediction, truth):
    """Return the pixels of the intersection, the prediction and the ground truth, all run-length codes."""
    intersection = rle.area(rle.merge([prediction, truth], intersect=True))
    return int(intersection), int(rle.area(prediction)), int(rle.area(truth))


def iou_and_dice(intersection, prediction, truth):
    """Return IoU and Dice, 0 to 1, of counted pixels; 1 where neither has any. Takes numbers or arrays."""
    total = np.asarray(prediction, np.float64) + truth
    empty = total == 0
    union = np.where(empty, 1, total - intersection)
    return np.where(empty, 1., intersection / union), np.where(empty, 1., 2 * intersection / np.where(empty, 1, total))


def _scores(counts, unread):
    seen = ~(unread & (counts[:, 1:].sum(1) == 0))  # what cannot be read is no answer that nothing is there
    iou, dice = (values * seen for values in iou_and_dice(*counts.T))
    present = counts[:, 2] > 0
    pooled = [value * (seen.all() or counts.sum() > 0) for value in iou_and_dice(*counts.sum(0))]
    values = (iou.mean(), dice.mean(), iou[present].mean() if present.any() else None,
              dice[present].mean() if present.any() else None, *pooled)
    return {name: None if value is None else 100 * float(value) for name, value in zip(SCORES, values)}


def _size(record):
    if record.image_size is None:
        raise ValueError(f'{record}: masks are drawn on the image, and the record has no image_size (width, height).')
    if record.on_canvas and any(side % 2 for side in record.image_size):
        raise ValueError(f'{record}: the canvas of two images has even sides, got {record.image_size}.')
    return record.image_size
