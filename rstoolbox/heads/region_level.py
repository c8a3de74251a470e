"""The six tasks of a region: classify, detect, ground and describe it."""

from ..registry import HEADS
from .automaton import either, literal
from .base import ABSENT
from .image_level import CaptionHead, LabelHead
from .patterns import box_pattern
from .shapes import BoxHead, QuadHead, RegionSlot

_CLASSIFY = (
    'Classify the region of {region}.\nUse one or a few words.',
    'What is in the region {region}?\nUse one or a few words.',
    'Name the class of the object in {region}.\nUse one or a few words.',
    'Which category does the region {region} belong to?\nAnswer in one or a few words.',
    'Look at {region} and say what it is.\nAnswer in one or a few words.',
)


@HEADS.register_module(name='REG_CLS_HBB')
class BoxClassification(RegionSlot, LabelHead):
    """Name what is in a horizontal box."""

    tag = 'REG_CLS_HBB'
    prompts = tuple(prompt.replace('{region}', '{bbox}') for prompt in _CLASSIFY)


@HEADS.register_module(name='REG_CLS_OBB')
class QuadClassification(RegionSlot, LabelHead):
    """Name what is in an oriented box."""

    tag = 'REG_CLS_OBB'
    prompts = tuple(prompt.replace('{region}', '{quad}') for prompt in _CLASSIFY)


@HEADS.register_module(name='REG_DET_HBB')
class BoxDetection(BoxHead):
    """Find all objects of a class as horizontal boxes."""

    tag = 'REG_DET_HBB'
    prompts = (
        'Detect all {category} in the image.\nUse horizontal bounding boxes.',
        'Find every {category} in this image.\nUse horizontal bounding boxes.',
        'Where are the objects of the class {category}?\nUse horizontal bounding boxes.',
        'Locate each {category} that can be seen.\nAnswer with horizontal bounding boxes.',
        'Mark all instances of {category}.\nAnswer with horizontal bounding boxes.',
    )


@HEADS.register_module(name='REG_DET_OBB')
class QuadDetection(QuadHead):
    """Find all objects of a class as oriented boxes."""

    tag = 'REG_DET_OBB'
    prompts = (
        'Detect all {category} in the image.\nUse oriented bounding boxes.',
        'Find every {category} in this image.\nUse oriented bounding boxes.',
        'Where are the objects of the class {category}?\nUse oriented bounding boxes.',
        'Locate each {category} that can be seen.\nAnswer with oriented bounding boxes.',
        'Mark all instances of {category}.\nAnswer with oriented bounding boxes.',
    )


@HEADS.register_module(name='REG_VG')
class VisualGrounding(BoxHead):
    """Find the one object that a text describes."""

    tag = 'REG_VG'
    scored_as = 'grounding'
    prompts = (
        'Detect an area that matches the description.\n{text}\nUse horizontal bounding boxes.',
        'Find what the description is about.\n{text}\nUse horizontal bounding boxes.',
        'Locate the object described below.\n{text}\nUse horizontal bounding boxes.',
        'Where is this in the image?\n{text}\nAnswer with a horizontal bounding box.',
        'Which area fits this description?\n{text}\nAnswer with a horizontal bounding box.',
    )

    def pattern(self, classes=None):
        return either(box_pattern(self.coordinate), literal(ABSENT))


@HEADS.register_module(name='REG_CAP')
class RegionCaptioning(RegionSlot, CaptionHead):
    """Describe what is in a horizontal box."""

    tag = 'REG_CAP'
    prompts = (
        'Describe the {bbox} in this image.',
        'Give a short description of the region {bbox}.',
        'What does the area {bbox} of the image show?',
        'Write a caption for the region {bbox}.',
        'Say in one sentence what can be seen in {bbox}.',
    )
