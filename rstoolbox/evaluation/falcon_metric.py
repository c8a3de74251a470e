"""Metrics of the vision-language tasks."""

import io
from functools import lru_cache
from importlib import import_module

from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger
from rich.console import Console
from rich.table import Table

from rstoolbox.heads import head_for
from rstoolbox.registry import METRICS
from rstoolbox.structures import nearest

from .record import TASKS, NotScorable, ScoredRecord, check_task, check_variant

KEYS = ('task', 'pred_answer', 'gt_answer')
OPTIONAL_KEYS = ('image_size', 'category', 'image_id', 'prompt', 'references')


# Where the scorer of each kind of task is (TaskHead.scored_as), by variant. Imported when a task needs it, for the
# libraries are optional.
SCORERS = dict(
    sound=dict(classification='text.score_classification', vqa='text.score_vqa', counting='text.score_counting',
               captions='caption.score_captions', hbb='coco.score_hbb', obb='boxes.score_obb',
               grounding='grounding.score_grounding', masks='masks.score_masks'),
    as_released=dict(classification='released.score_classification', vqa='released.score_vqa',
                     counting='released.score_vqa', captions='released.score_captions', hbb='released_boxes.score_hbb',
                     obb='released_boxes.score_by_thresholds', grounding='released_boxes.score_by_thresholds',
                     masks='released.score_masks'))


@METRICS.register_module()
class FalconMetric(BaseMetric):
    """Scores of the 14 tasks, in percent, named by task: ``IMG_CLS/accuracy``, ``REG_DET_HBB/AP50``.

    Only errors of counts (``MAE``, ``RMSE``) are in objects. What cannot be defined, such as the average precision
    without an object, is left out of the scalars. ``docs/user_guides/falcon_metrics.md`` defines each.

    After an evaluation :attr:`report` holds, on the main process, a JSON-able dict by task: ``num_samples``,
    ``metrics`` (with None for what is undefined) and the details of the task, such as ``per_class`` or ``ranked_by``.

    Args:
        variant (str): 'sound', or 'as_released' for the numbers of the published evaluator with its known defects.
        log_table (bool): Log a table of the scores after each evaluation.
        collect_device (str): Device for gathering from all processes, 'cpu' or 'gpu'.
        prefix (str, optional): Prefix of the metric names. Defaults to none.

    Raises:
        ValueError: If the variant or a task is unknown, a sample lacks a key, or its answers are not sound.
    """

    default_prefix = ''  # None would have mmengine warn at every start

    def __init__(self, variant='sound', log_table=True, collect_device='cpu', prefix=None):
        super().__init__(collect_device=collect_device, prefix=prefix)
        check_variant(variant)
        self.variant, self.log_table = variant, log_table
        self.report = None

    def process(self, data_batch, data_samples):
        """Check and keep the answers of a batch.

        Args:
            data_batch (object): Not used.
            data_samples (Sequence[dict]): With ``task``, ``pred_answer`` and ``gt_answer``
                (:class:`~rstoolbox.structures.Answer`, in pixels), and where they apply ``image_size`` (width, height),
                ``category``, ``image_id``, ``prompt`` and, of a caption, ``references``, further right texts.
        """
        for sample in data_samples:
            missing = [key for key in KEYS if sample.get(key) is None]
            if missing:
                near = nearest(missing[0], sample.keys() - set(KEYS), 0.6)
                raise ValueError(f"Sample '{sample.get('image_id', len(self.results))}' has no {missing[0]}{near}. "
                                 f'FalconMetric needs {", ".join(KEYS)}; got {", ".join(sorted(sample))}.')
            scorer_of(sample['task'], self.variant)  # before hours of inference, not after
            known = {key: sample[key] for key in OPTIONAL_KEYS if sample.get(key) is not None}
            self.results.append(ScoredRecord(sample['task'], sample['pred_answer'], sample['gt_answer'], **known))

    def compute_metrics(self, results):
        """Score the records of all processes.

        Args:
            results (list[ScoredRecord]): What :meth:`process` kept of each sample.

        Returns:
            dict[str, float]: Scalars by ``TASK/name``.
        """
        scalars, self.report = score_records(results, self.variant)
        if self.log_table:
            MMLogger.get_current_instance().info('\n' + format_scores(self.report, self.variant))
        return scalars


