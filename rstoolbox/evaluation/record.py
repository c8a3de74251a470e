"""One scored sample of a vision-language task."""

import math
from dataclasses import dataclass

import numpy as np

from rstoolbox.heads import head_for
from rstoolbox.registry import HEADS
from rstoolbox.structures import Answer, nearest

TASKS = ('IMG_CLS', 'IMG_VQA', 'IMG_CT', 'IMG_CAP', 'IMG_CAP_DETAILED', 'REG_CLS_HBB', 'REG_CLS_OBB', 'REG_DET_HBB',
         'REG_DET_OBB', 'REG_VG', 'REG_CAP', 'PIX_CLS', 'PIX_SEG', 'PIX_CHG')
VARIANTS = ('sound', 'as_released')
MOST_PIXELS = 2 ** 31
FARTHEST = 1_000_000  # pixels; drawing an outline takes memory for each pixel it passes, also beyond the image


class NotScorable(ValueError):
    """What the published evaluator cannot score, where it would stop with a traceback."""


@dataclass
class ScoredRecord:
    """A prediction, its ground truth and what is needed to score one against the other.

    Attributes:
        task (str): One of :data:`TASKS`, or one that a plug-in registered.
        prediction (Answer): What the model answered, in pixels.
        truth (Answer): The annotation, in pixels.
        image_size (tuple[int, int], optional): (width, height) of the image that the coordinates lie on. Masks need it.
        category (str, optional): The class that the prompt asks for. None counts as one class of its own.
        image_id (str, optional): The image, or the part cut out of it. Records of one image and prompt are references
            of one caption.
        prompt (str): The question or instruction.
        references (Sequence[str]): Further right texts of a caption or of an answer to a question.
        on_canvas (bool): Whether the polygons of a change lie on the canvas of both images, ``image_size`` being the
            canvas: first image top left, second bottom right.

    Raises:
        ValueError: If the task is unknown, the size is not two positive numbers, or an answer holds coordinates that
            are not finite or above :data:`FARTHEST`, scores that are not finite, or not one score for each object.
    """

    task: str
    prediction: Answer
    truth: Answer
    image_size: tuple | None = None
    category: str | None = None
    image_id: str | None = None
    prompt: str = ''
    references: tuple = ()
    on_canvas: bool = False

    def __post_init__(self):
        check_task(self.task)
        if self.image_size is not None:
            size = np.asarray(self.image_size)
            if size.shape != (2,) or size.dtype.kind not in 'iuf' or not (np.isfinite(size) & (size >= 1)).all():
                raise ValueError(f'{self}: image_size is (width, height) in pixels, got {self.image_size!r}.')
            self.image_size = int(size[0]), int(size[1])
            if head_for(self.task).scored_as == 'masks' and math.prod(self.image_size) > MOST_PIXELS:
                raise ValueError(f'{self}: image_size {self.image_size} is of more than {MOST_PIXELS:,} pixels, which '
                                 'no mask can be scored on.')
        for role, answer in (('prediction', self.prediction), ('truth', self.truth)):
            if not isinstance(answer, Answer):
                raise ValueError(f'{self}: the {role} is an Answer, got {type(answer).__name__}.')
            self._check(role, answer)

    def __str__(self):
        return f"Record of {self.task}, image '{self.image_id}'"

    def _check(self, role, answer):
        rings = [ring for instance in answer.polygons for ring in instance]
        for key, value, width in [('bboxes', answer.bboxes, 4), ('quads', answer.quads, 8),
                                  *(('polygons', ring, 2) for ring in rings)]:
            value = np.asarray(value, np.float64)
            if value.ndim != 2 or value.shape[1] != width:
                raise ValueError(f'{self}: {key} of the {role} should be (N, {width}), got shape {value.shape}.')
            sound = np.abs(value) <= FARTHEST
            if not sound.all():
                raise ValueError(f'{self}: {key} of the {role} hold {value[~sound][0]}; coordinates are finite numbers '
                                 f'in pixels, {FARTHEST:,} at most.')
        if answer.scores is None:
            return
        scores = np.asarray(answer.scores, np.float64)
        objects = len(answer.bboxes) or len(answer.quads) or len(answer.polygons)
        if scores.ndim != 1 or (objects and len(scores) != objects):
            raise ValueError(f'{self}: scores of the {role} have shape {scores.shape}, expected ({objects},), one for '
                             'each object.')
        if not np.isfinite(scores).all():
            raise ValueError(f'{self}: scores of the {role} hold {scores[~np.isfinite(scores)][0]}.')


def check_task(task):
    """Raise ValueError, with the nearest one, if ``task`` is none of :data:`TASKS` and no plug-in registered it."""
    if task not in TASKS and task not in HEADS.known_names():
        raise ValueError(f"There is no task '{task}'{nearest(str(task).upper(), TASKS, 0.3)}. The tasks are "
                         f'{", ".join(HEADS.known_names())}.')


def check_variant(variant):
    """Raise ValueError if ``variant`` is none of :data:`VARIANTS`."""
    if variant not in VARIANTS:
        raise ValueError(f"There is no variant '{variant}'; expected {' or '.join(VARIANTS)}.")


def percentage(flags):
    """Share of true values, in percent; None if there are none at all."""
    flags = list(flags)
    return 100 * float(np.mean(flags)) if flags else None
