"""What a vision-language model answers, read from its text: labels, a count, boxes, polygons, in pixels."""

from dataclasses import dataclass, field

import numpy as np


@dataclass
class Answer:
    """A structured answer, and in the same form an annotation.

    Coordinates are pixels of the original image (a change map: of a single frame), x before y, with the origin at the
    upper left corner of the upper left pixel; they lie within the image.

    Attributes:
        text (str): The answer as text: a caption, the answer to a question, or what the rest was read from.
        labels (list[str]): Class names.
        count (int or float, optional): A number of objects, None where none was given.
        bboxes (np.ndarray): (N, 4) float64, x1 y1 x2 y2.
        quads (np.ndarray): (N, 8) float64, four corners in the order written.
        polygons (list[list[np.ndarray]]): Instances; each is a list of rings; each ring is (K, 2) float64, not closed.
        scores (np.ndarray, optional): (N,) confidence in [0, 1] of each box, quad or polygon instance, in their order;
            of the whole answer, (1,), where there are none of them. None where the model gave no confidence.
        failures (int): How many parts of the text could not be read.
    """

    text: str = ''
    labels: list = field(default_factory=list)
    count: float | None = None
    bboxes: np.ndarray = field(default_factory=lambda: np.zeros((0, 4)))
    quads: np.ndarray = field(default_factory=lambda: np.zeros((0, 8)))
    polygons: list = field(default_factory=list)
    scores: np.ndarray | None = None
    failures: int = 0
