"""What travels between the rooms: match tables, band statistics, records of tasks and structured answers."""

from .answer import Answer
from .falcon_data_sample import FalconDataSample
from .files import content_hash, locked, open_whole, read_record, with_contents, write_json
from .match_table import MatchTable, tables_in
from .names import nearest, nearest_band
from .statistics import load_statistics

__all__ = ['Answer', 'FalconDataSample', 'MatchTable', 'content_hash', 'load_statistics', 'locked', 'nearest',
           'nearest_band', 'open_whole', 'read_record', 'tables_in', 'with_contents', 'write_json']
