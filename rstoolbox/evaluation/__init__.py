"""Metrics."""

from .matcher_metric import MatcherMetric
from .scene_metric import SceneMetric, format_report

__all__ = ['MatcherMetric', 'SceneMetric', 'format_report']
