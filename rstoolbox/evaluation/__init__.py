"""Metrics."""

from .dump import read_dump, write_dump
from .falcon_metric import FalconMetric, format_scores, score_records
from .matcher_metric import MatcherMetric
from .record import Record
from .scene_metric import SceneMetric, format_report

__all__ = ['FalconMetric', 'MatcherMetric', 'Record', 'SceneMetric', 'format_report', 'format_scores', 'read_dump',
           'score_records', 'write_dump']
