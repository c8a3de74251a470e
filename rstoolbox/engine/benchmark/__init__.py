"""Benchmarks: methods, plain and with SemBridge, on pairs of networks, data sets and seeds."""

from .results import read_csv, read_result, write_csv
from .scheduler import Scheduler
from .spec import Run, check_data, read_spec
from .table import markdown, summarise

__all__ = ['Run', 'Scheduler', 'check_data', 'markdown', 'read_csv', 'read_result', 'read_spec', 'summarise',
           'write_csv']
