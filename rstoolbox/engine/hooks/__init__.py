"""Hooks of the training and test loops."""

from .checkpoint import PublishBestHook, ResumableCheckpointHook
from .cost import CostHook
from .reproducible_epochs import ReproducibleEpochsHook
from .show_predictions import ShowPredictionsHook
from .student_friendly_matching import StudentFriendlyMatchingHook, matching_epochs

__all__ = ['CostHook', 'PublishBestHook', 'ReproducibleEpochsHook', 'ResumableCheckpointHook', 'ShowPredictionsHook',
           'StudentFriendlyMatchingHook', 'matching_epochs']
