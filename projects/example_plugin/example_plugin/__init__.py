"""An example of a package that extends rstoolbox: importing it registers its classes."""

from .dataset import FewShotMiniS2S
from .metric import CohenKappa
from .transfer_loss import LinearCKA

__all__ = ['CohenKappa', 'FewShotMiniS2S', 'LinearCKA']
