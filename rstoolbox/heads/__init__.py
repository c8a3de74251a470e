"""How each Falcon task speaks: annotation <-> prompt and answer text."""

from .base import TaskHead, head_for
from .canvas import compose_canvas, fold_to_frame, place_on_canvas, split_canvas
from .image_level import Captioning, Counting, DetailedCaptioning, ImageClassification, VisualQuestionAnswering
from .pixel_level import ChangeDetection, PolygonClassification, Segmentation
from .region_level import (
    BoxClassification,
    BoxDetection,
    QuadClassification,
    QuadDetection,
    RegionCaptioning,
    VisualGrounding,
)

__all__ = [
    'BoxClassification', 'BoxDetection', 'Captioning', 'ChangeDetection', 'Counting', 'DetailedCaptioning',
    'ImageClassification', 'PolygonClassification', 'QuadClassification', 'QuadDetection', 'RegionCaptioning',
    'Segmentation', 'TaskHead', 'VisualGrounding', 'VisualQuestionAnswering', 'compose_canvas', 'fold_to_frame',
    'head_for', 'place_on_canvas', 'split_canvas',
]
