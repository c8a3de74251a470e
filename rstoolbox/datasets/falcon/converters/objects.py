"""Images with annotated objects: detection, counting, segmentation, and what is in a region."""

import os
from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np

from rstoolbox.structures import Answer

from .base import Converter


@dataclass
class AnnotatedObject:
    """An object: its class, and whichever of a box (4,), a quad (8,), rings (K, 2) and a text there are, in pixels.

    No ring at all means that it is too small to outline; answers with outlines leave it out.
    """

    category: str
    bbox: list = None
    quad: list = None
    polygon: list = None
    text: str = ''


@dataclass
class AnnotatedImage:
    """An image file and its objects.

    Of an ``incomplete`` class the image holds more than is among the objects, such as a crowd: it is never asked for as
    absent, and no record speaks of all its objects. ``where`` tells a message where the objects were read.
    """

    name: str
    objects: list = field(default_factory=list)
    incomplete: set = field(default_factory=set)
    where: str = ''


# Which shape a task is about: those of the first kind ask for a class, those of the second name a region.
FIND = dict(REG_DET_HBB='bbox', REG_DET_OBB='quad', PIX_SEG='polygon', IMG_CT=None)
NAME = dict(REG_CLS_HBB='bbox', REG_CLS_OBB='quad', PIX_CLS='polygon')
ANSWERS = dict(bbox='bboxes', quad='quads', polygon='polygons')


class ObjectConverter(Converter):
    """Records of annotated images.

    A subclass implements :meth:`scenes` and :meth:`classes`.

    Args:
        absent (int): For each image, how many classes that are not in it are asked for as well, with the answer that
            there is none.
        seed (int): Of the choice of absent classes.
        **kwargs: See :class:`Converter`.
    """

    def __init__(self, source, images, tasks=None, root=None, absent=0, seed=0):
        super().__init__(source, images, tasks, root)
        if absent < 0:
            raise ValueError(f'absent is how many classes are asked for that an image does not hold, 0 or more, got '
                             f'{absent}.')
        self.absent, self.seed = absent, seed

    def scenes(self):
        """Yield :class:`AnnotatedImage`, one for each image."""
        raise NotImplementedError(f'{type(self).__name__} does not implement scenes()')

    def classes(self):
        """All class names of the source; by default those of its objects."""
        return sorted({thing.category for scene in self.scenes() for thing in scene.objects})

    def records(self):
        """Yield the records of one image after the other; ValueError if one is annotated twice."""
        rng, known, places = np.random.default_rng(self.seed), self.classes() if self.absent else [], {}
        for scene in self.scenes():
            path, size = self.image(scene.name)
            where, file = scene.where or f"'{self.source}'", os.path.abspath(path)
            if file in places:  # each would speak of "all ships" without those of the other
                raise ValueError(f"{where} annotates '{path}', which {places[file]} does already. Merge the two, or "
                                 'leave one out.')
            places[file] = where
            groups = defaultdict(list)
            for number, thing in enumerate(scene.objects, 1):
                self._check_inside(thing, number, path, size)
                groups[thing.category].append(thing)
            others = [name for name in known if name not in groups and name not in scene.incomplete]
            for name in rng.permutation(others)[:self.absent]:
                groups[str(name)] = []
            for category, things in groups.items():
                if category not in scene.incomplete:
                    yield from self._find(path, size, category, things)
            for thing in scene.objects:
                yield from self._name(path, size, thing)

    def _check_inside(self, thing, number, path, size):
        """What reaches over a side is cut off there; an object with no point inside belongs to other pixels."""
        for rings in filter(None, ([thing.bbox], [thing.quad], thing.polygon)):
            points = np.concatenate([np.reshape(() if ring is None else ring, (-1, 2)) for ring in rings])
            if len(points) and ((points.max(0) < 0) | (points.min(0) > size)).any():
                raise ValueError(f"'{self.source}', object {number} of '{path}': a {thing.category} at "
                                 f'{np.round(points, 1).ravel().tolist()!s:.80} lies outside of the image of '
                                 f'{size[0]} x {size[1]} pixels. Is the annotation that of another image, or of this '
                                 'one at another size?')

    def _find(self, path, size, category, things):
        for task in self.tasks:
            if task not in FIND:
                continue
            shape = FIND[task]
            if shape is None:
                yield self.record(task, [path], size, Answer(count=len(things)), category=category)
                continue
            shapes = [getattr(thing, shape) for thing in things]
            if any(value is None for value in shapes):
                continue
            shapes = [value for value in shapes if len(value)]
            if shapes or not things:
                yield self.record(task, [path], size, Answer(**{ANSWERS[shape]: _stack(shapes, shape)}),
                                  category=category)

    def _name(self, path, size, thing):
        for task in self.tasks:
            shape = NAME.get(task)
            region = getattr(thing, shape) if shape else None
            if region is not None and len(region):
                yield self.record(task, [path], size, Answer(labels=[thing.category]), **{shape: region})
            elif task == 'REG_VG' and thing.text:
                yield self.record(task, [path], size, Answer(bboxes=np.reshape(thing.bbox, (1, 4))), text=thing.text)
            elif task == 'REG_CAP' and thing.text:
                yield self.record(task, [path], size, Answer(text=thing.text), bbox=thing.bbox)


def check_size(where, told, path, size):
    """Raise ValueError if an annotation file knows the image at another size, where its shapes would lie elsewhere."""
    if told != size:
        raise ValueError(f"{where} is said to have {told[0]} x {told[1]} pixels, but '{path}' has {size[0]} x "
                         f'{size[1]}.')


def _stack(shapes, shape):
    return shapes if shape == 'polygon' else np.reshape(shapes, (len(shapes), dict(bbox=4, quad=8)[shape]))
