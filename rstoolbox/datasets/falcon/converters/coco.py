"""COCO files: boxes, and polygons where there are some."""

import numpy as np
from pycocotools import mask as run_lengths

from ..record_files import check_keys, read_lists
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
        self._entries, self._annotations, categories = read_lists(self.source, 'images', 'annotations', 'categories')
        for number, entry in enumerate(categories, 1):
            check_keys(entry, ('id', 'name'), f'{self.source}, category {number}')
        self._names = {entry['id']: entry['name'] for entry in categories}

    def classes(self):
        return sorted(self._names.values())

    def scenes(self):
        scenes = dict(self._images())
        for number, entry in enumerate(self._annotations, 1):
            where = f'{self.source}, annotation {number}'
            if entry.get('image_id') not in scenes or entry.get('category_id') not in self._names:
                raise ValueError(f'{where} names the image {entry.get("image_id")} and the category '
                                 f'{entry.get("category_id")}, and one of them is not in the file.')
            (scene, size), category = scenes[entry['image_id']], self._names[entry['category_id']]
            if entry.get('iscrowd'):
                scene.incomplete.add(category)
                continue
            try:
                x, y, width, height = map(float, entry['bbox'])
                box = [x, y, x + width, y + height]
                rings = self._rings(entry.get('segmentation'), size)
            except (KeyError, TypeError, ValueError) as error:
                raise ValueError(f'{where} has no "bbox" of four numbers, or a "segmentation" that is neither polygons '
                                 f'[[x, y, x, y, ...]] nor run lengths ({type(error).__name__}: {error}).') from None
            if width <= 0 or height <= 0:
                raise ValueError(f'{where} has a "bbox" that is {width:g} wide and {height:g} high, expected [x, y, '
                                 'width, height] with both above 0. Correct it, or leave the annotation out.')
            scene.objects.append(AnnotatedObject(category, bbox=box, polygon=rings))
        for scene, _ in scenes.values():
            yield scene

    def _images(self):
        for number, entry in enumerate(self._entries, 1):
            check_keys(entry, ('id', 'file_name'), f'{self.source}, image {number}')
            path, size = self.image(entry['file_name'])
            told = tuple(entry.get(key, side) for key, side in zip(('width', 'height'), size))
            check_size(f'{self.source}, image {number}', told, path, size)
            yield entry['id'], (AnnotatedImage(entry['file_name']), size)

    def _rings(self, segmentation, size):
        if not segmentation or segmentation == [[]]:
            return None
        if not isinstance(segmentation, dict):
            return [np.reshape(ring, (-1, 2)) for ring in segmentation if len(ring) >= 6]  # others cover no pixel
        if tuple(segmentation['size']) != size[::-1]:  # its pixels would lie elsewhere
            raise ValueError(f'run lengths of {segmentation["size"]} pixels high and wide for an image of '
                             f'{[*size[::-1]]}')
        if isinstance(segmentation['counts'], list):
            segmentation = run_lengths.frPyObjects(segmentation, size[1], size[0])
        mask = run_lengths.decode(segmentation)
        return [ring for rings in self.outline(mask) for ring in rings] if mask.any() else None
