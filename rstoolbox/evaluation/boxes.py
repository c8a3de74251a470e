"""Detection of boxes and quads: overlap, matching, average precision."""

import numpy as np
import shapely

from .record import percentage

THRESHOLDS = tuple(round(0.05 * step, 2) for step in (2, 4, 6, 8, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19))
COCO_THRESHOLDS = THRESHOLDS[4:]
ROUNDING = 1e-9  # an overlap of just a threshold, computed in pixels, may come out so much below it


def box_iou(first, second):
    """Return the (N, M) overlap (intersection over union) of boxes (N, 4) and (M, 4), x1 y1 x2 y2; 0 without area."""
    first, second = np.asarray(first, np.float64).reshape(-1, 4), np.asarray(second, np.float64).reshape(-1, 4)
    sides = (np.minimum(first[:, None, 2:], second[None, :, 2:])
             - np.maximum(first[:, None, :2], second[None, :, :2])).clip(0)
    intersection = sides.prod(-1)
    areas = [(boxes[:, 2:] - boxes[:, :2]).clip(0).prod(-1) for boxes in (first, second)]
    union = areas[0][:, None] + areas[1][None] - intersection
    return np.divide(intersection, union, out=np.zeros_like(union), where=union > 0)


def quad_iou(first, second):
    """Return the (N, M) overlap of polygons with four corners, (N, 8) and (M, 8); 0 where one crosses itself.

    One that is too narrow for bins of coordinates has no area, and overlaps with the very same corners alone.
    By shapely, for corners need not form a rectangle, and mmcv's compiled ``box_iou_quadri`` (2.3.6) errs where edges
    nearly coincide. For rectangles the numbers are those of its ``box_iou_rotated``.
    """
    corners = [np.asarray(quads, np.float64).reshape(-1, 4, 2) for quads in (first, second)]
    sides = [shapely.polygons(quads) for quads in corners]
    sides = [np.where(shapely.is_valid(polygons), polygons, shapely.Polygon()) for polygons in sides]
    areas = [shapely.area(polygons) for polygons in sides]
    rows, columns = np.nonzero(shapely.intersects(sides[0][:, None], sides[1][None]))
    result = np.zeros((len(sides[0]), len(sides[1])))
    intersection = shapely.area(shapely.intersection(sides[0][rows], sides[1][columns]))
    union = areas[0][rows] + areas[1][columns] - intersection
    result[rows, columns] = np.divide(intersection, union, out=np.zeros_like(union), where=union > 0)
    flat = np.linalg.matrix_rank(corners[0] - corners[0][:, :1]) < 2
    points = [np.sort(quads[..., 0] + 1j * quads[..., 1]) for quads in corners]
    result[flat[:, None] & (points[0][:, None] == points[1][None]).all(2)] = 1
    return result


