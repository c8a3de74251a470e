"""Networks, distillers, transfer losses and the vision-language model."""

from .. import quiet_mmpretrain  # noqa: F401, before anything of mmpretrain
from .checkpoint import CheckpointError, load_state, save_student
from .classifier import SceneClassifier
from .distillers import Distiller, FeatureTaps
from .falcon import Falcon, FalconPreprocessor
from .finite import NonFiniteLossError
from .preprocessors import DistillPreprocessor, ScenePreprocessor
from .sembridge import SKA, Gallery, SceneMatcher
from .transfer import KD, LogitsMSE, TransferLoss

__all__ = ['KD', 'SKA', 'CheckpointError', 'DistillPreprocessor', 'Distiller', 'Falcon', 'FalconPreprocessor',
           'FeatureTaps', 'Gallery', 'LogitsMSE', 'NonFiniteLossError', 'SceneClassifier', 'SceneMatcher',
           'ScenePreprocessor', 'TransferLoss', 'load_state', 'save_student']
