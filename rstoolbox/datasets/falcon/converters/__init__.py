"""Annotated data sets, each made into instruction records."""

from .captions import CaptionRecords
from .change import ChangeRecords
from .coco import CocoRecords
from .dota import DotaRecords
from .masks import MaskRecords
from .question_answers import QuestionRecords
from .scene_folders import SceneFolderRecords
from .voc import VocRecords

# What the command line calls them.
CONVERTERS = dict(
    scenes=SceneFolderRecords, coco=CocoRecords, voc=VocRecords, dota=DotaRecords, captions=CaptionRecords,
    rsvqa=QuestionRecords, masks=MaskRecords, change=ChangeRecords)

__all__ = ['CONVERTERS', 'CaptionRecords', 'ChangeRecords', 'CocoRecords', 'DotaRecords', 'MaskRecords',
           'QuestionRecords', 'SceneFolderRecords', 'VocRecords']
