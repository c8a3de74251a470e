"""Classification, visual question answering and counting, from the text of an answer. All in percent."""

import numpy as np
from sklearn.metrics import accuracy_score, f1_score, jaccard_score, precision_recall_fscore_support
from sklearn.preprocessing import MultiLabelBinarizer

from rstoolbox.heads import head_for
from rstoolbox.heads.base import drop_full_stop, says_absent

from .record import percentage


def clean_text(text):
    """Return text as it is compared: no special tokens, single blanks, lower case, without one final full stop."""
    return drop_full_stop(text).lower()


def clean_labels(answer):
    """Return the class names of an answer, cleaned, each once, in its order; from its text where it lists no labels."""
    labels = answer.labels or clean_text(answer.text).split(',')
    return [label for label in dict.fromkeys(map(clean_text, labels)) if label]


def score_classification(records):
    """Score class names: over the true classes, so that an unknown answer misses its class and adds none.

    Single label: ``accuracy``, macro ``precision``, ``recall``, ``f1`` and ``weighted_f1`` (by support). Several
    labels, where any ground truth has more than one: ``accuracy`` counts sets that are wholly right, ``jaccard`` and
    ``samples_f1`` are means over samples. An undefined ratio counts as 0. ``false_alarm_rate``: of all answers, those
    with a class that no ground truth has.

    Args:
        records (Sequence[ScoredRecord]): Records of one task.

    Returns:
        tuple[dict, dict]: Scalars in percent, and details: ``mode`` and ``per_class`` with ``precision``, ``recall``,
        ``f1`` in percent and ``support``.
    """
    truths = [clean_labels(record.truth) for record in records]
    none = [not record.prediction.labels and says_absent(record.prediction.text) for record in records]
    answers = [[] if absent else clean_labels(record.prediction) for record, absent in zip(records, none)]
    scalars, per_class, mode = (_multi if any(len(truth) > 1 for truth in truths) else _single)(truths, answers)
    scalars = {name: 100 * float(value) for name, value in scalars.items()}
    known = set().union(*truths)
    scalars['parse_failure_rate'] = percentage(not answer and not absent or record.prediction.failures > 0
                                               for record, answer, absent in zip(records, answers, none))
    scalars['false_alarm_rate'] = percentage(bool(set(answer) - known) for answer in answers)
    return scalars, dict(mode=mode, per_class=per_class)


def score_vqa(records):
    """Score answers to questions: ``accuracy`` by equal text, F1 weighted by the support of each true answer.

    An answer that is one of the record's ``references`` counts as the true one.
    """
    truths, answers = ([clean_text(answer.text) for answer in side] for side in _sides(records))
    right = [{clean_text(text) for text in record.references} for record in records]
    answers = [truth if answer in texts else answer for truth, answer, texts in zip(truths, answers, right)]
    return _exact(truths, answers) | dict(
        parse_failure_rate=percentage(not answer or record.prediction.failures > 0
                                      for record, answer in zip(records, answers))), {}


def score_counting(records):
    """Score counts: as answers to questions, and as numbers.

    ``numeric_accuracy`` compares numbers, and an unreadable one is wrong; ``MAE`` and ``RMSE`` are in objects, over the
    pairs where both are numbers. ``false_alarm_rate``: of the records without an object, those where some were counted.
    """
    truths, answers = ([clean_text(answer.text) for answer in side] for side in _sides(records))
    true_counts, counts = ([count_of(answer) for answer in side] for side in _sides(records))
    pairs = [(count, true) for count, true in zip(counts, true_counts) if None not in (count, true)]
    errors = np.array([count - true for count, true in pairs])
    scalars = _exact(truths, answers) | dict(
        numeric_accuracy=percentage(count is not None and count == true for count, true in zip(counts, true_counts)),
        MAE=float(np.abs(errors).mean()) if pairs else None,
        RMSE=float(np.sqrt((errors ** 2).mean())) if pairs else None,
        parse_failure_rate=percentage(count is None for count in counts),
        false_alarm_rate=percentage(bool(count) for count, true in zip(counts, true_counts) if true == 0))
    return scalars, dict(readable_pairs=len(pairs))


def count_of(answer):
    """Return the number an answer gives, None where its text is none that counting can have."""
    count = head_for('IMG_CT').decode(answer.text).count if answer.count is None else answer.count
    return None if count is None else float(count)


def _sides(records):
    return [record.truth for record in records], [record.prediction for record in records]


def _exact(truths, answers):
    names, truths, answers = _numbered(truths, answers)
    weighted = f1_score(truths, answers, labels=range(len(names)), average='weighted', zero_division=0)
    return dict(accuracy=100 * float(accuracy_score(truths, answers)), weighted_f1=100 * float(weighted))


def _single(truths, answers):
    truths, answers = ([', '.join(labels) for labels in side] for side in (truths, answers))
    names, truths, answers = _numbered(truths, answers)
    macro, per_class = _over_classes(truths, answers, names)
    weighted = f1_score(truths, answers, labels=range(len(names)), average='weighted', zero_division=0)
    return dict(accuracy=accuracy_score(truths, answers), **macro, weighted_f1=weighted), per_class, 'single'


def _numbered(truths, answers):
    """The texts of the ground truth, and all texts as numbers, these first.

    As texts in one array each would take the room of the longest, which may be an answer that never ended.
    """
    names = sorted(set(truths))
    numbers = {text: number for number, text in enumerate([*names, *set(answers).difference(names)])}
    return names, [numbers[text] for text in truths], [numbers[text] for text in answers]


def _multi(truths, answers):
    names = sorted(set().union(*truths))
    only_answered = sorted(set().union(*answers) - set(names))
    binarizer = MultiLabelBinarizer(classes=names + only_answered)
    truths, answers = binarizer.fit_transform(truths), binarizer.transform(answers)
    macro, per_class = _over_classes(truths, answers, names)
    samples = dict(average='samples', zero_division=0)
    return dict(accuracy=accuracy_score(truths, answers), jaccard=jaccard_score(truths, answers, **samples),
                samples_f1=f1_score(truths, answers, **samples), **macro), per_class, 'multi'


def _over_classes(truths, answers, names):
    values = precision_recall_fscore_support(truths, answers, labels=range(len(names)), zero_division=0)
    macro = dict(zip(('precision', 'recall', 'f1'), (value.mean() for value in values)))
    per_class = {name: dict(precision=100 * float(precision), recall=100 * float(recall), f1=100 * float(f1),
                            support=int(support)) for name, precision, recall, f1, support in zip(names, *values)}
    return macro, per_class
