"""Transfer losses: what a student learns from a teacher, one class per idea."""

from .base import TransferLoss
from .logits import KD, LogitsMSE

__all__ = ['KD', 'LogitsMSE', 'TransferLoss']
