"""COCO files: boxes, and polygons where there are some."""

import numpy as np
from pycocotools import mask as run_lengths

from ..record_files import read_lists
from .base import worded
from .keys import by_key, check_text, is_key
from .objects import AnnotatedImage, AnnotatedObject, ObjectConverter, check_size
from .rings import OutlinedMasks


class CocoRecords(OutlinedMasks, ObjectConverter):
    """``instances_*.json``: boxes ``[x, y, width, height]``, segmentations as polygons or run lengths.

    A crowd is no single object: it is left out, and so are the records of the image that speak of all objects of its
    class. Polygons are taken as they are; ``tolerance`` and ``smallest`` are about run lengths.
    """

    tasks = ('REG_DET_HBB', 'REG_CLS_HBB', 'IMG_CT', 'PIX_SEG', 'PIX_CLS')

    def __init__(self, source, images, **kwargs):
        super().__init__(source, images, **kwargs)
        images, self._annotations, categories = read_lists(self.source, 'images', 'annotations', 'categories')
        self._entries = by_key(enumerate(images, 1), 'id', f'{self.source}, image')
        categories = by_key(enumerate(categories, 1), 'id', f'{self.source}, category')
        for number, entry in enumerate(categories.values(), 1):
            check_text(entry, 'name', f'{self.source}, category {number}')
        self._names = {key: worded(entry['name']) for key, entry in categories.items()}

    def classes(self):
        return sorted(set(self._names.values()))  # two ids of one name are one class

    def scenes(self):
        scenes = dict(self._images())
        for number, entry in enumerate(self._annotations, 1):
            where = f'{self.source}, annotation {number}'
            if not (_is_in(scenes, entry.get('image_id')) and _is_in(self._names, entry.get('category_id'))):
                raise ValueError(f'{where} names the image {entry.get("image_id")} and the category '
                                 f'{entry.get("category_id")}, and one of them is not in the file.')
            (scene, size), category = scenes[entry['image_id']], self._names[entry['category_id']]
            if entry.get('iscrowd'):
                scene.incomplete.add(category)
                continue
            try:
                x, y, width, height = map(float, [] if isinstance(entry['bbox'], str) else entry['bbox'])
                box = [x, y, x + width, y + height]
                rings = self._rings(entry.get('segmentation'), size)
            except (KeyError, TypeError, ValueError, OverflowError) as error:
                raise ValueError(f'{where} has no "bbox" of four numbers, or a "segmentation" that is neither polygons '
                                 f'[[x, y, x, y, ...]] nor run lengths ({type(error).__name__}: {error}).') from None
            if width <= 0 or height <= 0:
                raise ValueError(f'{where} has a "bbox" that is {width:g} wide and {height:g} high, expected [x, y, '
                                 'width, height] with both above 0. Correct it, or leave the annotation out.')
            scene.objects.append(AnnotatedObject(category, bbox=box, polygon=rings))
        for scene, _ in scenes.values():
            yield scene

    def _images(self):
        for number, (key, entry) in enumerate(self._entries.items(), 1):
            where = f'{self.source}, image {number}'
            check_text(entry, 'file_name', where)
            path, size = self.image(entry['file_name'])
            check_size(where, tuple(entry.get(name, side) for name, side in zip(('width', 'height'), size)), path, size)
            yield key, (AnnotatedImage(entry['file_name'], where=where), size)

    def _rings(self, segmentation, size):
        if not segmentation or not any(segmentation):
            return None
        if not isinstance(segmentation, dict):
            return _polygons(segmentation)
        if tuple(segmentation['size']) != size[::-1]:  # its pixels would lie elsewhere
            raise ValueError(f'run lengths of {segmentation["size"]} pixels high and wide for an image of '
                             f'{[*size[::-1]]}')
        mask = _mask(segmentation['counts'], *size)
        return [ring for rings in self.outline(mask) for ring in rings] if mask.any() else None


def _is_in(entries, key):
    return is_key(key) and key in entries


def _polygons(rings):
    """Rings (K, 2); those of one or two points cover no pixel and are left out."""
    rings = [np.asarray(ring, float) for ring in rings]
    for number, ring in enumerate(rings, 1):
        if ring.ndim != 1 or ring.size % 2:
            raise ValueError(f'ring {number} is no flat list of pairs')
    if max(ring.size for ring in rings) == 2:  # [[x, y], [x, y], ...]
        raise ValueError('each ring is a single point')
    return [ring.reshape(-1, 2) for ring in rings if ring.size >= 6]


def _mask(counts, width, height):
    """Run lengths as pixels; ValueError unless they fill the image: pycocotools leaves the rest as memory was."""
    pixels = width * height
    if isinstance(counts, list):
        if not all(isinstance(count, int) and count >= 0 for count in counts) or sum(counts) != pixels:
            raise ValueError(f'run lengths that are no whole numbers from 0 on with the sum {pixels}')
        return run_lengths.decode(run_lengths.frPyObjects(dict(size=[height, width], counts=counts), height, width))
    mask = run_lengths.decode(dict(size=[height, width], counts=counts))  # refuses what is too long
    try:
        run_lengths.decode(dict(size=[1, pixels - 1], counts=counts))
    except ValueError:
        return mask
    raise ValueError(f'run lengths of fewer than {pixels} pixels')  # one pixel less would hold them as well
