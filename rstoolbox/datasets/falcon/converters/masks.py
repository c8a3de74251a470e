"""Masks of land cover or of instances."""

import numpy as np

from ..images import SUFFIXES, load_mask
from .listed import ListedFiles
from .objects import AnnotatedImage, AnnotatedObject, ObjectConverter
from .rings import mask_to_instances


class MaskRecords(ListedFiles, ObjectConverter):
    """A folder of masks, each named as its image (a ``suffix`` before the ending apart).

    Args:
        classes (dict): The class name of each value of a mask: a number, or a colour (r, g, b). Others are no object.
        suffix (str): What a mask's name has after its image's.
        instances (str, optional): What the name of a mask of instance numbers or colours has instead, in the same
            folder; without it each connected part of a class is an instance.
        tolerance (float): See :func:`~rstoolbox.datasets.falcon.converters.rings.mask_to_instances`.
        **kwargs: See :class:`.ListedFiles` and :class:`ObjectConverter`.
    """

    tasks = ('PIX_SEG', 'PIX_CLS')

    def __init__(self, source, images, classes, suffix='', instances=None, tolerance=1., **kwargs):
        super().__init__(source, images, **kwargs)
        self.names = {value if isinstance(value, int) else tuple(value): name for value, name in dict(classes).items()}
        self.suffix, self.instances, self.tolerance = suffix, instances, tolerance

    def classes(self):
        return sorted(set(self.names.values()))

    def scenes(self):
        files = self.files(SUFFIXES, f"mask, an image whose name ends in '{self.suffix}'", self.suffix)
        if self.instances is not None:
            beside = {self._instances_of(path) for path in files}
            files = [path for path in files if path not in beside]
        for path in files:
            image = self.image_of(path.stem.removesuffix(self.suffix), besides=path)
            if image is None:
                raise FileNotFoundError(f"The mask '{path}' has no image of its name, less '{self.suffix}', in "
                                        f"'{self.images}'.")
            mask, (width, height) = load_mask(path), self.image(image.name)[1]
            _check_size(mask, path, 'image', height, width)
            yield AnnotatedImage(image.name, list(self._objects(mask, path)))

    def _objects(self, mask, path):
        numbers = None
        if self.instances is not None:
            numbers = load_mask(self._instances_of(path))
            _check_size(numbers, self._instances_of(path), 'mask of classes', *mask.shape[:2])
            numbers = numbers.astype(np.int32)
            numbers = numbers @ np.array([1 << 16, 1 << 8, 1], np.int32) if numbers.ndim == 3 else numbers
        for value, name in self.names.items():
            for rings in mask_to_instances(_equal(mask, value), self.tolerance, numbers=numbers):
                yield AnnotatedObject(name, polygon=rings)

    def _instances_of(self, path):
        return path.with_name(path.stem.removesuffix(self.suffix) + self.instances + path.suffix)


def _check_size(mask, path, other, height, width):
    if mask.shape[:2] != (height, width):
        raise ValueError(f"The mask '{path}' has {mask.shape[1]} x {mask.shape[0]} pixels and its {other} "
                         f'{width} x {height}.')


def _equal(mask, value):
    if mask.ndim == 3:
        return (mask == value).all(axis=2)
    if isinstance(value, tuple):
        raise ValueError(f'A mask has one number a pixel, but {value} is a colour; name its classes by numbers.')
    return mask == value
