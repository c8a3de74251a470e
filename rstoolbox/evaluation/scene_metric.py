"""Accuracy, precision, recall and F1 of scene classification."""

import io

import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger
from mmpretrain.evaluation import Accuracy, ConfusionMatrix, MultiLabelMetric, SingleLabelMetric
from rich.console import Console
from rich.table import Table
from sklearn.metrics import average_precision_score, multilabel_confusion_matrix

from rstoolbox.registry import METRICS

TASKS = dict(single=('accuracy', 'precision', 'recall', 'f1'), multi=('accuracy', 'precision', 'recall', 'f1', 'mAP'))


@METRICS.register_module()
class SceneMetric(BaseMetric):
    """Metrics of scene classification, all in percent.

    ``single``: overall ``accuracy`` and macro ``precision``, ``recall``, ``f1``, where the class of a sample is the one
    of the highest score. ``multi``: ``accuracy`` is subset accuracy (all labels of a sample right), ``precision``,
    ``recall`` and ``f1`` are macro averages at ``threshold``, and ``mAP`` is the mean average precision over the
    classes that have a positive sample. The other macro averages are over all classes of the data set; one without a
    sample counts as 0 and is named in a warning.

    After an evaluation :attr:`report` holds, on the main process, a JSON-able dict: ``task``, ``num_samples``,
    ``classes``, ``metrics``, ``per_class`` (class name -> precision, recall, f1, support and, for ``multi``, AP) and
    ``confusion_matrix`` (rows are the truth; for ``multi`` one [[tn, fp], [fn, tp]] per class).

    Args:
        task (str): 'single' or 'multi'.
        classes (Sequence[str], optional): Class names. Defaults to those of the evaluated data set.
        threshold (float): Least probability of a positive label, for 'multi'.
        log_table (bool): Log the table of classes after each evaluation.
        collect_device (str): Device for gathering from all processes, 'cpu' or 'gpu'.
        prefix (str, optional): Prefix of the metric names. Defaults to none.

    Raises:
        ValueError: If a score is not finite, has another number of classes than the data set, is no probability
            ('multi'), or a label is missing or out of range; with the sample's id.
    """

    default_prefix = ''  # None would have mmengine warn at every start

    def __init__(self, task='single', classes=None, threshold=0.5, log_table=True, collect_device='cpu', prefix=None):
        super().__init__(collect_device=collect_device, prefix=prefix)
        if task not in TASKS:
            raise ValueError(f"SceneMetric has no task '{task}'; expected one of {', '.join(TASKS)}.")
        if not 0 < threshold < 1:
            raise ValueError(f'SceneMetric: threshold is a probability between 0 and 1, got {threshold}.')
        self.task, self.threshold, self.log_table = task, threshold, log_table
        self.classes = None if classes is None else tuple(classes)
        self.report = None

    @property
    def names(self):
        """list[str]: Of the metrics, as an evaluation gives them."""
        return [f'{self.prefix}/{name}' if self.prefix else name for name in TASKS[self.task]]

    def process(self, data_batch, data_samples):
        """Check and keep the predictions of a batch.

        Args:
            data_batch (object): Not used.
            data_samples (Sequence[dict]): mmpretrain data samples as dicts: ``pred_score`` (C,), ``gt_label`` (indices)
                or, for 'multi', ``gt_score`` (C,) of 0 and 1; ``sample_id`` or ``img_path`` for messages.
        """
        for sample in data_samples:
            name = sample.get('sample_id') or sample.get('img_path') or f'number {len(self.results)}'
            score = self._checked_score(sample, name)
            self.results.append(dict(score=score, target=self._checked_target(sample, name, len(score))))

    def compute_metrics(self, results):
        """Compute the metrics from the results of all processes.

        Args:
            results (list[dict]): What :meth:`process` kept.

        Returns:
            dict[str, float]: Scalars, in percent.
        """
        scores = torch.from_numpy(np.stack([result['score'] for result in results]))
        targets = torch.from_numpy(np.stack([result['target'] for result in results]))
        classes = self._class_names() or tuple(str(index) for index in range(scores.shape[1]))
        metrics, per_class, matrix = (self._single if self.task == 'single' else self._multi)(scores, targets, classes)
        self.report = dict(task=self.task, num_samples=len(results), classes=list(classes), metrics=metrics,
                           per_class=per_class, confusion_matrix=matrix.tolist())
        self._warn_of_absent(per_class)
        if self.log_table:
            MMLogger.get_current_instance().info('\n' + format_report(self.report))
        return dict(metrics)

    def _single(self, scores, targets, classes):
        # Labels, not scores, go in: with scores mmpretrain drops the predictions whose score is not above 0.
        predicted = scores.argmax(1)
        values = SingleLabelMetric.calculate(predicted, targets, average=None, num_classes=len(classes))
        accuracy = Accuracy.calculate(predicted, targets)
        matrix = ConfusionMatrix.calculate(predicted, targets, num_classes=len(classes))
        return self._pack(accuracy, values, classes) + (matrix,)

    def _multi(self, scores, targets, classes):
        values = MultiLabelMetric.calculate(scores, targets, average=None, thr=self.threshold)
        positive = scores >= self.threshold
        accuracy = (positive == targets.bool()).all(1).double().mean() * 100
        metrics, per_class = self._pack(accuracy, values, classes)
        # sklearn's average precision, unlike mmpretrain's, does not depend on the order of samples of equal score.
        precisions = [100 * float(average_precision_score(targets[:, index], scores[:, index]))
                      if targets[:, index].any() else None for index in range(len(classes))]
        for name, value in zip(classes, precisions):
            per_class[name]['AP'] = value
        known = [value for value in precisions if value is not None]
        metrics['mAP'] = float(np.mean(known)) if known else 0.
        return metrics, per_class, multilabel_confusion_matrix(targets.numpy(), positive.numpy())

    def _pack(self, accuracy, values, classes):
        precision, recall, f1, support = (value.double() for value in values)
        metrics = dict(accuracy=float(accuracy), precision=float(precision.mean()), recall=float(recall.mean()),
                       f1=float(f1.mean()))
        per_class = {name: dict(precision=float(precision[index]), recall=float(recall[index]), f1=float(f1[index]),
                                support=int(support[index])) for index, name in enumerate(classes)}
        return metrics, per_class

    def _checked_score(self, sample, name):
        if sample.get('pred_score') is None:
            raise ValueError(f"Sample '{name}' has no pred_score; SceneMetric needs the scores of all classes, as the "
                             'heads of mmpretrain give them.')
        score = torch.as_tensor(sample['pred_score']).detach().float().cpu().numpy()
        classes = self._class_names()
        if score.ndim != 1 or (classes and len(score) != len(classes)):
            raise ValueError(f"Sample '{name}': pred_score has shape {tuple(score.shape)}, expected "
                             f'({len(classes) if classes else "number of classes"},). Does num_classes of the head fit '
                             'the data set?')
        if not np.isfinite(score).all():
            raise ValueError(f"Sample '{name}': pred_score holds {score[~np.isfinite(score)][0]}. The model's weights "
                             'or this image are broken.')
        if self.task == 'multi' and (score.min() < 0 or score.max() > 1):
            raise ValueError(f"Sample '{name}': pred_score spans {score.min():.3g} to {score.max():.3g}, which are no "
                             'probabilities; the head should apply a sigmoid.')
        return score

    def _checked_target(self, sample, name, num_classes):
        if self.task == 'multi' and sample.get('gt_score') is not None:
            target = torch.as_tensor(sample['gt_score']).cpu().numpy().round().astype(np.int64)
            if target.shape != (num_classes,) or not np.isin(target, (0, 1)).all():
                raise ValueError(f"Sample '{name}': gt_score should be {num_classes} values of 0 or 1, got "
                                 f'{target.tolist()}.')
            return target
        if sample.get('gt_label') is None:
            raise ValueError(f"Sample '{name}' has no gt_label; the test pipeline should pack it.")
        labels = torch.as_tensor(sample['gt_label']).flatten().long().cpu().numpy()
        wrong = [int(label) for label in labels if not 0 <= label < num_classes]
        if wrong:
            raise ValueError(f"Sample '{name}': label {wrong[0]} is out of range for {num_classes} classes.")
        if self.task == 'multi':
            return np.isin(np.arange(num_classes), labels).astype(np.int64)
        if len(labels) != 1:
            raise ValueError(f"Sample '{name}' has {len(labels)} labels, expected one; several are for task='multi'.")
        return labels[0]

    def _class_names(self):
        return self.classes or tuple((self.dataset_meta or {}).get('classes') or ())

    def _warn_of_absent(self, per_class):
        absent = [name for name, values in per_class.items() if values['support'] == 0]
        if absent:
            MMLogger.get_current_instance().warning(
                f'No evaluated sample has the class {", ".join(absent)}: it counts as 0 in macro averages.')