def average_precision(hits, num_truths):
    """Return the area under the envelope of the precision-recall curve, at all points (VOC 2010 and later), 0 to 1.

    Args:
        hits (array-like): (N,) whether each prediction is a hit, best ranked first.
        num_truths (int): Objects there are; None is returned without any.
    """
    if not num_truths:
        return None
    hits = np.asarray(hits, bool)
    found = np.cumsum(hits)
    precision = found / np.arange(1, len(hits) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(envelope[hits].sum() / num_truths)


def match(overlaps, order, threshold):
    """Return which predictions hit: each looks at its best ground truth only, which can be hit once (VOC).

    Args:
        overlaps (np.ndarray): (N, M) of predictions and ground truths of one record.
        order (Sequence[int]): Predictions, best ranked first.
        threshold (float): Least overlap of a hit.

    Returns:
        np.ndarray: (N,) bool.
    """
    hits = np.zeros(len(overlaps), bool)
    taken = set()
    if overlaps.size:
        best, reached = overlaps.argmax(1), overlaps.max(1) >= threshold - ROUNDING
        for index in order:
            if reached[index] and best[index] not in taken:
                taken.add(best[index])
                hits[index] = True
    return hits


def in_fixed_order(records, key):
    """Sort records by image, class and content, so that equal scores rank the same in any order of the records."""
    return sorted(records, key=lambda record: (
        str(record.image_id), str(record.category), record.prompt,
        *(np.asarray(getattr(answer, key)).tobytes() for answer in (record.truth, record.prediction))))


def ranking(records, key):
    """Return the rank score of every prediction, one array for each record, and what it is.

    The model's own confidence if every record with predictions has it, else the order of output: the first of
    every record before all second ones.

    Returns:
        tuple[list[np.ndarray], str]: Scores, higher is better; 'confidence' or 'output order'.
    """
    answers = [record.prediction for record in records]
    ranked = [answer.scores is not None for answer in answers if len(getattr(answer, key))]
    if ranked and all(ranked):
        return [np.asarray(answer.scores if len(getattr(answer, key)) else (), np.float64) for answer in answers], \
            'confidence'
    return [1 / (1 + np.arange(len(getattr(answer, key)))) for answer in answers], 'output order'


def score_objects(records, key):
    """Score boxes or quads as in Pascal VOC, by class and pooled.

    Args:
        records (Sequence[ScoredRecord]): Records of one task, each an image and a class.
        key (str): 'bboxes' or 'quads' of their answers.

    Returns:
        tuple[dict, dict]: Scalars in percent: ``AP50``, ``AP75`` and ``AP`` (mean of 0.50 to 0.95), means over classes
        with ground truth; ``pooled_AP50`` over all predictions; ``precision50``, ``recall50``, ``f1_50``;
        ``parse_failure_rate`` and ``false_alarm_rate`` (of the records without an object, those with a prediction).
        Details: ``ranked_by``, ``thresholds``, ``per_class``, ``num_truths``, ``num_predictions``.
    """
    records = in_fixed_order(records, key)
    scores, ranked_by = ranking(records, key)
    overlap = dict(bboxes=box_iou, quads=quad_iou)[key]
    overlaps = [overlap(getattr(record.prediction, key), getattr(record.truth, key)) for record in records]
    orders = [np.argsort(-score, kind='stable') for score in scores]
    totals = np.array([len(getattr(record.truth, key)) for record in records])
    names = np.array([record.category or 'object' for record in records])
    rank = np.argsort(-np.concatenate(scores), kind='stable')
    owner = np.repeat(names, [len(score) for score in scores])[rank]
    support = {str(name): int(totals[names == name].sum()) for name in np.unique(names)}
    curves, thresholds = {}, {}
    for threshold in THRESHOLDS:
        hits = np.concatenate([match(*pair, threshold) for pair in zip(overlaps, orders)])[rank]
        curves[threshold] = {name: average_precision(hits[owner == name], total) for name, total in support.items()}
        thresholds[threshold] = dict(AP=_mean(curves[threshold].values()),
                                     pooled_AP=_mean([average_precision(hits, totals.sum())]),
                                     **precision_recall(int(hits.sum()), len(hits), int(totals.sum())))
    per_class = {name: dict(AP=_mean(curves[threshold][name] for threshold in COCO_THRESHOLDS),
                            AP50=_mean([curves[0.5][name]]), AP75=_mean([curves[0.75][name]]), support=total)
                 for name, total in support.items()}
    half = thresholds[0.5]
    scalars = dict(AP=_mean((values['AP'] for values in per_class.values()), scale=1), AP50=half['AP'],
                   AP75=thresholds[0.75]['AP'], pooled_AP50=half['pooled_AP'], precision50=half['precision'],
                   recall50=half['recall'], f1_50=half['f1'], **reading_rates(records, key))
    return scalars, dict(ranked_by=ranked_by, thresholds=thresholds, per_class=per_class,
                         num_truths=int(totals.sum()), num_predictions=len(rank))


def _mean(values, scale=100):
    known = [value for value in values if value is not None]
    return scale * float(np.mean(known)) if known else None


def score_obb(records):
    """Score oriented boxes, see :func:`score_objects`."""
    return score_objects(records, 'quads')


def reading_rates(records, key):
    """Return ``parse_failure_rate`` and ``false_alarm_rate`` of boxes, quads or polygons, in percent."""
    return dict(parse_failure_rate=percentage(record.prediction.failures > 0 for record in records),
                false_alarm_rate=percentage(len(getattr(record.prediction, key)) > 0 for record in records
                                            if not len(getattr(record.truth, key))))


def precision_recall(hits, num_predictions, num_truths):
    """Return precision, recall and F1 in percent; None where there is nothing to divide by."""
    precision = 100 * hits / num_predictions if num_predictions else 0. if num_truths else None
    recall = 100 * hits / num_truths if num_truths else None
    f1 = None if recall is None else 200 * hits / (num_predictions + num_truths)
    return dict(precision=precision, recall=recall, f1=f1)
