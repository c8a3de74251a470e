"""Masks of land cover or of instances."""

import numpy as np

from ..images import SUFFIXES, load_mask
from .listed import ListedFiles
from .objects import AnnotatedImage, AnnotatedObject, ObjectConverter
from .rings import OutlinedMasks


class MaskRecords(ListedFiles, OutlinedMasks, ObjectConverter):
    """A folder of masks, each named as its image (a ``suffix`` before the ending apart).

    A class of which an image shows nothing large enough to outline gives no record of that image.

    Args:
        classes (dict): The class name of each value of a mask: a number, or a colour (r, g, b). Others are no object.
            With ``absent`` each value has to occur in the folder: an image is asked about what others show.
        suffix (str): What a mask's name has after its image's.
        instances (str, optional): What the name of a mask of instance numbers or colours has instead, in the same
            folder; without it each connected part of a class is an instance.
        **kwargs: See :class:`.ListedFiles`, :class:`.OutlinedMasks` and :class:`ObjectConverter`.
    """

    tasks = ('PIX_SEG', 'PIX_CLS')

    def __init__(self, source, images, classes, suffix='', instances=None, **kwargs):
        super().__init__(source, images, **kwargs)
        self.names = {value if isinstance(value, int) else tuple(value): name for value, name in dict(classes).items()}
        self.suffix, self.instances = suffix, instances

    def classes(self):
        return sorted(set(self.names.values()))

    def scenes(self):
        if self.absent:
            self._check_values(self._masks(listed=False))
        for path in self._masks():
            image = self.image_of(path.stem.removesuffix(self.suffix), besides=path)
            if image is None:
                raise FileNotFoundError(f"The mask '{path}' has no image of its name, less '{self.suffix}', in "
                                        f"'{self.images}'.")
            mask, (width, height) = load_mask(path), self.image(image.name)[1]
            _check_size(mask, path, 'image', height, width)
            objects, values = self._objects(mask, self._numbers(mask, path), path)
            too_small = {self.names[value] for value in values} - {thing.category for thing in objects}
            yield AnnotatedImage(image.name, objects, too_small, f"'{path}'")

    def _masks(self, listed=True):
        files = self.files(SUFFIXES, f"mask, an image whose name ends in '{self.suffix}'", self.suffix, listed)
        beside = set() if self.instances is None else {self._instances_of(path) for path in files}
        return [path for path in files if path not in beside]

    def _check_values(self, files):
        """Read masks until each class was seen: a value that is a slip would make every image one without the class."""
        unseen = dict(self.names)
        for path in files:
            mask = load_mask(path)
            unseen = {value: name for value, name in unseen.items() if not _equal(mask, value, path).any()}
            if not unseen:
                return
        value, name = next(iter(unseen.items()))
        raise ValueError(f"The class '{name}' has the value {_written(value)}, which occurs in none of the "
                         f"{len(files)} masks of '{self.source}'. {_values_of(files)} Correct the value, or leave the "
                         'class out.')

    def _objects(self, mask, numbers, path):
        """The objects of a mask, and the values of classes that occur in it."""
        objects, values = [], set()
        for value, name in self.names.items():
            inside = _equal(mask, value, path)
            if inside.any():
                values.add(value)
                objects += [AnnotatedObject(name, polygon=rings) for rings in self.outline(inside, numbers)]
        return objects, values

    def _numbers(self, mask, path):
        """The number of the instance that each pixel belongs to; None where there are no masks of instances."""
        if self.instances is None:
            return None
        numbers = load_mask(self._instances_of(path))
        _check_size(numbers, self._instances_of(path), 'mask of classes', *mask.shape[:2])
        return _single(numbers)

    def _instances_of(self, path):
        return path.with_name(path.stem.removesuffix(self.suffix) + self.instances + path.suffix)


def _check_size(mask, path, other, height, width):
    if mask.shape[:2] != (height, width):
        raise ValueError(f"The mask '{path}' has {mask.shape[1]} x {mask.shape[0]} pixels and its {other} "
                         f'{width} x {height}.')


def _equal(mask, value, path):
    if mask.ndim == 3:
        return (mask == value).all(axis=2)
    if isinstance(value, tuple):
        raise ValueError(f"The mask '{path}' has one number a pixel, also where a palette gives it colours, but "
                         f'{value} is a colour; name its classes by numbers.')
    return mask == value


def _single(mask):
    """A single number for each pixel, also of colours."""
    mask = mask.astype(np.int32)
    return mask @ np.array([1 << 16, 1 << 8, 1], np.int32) if mask.ndim == 3 else mask


def _values_of(paths, most=20):
    """A sentence that says which values occur in masks, of many of which the first are read."""
    values = set()
    for path in paths[:most]:
        mask = load_mask(path)
        _, places = np.unique(_single(mask), return_index=True)
        values |= set(map(tuple, mask.reshape(mask.shape[0] * mask.shape[1], -1)[places].tolist()))
    first = f'The first {most}' if len(paths) > most else 'They'
    return f'{first} hold: {" ".join(map(_written, sorted(values)[:most]))}{" ..." if len(values) > most else ""}.'


def _written(value):
    """A value as the command line has it."""
    return ','.join(map(str, np.ravel(value)))
