"""Average precision of horizontal boxes as COCO defines it."""

from collections import Counter

import numpy as np
from faster_coco_eval import COCO, COCOeval_faster

from rstoolbox.heads.grammar import NUM_BINS

from .boxes import in_fixed_order, ranking, score_objects

AREAS = ('all', 'small', 'medium', 'large')


def score_hbb(records):
    """Score horizontal boxes by COCO's rules, where images are those of the records and classes those of the prompts.

    A prediction whose best ground truth is taken may hit the next, and precision is read at 101 recalls; see Lin et
    al., Microsoft COCO, 2014. No prediction is left out, however many an image has.

    Args:
        records (Sequence[ScoredRecord]): Records of one task.

    Returns:
        tuple[dict, dict]: Scalars in percent: ``AP``, ``AP50``, ``AP75`` by COCO, the others and the details as in
        :func:`~rstoolbox.evaluation.boxes.score_objects`; ``per_class`` has the three for each class, ``areas`` the AP
        of small, medium and large objects, ``voc`` the three as in Pascal VOC. None without ground truth.
    """
    scalars, details = score_objects(records, 'bboxes')
    details['voc'] = {name: scalars.pop(name) for name in ('AP', 'AP50', 'AP75')}
    records = in_fixed_order(records, 'bboxes')
    names = sorted(details['per_class'])
    precision = _precision(records, names)  # thresholds, recalls, classes, areas
    values = dict(zip(('AP', 'AP50', 'AP75'), (precision, precision[:1], precision[5:6])))
    scalars = {name: _mean(value[..., 0]) for name, value in values.items()} | scalars
    for index, name in enumerate(names):
        details['per_class'][name].update({key: _mean(value[:, :, index, 0]) for key, value in values.items()})
    details['areas'] = {area: _mean(precision[..., index]) for index, area in enumerate(AREAS) if index}
    return scalars, details


def _precision(records, names):
    scores, _ = ranking(records, 'bboxes')
    truths, predictions, asked, images = [], [], Counter(), {}
    for record, confidence in zip(records, scores):
        category = record.category or 'object'
        # Asked twice for one class, in other words, an image counts as two: one answer cannot find what is another's.
        asked[record.image_id, category] += 1
        image = record.image_id, asked[record.image_id, category]
        place = dict(image_id=images.setdefault(image, len(images) + 1), category_id=1 + names.index(category))
        truths += [place | _box(box, record.image_size) | dict(id=number, iscrowd=0)
                   for number, box in enumerate(record.truth.bboxes, len(truths) + 1)]
        predictions += [place | _box(box, record.image_size) | dict(id=number, score=float(score))
                        for number, (box, score) in enumerate(zip(record.prediction.bboxes, confidence),
                                                              len(predictions) + 1)]
    if not truths:
        return np.full((10, 101, len(names), len(AREAS)), -1.)
    frame = dict(images=[dict(id=number) for number in images.values()],
                 categories=[dict(id=number, name=name) for number, name in enumerate(names, 1)])
    evaluation = COCOeval_faster(_coco(frame, truths), _coco(frame, predictions), 'bbox',
                                 print_function=lambda *text: None)
    evaluation.params.maxDets = [max(len(predictions), 1)]
    evaluation.evaluate()
    evaluation.accumulate()
    return evaluation.eval['precision'][..., -1]


def _coco(frame, annotations):
    coco = COCO()
    coco.dataset = frame | dict(annotations=annotations)
    coco.createIndex()
    return coco


def _box(box, size):
    """Its area in pixels, and itself in bins: of whole ones an overlap of just a threshold is that at any size."""
    box = np.asarray(box, np.float64)
    width, height = np.maximum(box[2:] - box[:2], 0)
    x, y, right, bottom = np.round(box / np.tile(size or (NUM_BINS, NUM_BINS), 2) * NUM_BINS, 6)
    return dict(bbox=[float(x), float(y), float(max(right - x, 0)), float(max(bottom - y, 0))],
                area=float(width * height))


def _mean(precision):
    known = precision[precision > -1]
    return 100 * float(known.mean()) if known.size else None
