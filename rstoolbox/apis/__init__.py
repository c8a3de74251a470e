"""The toolbox from Python: models that classify images, map scenes and answer about them."""

from .falcon_inferencer import FalconInferencer
from .scene_inferencer import SceneInferencer

__all__ = ['FalconInferencer', 'SceneInferencer']
