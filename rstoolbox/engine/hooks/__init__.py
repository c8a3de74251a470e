"""Hooks of the training and test loops."""

from .answers import DumpAnswersHook, ShowAnswersHook
from .checkpoint import PublishBestHook, ResumableCheckpointHook
from .cost import CostHook
from .reproducible_epochs import ReproducibleEpochsHook
from .show_predictions import ShowPredictionsHook
from .student_friendly_matching import StudentFriendlyMatchingHook, matching_epochs
from .sync_statistics import SyncStatisticsHook

__all__ = ['CostHook', 'DumpAnswersHook', 'PublishBestHook', 'ReproducibleEpochsHook', 'ResumableCheckpointHook',
           'ShowAnswersHook', 'ShowPredictionsHook', 'StudentFriendlyMatchingHook', 'SyncStatisticsHook',
           'matching_epochs']
