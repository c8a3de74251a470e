"""Distillers: a student that learns its task and from a teacher."""

from .dense import DenseDistiller
from .distiller import Distiller, training_progress
from .taps import FeatureTaps

__all__ = ['DenseDistiller', 'Distiller', 'FeatureTaps', 'training_progress']
