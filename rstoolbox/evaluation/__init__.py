"""Metrics."""

from .matcher_metric import MatcherMetric
from .scene_metric import SceneMetric, format_report
from .transport_cost import pairing_cost, transport_costs, wasserstein_distance

__all__ = ['MatcherMetric', 'SceneMetric', 'format_report', 'pairing_cost', 'transport_costs', 'wasserstein_distance']
