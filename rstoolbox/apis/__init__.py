"""The toolbox from Python: models that answer about images."""

from .falcon_inferencer import FalconInferencer

__all__ = ['FalconInferencer']
