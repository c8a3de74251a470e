"""What travels between the rooms: match tables and band statistics."""

from .files import write_json
from .match_table import MatchTable
from .statistics import load_statistics, nearest_band

__all__ = ['MatchTable', 'load_statistics', 'nearest_band', 'write_json']
