"""Distillers: a student that learns its task and from a teacher."""

from .distiller import Distiller, training_progress
from .taps import FeatureTaps

__all__ = ['Distiller', 'FeatureTaps', 'training_progress']
