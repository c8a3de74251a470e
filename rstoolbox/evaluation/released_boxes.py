"""Boxes and quads as the published evaluator of Falcon scores them, for comparison with published numbers.

Known defects that are kept: predictions are ranked by their overlap with the ground truth, classes are one, coordinates
are bins, 0.1 is added to each union, and a box that cannot be read in grounding overlaps fully.
"""

import re

import numpy as np

from rstoolbox.heads.grammar import quantize

from .boxes import average_precision, match, quad_iou
from .record import NotScorable

THRESHOLDS = tuple(round(0.1 * step, 1) for step in range(1, 10))


def score_hbb(records):
    """Score horizontal boxes: ``mAP@0.5`` in percent, ranked by the best overlap with the ground truth.

    Raises:
        NotScorable: Without any ground truth, for the published evaluator then divides by zero.
    """
    ranks, hits, total = [], [], 0
    for record in records:
        predictions, truths = (_bins(record, answer, 'bboxes', r'<\d+>' * 4) for answer in (record.prediction,
                                                                                          record.truth))
        total += len(truths)
        if not len(predictions):
            continue
        best = released_iou(predictions, truths).max(1, initial=0)
        ranks.append(best)
        hits.append(match(_pixel_iou(predictions, truths), np.argsort(-best, kind='stable'), 0.5))
    if not total:
        raise NotScorable('The published evaluator stops where no record has a ground truth.')
    order = np.argsort(-np.concatenate(ranks), kind='stable') if ranks else []
    return {'mAP@0.5': 100 * average_precision(np.concatenate(hits)[order] if ranks else [], total)}, {}


def score_by_thresholds(records):
    """Score quads, or boxes of grounding, at overlaps of 0.1 to 0.9, in percent.

    Each prediction goes to its best ground truth, of which only the best prediction hits. Scalars are ``mAP@0.5``,
    ``Precision@0.5``, ``Recall@0.5``, ``Accuracy@0.5`` and ``FAR@0.5``; details ``thresholds`` has all.

    Raises:
        NotScorable: Without any ground truth, at which the published evaluator stops.
    """
    key, tag = ('quads', 'quad') if records[0].task == 'REG_DET_OBB' else ('bboxes', 'box')
    overlaps = []
    for record in records:
        predictions, truths = (_bins(record, answer, key, f'<{tag}>(.*?)</{tag}>') for answer in (record.prediction,
                                                                                               record.truth))
        overlaps.append(_quad_iou(predictions, truths) if key == 'quads' else released_iou(predictions, truths))
    total = sum(overlap.shape[1] for overlap in overlaps)
    if not total:
        raise NotScorable('The published evaluator stops where no record has a ground truth.')
    best = np.concatenate([overlap.max(1, initial=0) for overlap in overlaps])
    order = np.argsort(-best, kind='stable')
    thresholds = {}
    for threshold in THRESHOLDS:
        hits = np.concatenate([match(overlap, np.argsort(-overlap.max(1, initial=0), kind='stable'), threshold)
                               for overlap in overlaps])
        found, union = int(hits.sum()), len(hits) + total - int(hits.sum())
        thresholds[threshold] = dict(
            mAP=100 * average_precision(hits[order], total), Precision=100 * found / len(hits) if len(hits) else 0.,
            Recall=100 * found / total, Accuracy=100 * found / union, FAR=100 * (len(hits) - found) / union)
    return {f'{name}@0.5': value for name, value in thresholds[0.5].items()}, dict(thresholds=thresholds)


def released_iou(predictions, truths):
    """Return (N, M) overlaps with 0.1 added to the union; 1 where a box has not four numbers."""
    result = np.ones((len(predictions), len(truths)))
    for row, first in enumerate(predictions):
        for column, second in enumerate(truths):
            if len(first) < 4 or len(second) < 4:
                continue
            intersection = _area(max(first[0], second[0]), max(first[1], second[1]),
                                 min(first[2], second[2]), min(first[3], second[3]))
            union = _area(*first[:4]) + _area(*second[:4]) - intersection + 0.1
            result[row, column] = intersection / union
    return result


def _area(left, top, right, bottom):
    return max(right - left, 0) * max(bottom - top, 0)


def _quad_iou(predictions, truths):
    sides = [[quad if len(quad) == 8 else [0] * 8 for quad in side] for side in (predictions, truths)]
    return quad_iou(*(np.reshape(side, (-1, 8)) for side in sides))


def _pixel_iou(predictions, truths):
    """Overlaps where both edges belong to a box: a width is right - left + 1."""
    first, second = np.reshape(predictions, (-1, 1, 4)), np.reshape(truths, (1, -1, 4))
    sides = np.minimum(first[..., 2:], second[..., 2:]) - np.maximum(first[..., :2], second[..., :2]) + 1
    intersection = sides.clip(0).prod(-1)
    areas = [(boxes[..., 2:] - boxes[..., :2] + 1).prod(-1) for boxes in (first, second)]
    return intersection / (areas[0] + areas[1] - intersection)


def _bins(record, answer, key, pattern):
    """Coordinates in bins: of the text if it holds any, for the published evaluator reads it, else of the pixels."""
    if re.search(r'<\d+>', answer.text):
        return [list(map(float, re.findall(r'\d+', found.group(0))))
                for found in re.finditer(pattern, answer.text.replace(' ', ''))]
    objects = getattr(answer, key)
    if not len(objects):
        return []
    if record.image_size is None:
        raise ValueError(f'{record}: the published evaluator reads bins, and without image_size (width, height) pixels '
                         'have none.')
    return quantize(objects, record.image_size).tolist()
