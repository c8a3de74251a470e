"""What travels between the rooms: match tables, band statistics and structured answers."""

from .answer import Answer
from .files import write_json
from .match_table import MatchTable
from .statistics import load_statistics, nearest_band

__all__ = ['Answer', 'MatchTable', 'load_statistics', 'nearest_band', 'write_json']
