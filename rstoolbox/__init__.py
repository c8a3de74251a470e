"""rstoolbox: a modular toolbox for remote sensing in the OpenMMLab style."""

from .version import __version__

__all__ = ['__version__']
