"""The three tasks of pixels: classify a polygon, segment a class, find what changed."""

import dataclasses

import numpy as np

from ..registry import HEADS
from .base import ABSENT
from .canvas import fold_to_frame
from .grammar import image_sides, quantize
from .image_level import LabelHead
from .patterns import canvas_polygon_pattern, shapes_pattern
from .shapes import PolygonHead, RegionSlot


@HEADS.register_module(name='PIX_CLS')
class PolygonClassification(RegionSlot, LabelHead):
    """Name what is in a polygon."""

    tag = 'PIX_CLS'
    prompts = (
        'Classify the region of {polygon}.\nUse one or a few words.',
        'What is in the region {polygon}?\nUse one or a few words.',
        'Name the land cover inside {polygon}.\nUse one or a few words.',
        'Which category do the pixels of {polygon} belong to?\nAnswer in one or a few words.',
        'Look at the area {polygon} and say what it is.\nAnswer in one or a few words.',
    )


@HEADS.register_module(name='PIX_SEG')
class Segmentation(PolygonHead):
    """Outline all pixels of a class."""

    tag = 'PIX_SEG'
    prompts = (
        'Segment out {category} in the image.',
        'Outline every {category} in this image.',
        'Which pixels show {category}?\nAnswer with polygons.',
        'Draw polygons around all areas of {category}.',
        'Segment the class {category}.\nAnswer with polygons.',
    )


@HEADS.register_module(name='PIX_CHG')
class ChangeDetection(PolygonHead):
    """Outline what differs between two images of one place.

    The model sees both on one canvas (:mod:`rstoolbox.heads.canvas`). Annotations and answers are in pixels of a single
    frame, and so is ``image_size``. Polygons are written where the image before lies, which is where the published
    model draws them, and read from both frames; one in a black block, or in several blocks, is a failure.
    """

    tag = 'PIX_CHG'
    num_images = 2
    prompts = (
        'Find changes in the two images.',
        'What has changed between the two images?\nAnswer with polygons.',
        'Outline all areas that differ between the two images.',
        'Compare both images and mark the changes.\nAnswer with polygons.',
        'Segment out every change from the first image to the second.',
    )

    def bins(self, ring, image_size):
        # Beyond its frame lies another block of the canvas, in which a corner would mean something else.
        frame = image_sides(image_size)
        return quantize(np.clip(ring, 0, frame), 2 * frame)

    def decode(self, text, image_size):
        answer = super().decode(text, 2 * image_sides(image_size))
        polygons, failures = fold_to_frame(answer.polygons, image_size)
        return dataclasses.replace(answer, polygons=polygons, failures=answer.failures + failures)

    def pattern(self, classes=None):
        return shapes_pattern(canvas_polygon_pattern(self.coordinate), ABSENT)
