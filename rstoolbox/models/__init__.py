"""Networks, distillers and transfer losses."""

from .checkpoint import CheckpointError, load_state, save_student
from .classifier import SceneClassifier
from .distillers import Distiller, FeatureTaps
from .preprocessors import DistillPreprocessor, ScenePreprocessor
from .transfer import KD, LogitsMSE, TransferLoss

__all__ = ['KD', 'CheckpointError', 'DistillPreprocessor', 'Distiller', 'FeatureTaps', 'LogitsMSE', 'SceneClassifier', 'ScenePreprocessor',
           'TransferLoss', 'load_state', 'save_student']