def score_records(records, variant='sound'):
    """Score records of any tasks.

    Args:
        records (Iterable[ScoredRecord]): In any order.
        variant (str): 'sound' or 'as_released'.

    Returns:
        tuple[dict, dict]: Scalars ``{'TASK/name': float}``, and the report, see :class:`FalconMetric`. A task that the
        published evaluator cannot score has ``not_scored``, the reason, there, and a warning says so; where the ground
        truth of records cannot be read, so does another, and ``unreadable_truths`` is how many.
    """
    check_variant(variant)
    groups = {}
    for record in records:
        groups.setdefault(record.task, []).append(record)
    scalars, report = {}, {}
    for task in (*filter(groups.get, TASKS), *sorted(groups.keys() - set(TASKS))):
        report[task] = dict(num_samples=len(groups[task]), metrics={})
        if unread := sum(record.truth.failures > 0 for record in groups[task]):
            report[task]['unreadable_truths'] = unread
            MMLogger.get_current_instance().warning(
                f'{task}: the ground truth of {unread} of {len(groups[task])} records cannot be read as a whole, and '
                'what cannot counts as if it were not there. tools/dataset_converters/verify_records.py names them.')
        try:
            metrics, details = scorer_of(task, variant)(groups[task])
        except NotScorable as reason:
            MMLogger.get_current_instance().warning(f'{task} is not scored. {reason}')
            report[task]['not_scored'] = str(reason)
            continue
        report[task].update(metrics=metrics, **details)
        scalars |= {f'{task}/{name}': value for name, value in metrics.items() if value is not None}
    return scalars, report


@lru_cache
def scorer_of(task, variant):
    """Return the function that scores records of ``task``.

    Raises:
        ValueError: If the task is unknown, its head names no kind there is, or a library that it needs is not
            installed.
    """
    check_task(task)
    kind, kinds = head_for(task).scored_as, SCORERS[variant]
    if kind is None:
        return _not_scored
    if kind not in kinds:
        raise ValueError(f"The head of {task} is scored_as '{kind}'{nearest(kind, kinds)}; expected one of "
                         f'{", ".join(kinds)}.')
    module, function = kinds[kind].split('.')
    try:
        return getattr(import_module(f'{__package__}.{module}'), function)
    except ModuleNotFoundError as error:
        raise ValueError(f"Scoring {task} needs the library '{error.name}': pip install -e .[falcon]") from None


def _not_scored(records):
    raise NotScorable(f'The head of {records[0].task} does not say how it is scored (scored_as); a metric of its own '
                      'may.')


def format_scores(report, variant):
    """Return a report of :class:`FalconMetric` as a table in plain text, a row for each task and score."""
    table = Table(title=f'Variant {variant}; in percent, but MAE and RMSE in objects', title_justify='left')
    for column, justify in (('task', 'left'), ('samples', 'right'), ('score', 'left'), ('value', 'right')):
        table.add_column(column, justify=justify)
    for task, entry in report.items():
        notes = {key: entry[key] for key in ('ranked_by', 'tokenizer', 'not_scored') if key in entry}
        rows = [(name, '-' if value is None else f'{value:.2f}') for name, value in entry['metrics'].items()]
        for number, (name, value) in enumerate(rows + list(notes.items())):
            table.add_row(task if number == 0 else '', str(entry['num_samples']) if number == 0 else '', name, value)
        table.add_section()
    stream = io.StringIO()
    # Square brackets and colons of a name are its own, no markup.
    Console(file=stream, width=120, markup=False, emoji=False).print(table)
    return stream.getvalue().rstrip()