def format_report(report):
    """Return a report of :class:`SceneMetric` as a table in plain text.

    Args:
        report (dict): :attr:`SceneMetric.report`.

    Returns:
        str: Classes in rows; for a single label with the class each is most often taken for.
    """
    multi = report['task'] == 'multi'
    table = Table(title=f'{report["num_samples"]} samples; ' + ', '.join(
        f'{name} {value:.2f}' for name, value in report['metrics'].items()) + ' (%)', title_justify='left')
    columns = ['precision', 'recall', 'f1'] + ['AP'] * multi + ['support']
    table.add_column('class')
    for column in columns:
        table.add_column(column, justify='right')
    if not multi:
        table.add_column('most often taken for')
    for index, (name, values) in enumerate(report['per_class'].items()):
        cells = ['-' if values[column] is None else
                 f'{values[column]:d}' if column == 'support' else f'{values[column]:.2f}' for column in columns]
        table.add_row(name, *cells, *([] if multi else [_mistaken_for(report, index)]))
    text = io.StringIO()
    # Square brackets and colons of a name are its own, no markup.
    Console(file=text, width=120, markup=False, emoji=False).print(table)
    return text.getvalue().rstrip()


def _mistaken_for(report, index):
    row = list(report['confusion_matrix'][index])
    row[index] = 0
    most = int(np.argmax(row))
    return f'{report["classes"][most]} ({row[most]})' if row[most] else ''
