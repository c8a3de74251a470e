"""What travels between the rooms: match tables, band statistics and structured answers."""

from .answer import Answer
from .files import content_hash, locked, write_json
from .match_table import MatchTable
from .statistics import load_statistics, nearest_band

__all__ = ['Answer', 'MatchTable', 'content_hash', 'load_statistics', 'locked', 'nearest_band', 'write_json']
