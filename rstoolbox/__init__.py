"""rstoolbox: a modular toolbox for remote sensing in the OpenMMLab style."""

import warnings

from .version import __version__

# mmcv without compiled operators says so at each import; only mmdet's detectors need them.
warnings.filterwarnings('ignore', message='Fail to import ``MultiScaleDeformableAttention``')

__all__ = ['__version__']
