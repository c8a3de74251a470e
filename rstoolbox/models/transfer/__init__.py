"""Transfer losses: what a student learns from a teacher, one class per idea."""

from .attention import AT, KDSVD, NST
from .base import TransferLoss
from .channels import CWD
from .contrastive import CRD
from .correlation import DIST, MLKD
from .decoupled import DKD, NKD, WSLD
from .geometry import DistilVPR
from .logits import KD, LogitsMSE
from .multilabel import BinaryKD
from .regression import MGD, OFD, FitNet, SimKD
from .relations import CC, PKT, RKD, SP
from .review import ReviewKD
from .selection import C2KD
from .temperature import CTKD, LSKD
from .variational import VID, FactorTransfer

__all__ = [
    'AT', 'BinaryKD', 'C2KD', 'CC', 'CRD', 'CTKD', 'CWD', 'DIST', 'DistilVPR', 'DKD', 'FactorTransfer', 'FitNet', 'KD',
    'KDSVD', 'LogitsMSE', 'LSKD', 'MGD', 'MLKD', 'NKD', 'NST', 'OFD', 'PKT', 'ReviewKD', 'RKD', 'SimKD', 'SP',
    'TransferLoss', 'VID', 'WSLD',
]
