"""Hooks of the training loop."""

from .checkpoint import PublishBestHook, ResumableCheckpointHook
from .reproducible_epochs import ReproducibleEpochsHook
from .student_friendly_matching import StudentFriendlyMatchingHook, matching_epochs

__all__ = ['PublishBestHook', 'ReproducibleEpochsHook', 'ResumableCheckpointHook', 'StudentFriendlyMatchingHook', 'matching_epochs']
