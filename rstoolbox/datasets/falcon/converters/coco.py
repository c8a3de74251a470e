"""COCO files: boxes, and polygons where there are some."""

import numpy as np
from pycocotools import mask as run_lengths

from ..record_files import read_json
from .objects import AnnotatedImage, AnnotatedObject, ObjectConverter
from .rings import mask_to_instances


class CocoRecords(ObjectConverter):
    """``instances_*.json``: boxes ``[x, y, width, height]``, segmentations as polygons or run lengths.

    Crowds are left out: they are no single object.
    """

    tasks = ('REG_DET_HBB', 'REG_CLS_HBB', 'IMG_CT', 'PIX_SEG', 'PIX_CLS')

    def __init__(self, source, images, **kwargs):
        super().__init__(source, images, **kwargs)
        self._content = read_json(self.source, ('images', 'annotations', 'categories'))
        self._names = {entry['id']: entry['name'] for entry in self._content['categories']}

    def classes(self):
        return sorted(self._names.values())

    def scenes(self):
        scenes = {entry['id']: (AnnotatedImage(entry['file_name']), entry) for entry in self._content['images']}
        for number, entry in enumerate(self._content['annotations'], 1):
            where = f'{self.source}, annotation {number}'
            if entry.get('image_id') not in scenes or entry.get('category_id') not in self._names:
                raise ValueError(f'{where} names the image {entry.get("image_id")} and the category '
                                 f'{entry.get("category_id")}, and one of them is not in the file.')
            if entry.get('iscrowd'):
                continue
            scene, image = scenes[entry['image_id']]
            x, y, width, height = entry['bbox']
            box = np.clip([x, y, x + width, y + height], 0, [image['width'], image['height']] * 2)
            scene.objects.append(AnnotatedObject(self._names[entry['category_id']], bbox=box.tolist(),
                                                 polygon=_rings(entry.get('segmentation'), image)))
        for scene, _ in scenes.values():
            yield scene


def _rings(segmentation, image):
    if isinstance(segmentation, dict):
        if isinstance(segmentation['counts'], list):
            segmentation = run_lengths.frPyObjects(segmentation, image['height'], image['width'])
        return [ring for rings in mask_to_instances(run_lengths.decode(segmentation)) for ring in rings] or None
    return [np.reshape(ring, (-1, 2)) for ring in segmentation or () if len(ring) >= 6] or None
