"""Metrics."""

from .dump import read_dump, write_dump
from .falcon_metric import FalconMetric, format_scores, score_records
from .matcher_metric import MatcherMetric
from .record import ScoredRecord
from .scene_metric import SceneMetric, format_report
from .transport_cost import pairing_cost, transport_costs, wasserstein_distance

__all__ = ['FalconMetric', 'MatcherMetric', 'SceneMetric', 'ScoredRecord', 'format_report', 'format_scores',
           'pairing_cost', 'read_dump', 'score_records', 'transport_costs', 'wasserstein_distance', 'write_dump']
