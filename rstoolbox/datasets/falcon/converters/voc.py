"""Pascal VOC files, as DIOR and DIOR-RSVG have them too."""

from pathlib import Path
from xml.etree import ElementTree

from .objects import AnnotatedImage, AnnotatedObject, ObjectConverter


class VocRecords(ObjectConverter):
    """A folder of ``*.xml``, one for each image: ``object`` with ``name``, ``bndbox``, in DIOR-RSVG ``description``.

    Pixels are counted from 1 there, and the right and lower ones belong to the box.
    """

    tasks = ('REG_DET_HBB', 'REG_CLS_HBB', 'IMG_CT', 'REG_VG', 'REG_CAP')
    folder = True

    def scenes(self):
        files = sorted(self.source.glob('*.xml'))
        if not files:
            raise FileNotFoundError(f"'{self.source}' holds no *.xml.")
        for path in files:
            try:
                tree = ElementTree.parse(path).getroot()
                name = tree.findtext('filename') or f'{path.stem}.jpg'
                yield AnnotatedImage(Path(name).name, [_object(entry) for entry in tree.iter('object')])
            except (ElementTree.ParseError, AttributeError, TypeError, ValueError) as error:
                raise ValueError(f"'{path}' is no VOC annotation: {error}") from None


def _object(entry):
    box = entry.find('bndbox')
    left, top, right, bottom = (float(box.findtext(key)) for key in ('xmin', 'ymin', 'xmax', 'ymax'))
    text = ' '.join((entry.findtext('description') or '').split())
    return AnnotatedObject(entry.findtext('name').strip(), bbox=[left - 1, top - 1, right, bottom], text=text)
