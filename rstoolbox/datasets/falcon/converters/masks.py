"""Masks of land cover or of instances."""

import numpy as np
from PIL import Image

from ..images import SUFFIXES, image_size, load_image
from .objects import AnnotatedImage, AnnotatedObject, ObjectConverter
from .rings import mask_to_instances


class MaskRecords(ObjectConverter):
    """A folder of masks, each named as its image (a ``suffix`` before the ending apart).

    Args:
        classes (dict): The class name of each value of a mask: a number, or a colour (r, g, b). Others are no object.
        suffix (str): What a mask's name has after its image's.
        instances (str, optional): What the name of a mask of instance numbers or colours has instead, in the same
            folder; without it each connected part of a class is an instance.
        tolerance (float): See :func:`~rstoolbox.datasets.falcon.converters.rings.mask_to_instances`.
        **kwargs: See :class:`ObjectConverter`.
    """

    tasks = ('PIX_SEG', 'PIX_CLS')
    folder = True

    def __init__(self, source, images, classes, suffix='', instances=None, tolerance=1., **kwargs):
        super().__init__(source, images, **kwargs)
        self.names = {value if isinstance(value, int) else tuple(value): name for value, name in dict(classes).items()}
        self.suffix, self.instances, self.tolerance = suffix, instances, tolerance

    def classes(self):
        return sorted(set(self.names.values()))

    def scenes(self):
        files = sorted(path for path in self.source.iterdir()
                       if path.stem.endswith(self.suffix) and path.suffix.lower() in SUFFIXES)
        if not files:
            raise FileNotFoundError(f"'{self.source}' holds no mask, an image whose name ends in '{self.suffix}'.")
        for path in files:
            image = self.image_of(path.stem.removesuffix(self.suffix), besides=path)
            if image is None:
                raise FileNotFoundError(f"The mask '{path}' has no image of its name, less '{self.suffix}', in "
                                        f"'{self.images}'.")
            mask = _values(path)
            size = self.image(image.name)[1]
            if mask.shape[:2] != size[::-1]:
                raise ValueError(f"The mask '{path}' has {mask.shape[1]} x {mask.shape[0]} pixels and its image "
                                 f'{size[0]} x {size[1]}.')
            yield AnnotatedImage(image.name, list(self._objects(mask, path)))

    def _objects(self, mask, path):
        instances = None
        if self.instances is not None:
            stem = path.stem.removesuffix(self.suffix) + self.instances
            instances = _values(path.with_name(stem + path.suffix))
        for value, name in self.names.items():
            region = _equal(mask, value)
            if instances is None:
                parts = mask_to_instances(region, self.tolerance)
            else:
                parts = [[ring for rings in mask_to_instances(region & _equal(instances, number), self.tolerance)
                          for ring in rings] for number in _unique(instances[region])]
            yield from (AnnotatedObject(name, polygon=rings) for rings in parts if rings)


def _values(path):
    image_size(path)  # says what is wrong with the file
    with Image.open(path) as image:
        if image.mode in ('RGB', 'RGBA'):
            return load_image(path)
        return np.asarray(image).astype(np.int64)


def _equal(mask, value):
    if mask.ndim == 3:
        return (mask == value).all(axis=2)
    if isinstance(value, tuple):
        raise ValueError(f'A mask has one number a pixel, but {value} is a colour; name its classes by numbers.')
    return mask == value


def _unique(values):
    return [tuple(row) if values.ndim == 2 else row for row in np.unique(values, axis=0)]
