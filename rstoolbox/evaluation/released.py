"""Text and masks as the published evaluator of Falcon scores them, for comparison with published numbers.

Known defects that are kept: a class 'dummy' for unknown answers, every full stop deleted ('2.5' is '25'), captions that
are the references of their own references, records without a prediction left out of mask scores.
"""

import numpy as np
from rouge import Rouge
from sklearn.metrics import accuracy_score, f1_score, precision_recall_fscore_support
from sklearn.preprocessing import MultiLabelBinarizer

from .caption import coco_scores, texts_of
from .masks import draw, iou_and_dice, pixel_counts
from .record import NotScorable, percentage

DUMMY = 'dummy'


def score_classification(records):
    """Score class names: ``accuracy``, ``precision``, ``recall``, ``f1`` in percent; details ``per_class``.

    Single label: macro over the true classes and, if an answer is unknown, 'dummy'. Several, where any ground truth has
    a comma: accuracy is the mean Jaccard index, the others are means over samples.
    """
    truths, answers = _texts(records)
    if any(',' in truth for truth in truths):
        return _multi_label(truths, answers), {}
    names = list(dict.fromkeys(truths))
    answers = [answer if answer in names else DUMMY for answer in answers]
    names += [DUMMY] * (DUMMY in answers and DUMMY not in names)
    values = precision_recall_fscore_support(truths, answers, labels=names, zero_division=0)[:3]
    scalars = dict(zip(('precision', 'recall', 'f1'), (100 * float(value.mean()) for value in values)))
    per_class = {name: dict(precision=100 * float(precision), recall=100 * float(recall), f1=100 * float(f1))
                 for name, precision, recall, f1 in zip(names, *values)}
    return dict(accuracy=100 * float(accuracy_score(truths, answers)), **scalars), dict(per_class=per_class)


def score_vqa(records):
    """Score answers and counts: ``accuracy`` by equal text, ``f1`` weighted by support, in percent."""
    truths, answers = _texts(records)
    weighted = f1_score(truths, answers, labels=sorted(set(truths)), average='weighted', zero_division=0)
    return dict(accuracy=100 * float(accuracy_score(truths, answers)), f1=100 * float(weighted)), {}


def score_captions(records):
    """Score captions, a record for each reference, split at blanks, with caption and reference exchanged; in percent.

    ``ROUGE-1/r``, ``/p`` and ``/f`` to ``ROUGE-L/f`` are those of the package ``rouge``, not exchanged; without a word
    in an answer, at which it stops, they are None. METEOR of the published evaluator (NLTK) is not reproduced.
    """
    pairs = [(text.lower().strip(), record.prediction.text.lower().strip())
             for record in records for text in texts_of(record)]
    truths, answers = ({number: [text] for number, text in enumerate(texts)} for texts in zip(*pairs))
    scalars = {name: 100 * value for name, value in coco_scores(answers, truths).items()}
    return {**scalars, **_rouge(*zip(*pairs))}, {}


def _rouge(truths, answers):
    try:
        found = Rouge().get_scores(answers, truths, avg=True)
    except ValueError:
        found = {}
    return {f'{name.upper()}/{kind}': 100 * found[name][kind] if found else None
            for name in ('rouge-1', 'rouge-2', 'rouge-l') for kind in 'rpf'}


def score_masks(records):
    """Score one ring for each record on the size of a single image: ``mIoU`` and ``mDice`` in percent.

    Records without ground truth or without a prediction are left out. Polygons of a change lie on the canvas of both
    images, of which the mask covers the first quadrant only; two masks that vanish so count as equal.

    Raises:
        NotScorable: If an answer has more than one ring or lies on no canvas, with which the published evaluator stops.
    """
    scores = []
    for record in records:
        sides = record.prediction.polygons, record.truth.polygons
        if any(sum(map(len, side)) > 1 for side in sides):
            raise NotScorable(f'{record} has an answer of more than one ring, at which the published evaluator stops. '
                              "Score it with variant='sound'.")
        if not all(sides):
            continue
        if record.image_size is None:
            raise ValueError(f'{record}: masks are drawn on the image, and the record has no image_size '
                             '(width, height).')
        if record.task == 'PIX_CHG' and not record.on_canvas:
            raise NotScorable(f'{record} has its polygons on a single image; the published evaluator reads them on the '
                              "canvas of both. Score it with variant='sound', or the published inference file.")
        size = tuple(side // 2 for side in record.image_size) if record.on_canvas else record.image_size
        scores.append(iou_and_dice(*pixel_counts(*(draw(side, size) for side in sides))))
    iou, dice = np.mean(scores, axis=0) if scores else (None, None)
    return dict(mIoU=None if iou is None else 100 * float(iou), mDice=None if dice is None else 100 * float(dice)), \
        dict(num_scored=len(scores))


def _texts(records):
    truths, answers = [record.truth.text for record in records], [record.prediction.text for record in records]
    truths, answers = ([text.lower().replace('.', '').strip() for text in side] for side in (truths, answers))
    return truths, [text.replace('<', '') for text in answers]


def _multi_label(truths, answers):
    truths, answers = ([text.split(', ') for text in side] for side in (truths, answers))
    jaccard = percentage(len(set(truth) & set(answer)) / len(set(truth) | set(answer))
                         for truth, answer in zip(truths, answers))
    binarizer = MultiLabelBinarizer().fit(truths + answers)
    values = precision_recall_fscore_support(binarizer.transform(truths), binarizer.transform(answers),
                                             average='samples', zero_division=0)[:3]
    return dict(accuracy=jaccard, **dict(zip(('precision', 'recall', 'f1'), (100 * float(value) for value in values))))
