"""Instruction records of vision-language tasks. Needs the extra: ``pip install -e .[falcon]``."""

from .falcon_sft import FalconSFT
from .image_group_sampler import ImageGroupSampler
from .mini_falcon import MiniFalcon
from .mixed_records import MixedRecords
from .record_files import read_records, write_records
from .record_store import RecordStore
from .records import Record
from .verify import verify_records

__all__ = ['FalconSFT', 'ImageGroupSampler', 'MiniFalcon', 'MixedRecords', 'Record', 'RecordStore', 'read_records',
           'verify_records', 'write_records']
