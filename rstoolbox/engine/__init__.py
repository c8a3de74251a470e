"""Running: configs, stages, hooks, tests and reports of an experiment."""

from . import cpu_amp, measured  # noqa: F401, register an optimizer wrapper and the references to data
from .config import ConfigError, load_config, resolve, runner_config
from .experiment import Experiment, train
from .hooks import (
                    PublishBestHook,
                    ReproducibleEpochsHook,
                    ResumableCheckpointHook,
                    StudentFriendlyMatchingHook,
                    matching_epochs,
)
from .matching_stages import GalleryStage, MatchStage
from .runner import Runner
from .sharded_runner import ShardedRunner
from .stages import Stage
from .train_stage import TrainStage

__all__ = ['ConfigError', 'Experiment', 'GalleryStage', 'MatchStage', 'PublishBestHook', 'ReproducibleEpochsHook',
           'ResumableCheckpointHook', 'Runner', 'ShardedRunner', 'Stage', 'StudentFriendlyMatchingHook', 'TrainStage',
           'load_config', 'matching_epochs', 'resolve', 'runner_config', 'train']
