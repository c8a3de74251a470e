"""Visual grounding: one box for one description."""

import numpy as np

from .boxes import ROUNDING, box_iou, reading_rates
from .record import percentage

THRESHOLDS = (0.25, 0.5, 0.6, 0.7, 0.8, 0.9)


def score_grounding(records):
    """Score the first box of each answer against the first of the ground truth; no box is an overlap of 0.

    Where the ground truth has no box, for the object is not there, no box is right (1) and any other answer wrong (0),
    one that cannot be read too.

    Args:
        records (Sequence[ScoredRecord]): Records of one task.

    Returns:
        tuple[dict, dict]: Scalars in percent: ``Acc@0.5``; ``mIoU``, the mean overlap; ``cIoU``, summed intersections
        (in pixels) by summed unions; ``parse_failure_rate``, ``false_alarm_rate``. Details: ``Acc`` by threshold.
    """
    pairs = [(record.prediction.bboxes[:1], record.truth.bboxes[:1]) for record in records]
    overlaps = np.array([box_iou(*pair)[0, 0] if all(map(len, pair))
                         else not any(map(len, pair)) and not record.prediction.failures
                         for record, pair in zip(records, pairs)], np.float64)
    intersections, unions = map(sum, zip(*(_areas(*pair) for pair in pairs)))
    accuracy = {threshold: percentage(overlaps >= threshold - ROUNDING) for threshold in THRESHOLDS}
    scalars = {'Acc@0.5': accuracy[0.5], 'mIoU': 100 * float(overlaps.mean()),
               'cIoU': 100 * float(intersections / unions) if unions else None,
               **reading_rates(records, 'bboxes')}
    return scalars, dict(ranked_by='output order', Acc=accuracy, num_predictions=sum(len(pair[0]) for pair in pairs))


def _areas(prediction, truth):
    area, true_area = ((boxes[:, 2:] - boxes[:, :2]).clip(0).prod(-1).sum() for boxes in (prediction, truth))
    if not len(prediction) or not len(truth):
        return 0., area + true_area
    sides = np.minimum(prediction[0, 2:], truth[0, 2:]) - np.maximum(prediction[0, :2], truth[0, :2])
    intersection = sides.clip(0).prod()
    return intersection, area + true_area - intersection
