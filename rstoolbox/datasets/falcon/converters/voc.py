"""Pascal VOC files, as DIOR and DIOR-RSVG have them too."""

from pathlib import Path
from xml.etree import ElementTree

from .base import worded
from .listed import ListedFiles
from .objects import AnnotatedImage, AnnotatedObject, ObjectConverter, check_size

KEYS = ('name', 'bndbox/xmin', 'bndbox/ymin', 'bndbox/xmax', 'bndbox/ymax')


class VocRecords(ListedFiles, ObjectConverter):
    """A folder of ``*.xml``, one for each image: ``object`` with ``name``, ``bndbox``, in DIOR-RSVG ``description``.

    Pixels are counted from 1 there, and the right and lower ones belong to the box. Classes are worded as
    :func:`~.base.worded` says. A file is about the image of its own name; where there is none, about its ``filename``.
    """

    tasks = ('REG_DET_HBB', 'REG_CLS_HBB', 'IMG_CT', 'REG_VG', 'REG_CAP')

    def scenes(self):
        for path in self.files({'.xml'}, '*.xml'):
            try:
                tree = ElementTree.parse(path).getroot()
                objects = [_object(*pair) for pair in enumerate(tree.iter('object'), 1)]
                told = tuple(int(float((tree.findtext(f'size/{side}') or '').strip() or 0))
                             for side in ('width', 'height'))
            except (ElementTree.ParseError, ValueError, OverflowError, LookupError) as error:
                raise ValueError(f"'{path}' is no VOC annotation: {error}") from None
            name = self._image_name(path, Path((tree.findtext('filename') or '').strip()).name)
            if all(told):  # some files leave the size out, or at 0
                check_size(f"'{path}': the image", told, *self.image(name))
            yield AnnotatedImage(name, objects, where=f"'{path}'")

    def _image_name(self, path, told):
        named = self.images / told if told else None
        is_there = named is not None and named.is_file()
        if is_there and named.stem == path.stem:  # of a.jpg and a.png it says which
            return told
        own = self.image_of(path.stem)
        if own is None and named is None:
            raise FileNotFoundError(f"There is no image of '{path}' in '{self.images}', and it names none.")
        if own is not None and is_there:
            raise ValueError(f"'{path}' is about '{own}' by its name and about '{named}' by its <filename>. Correct "
                             'one of them.')
        return told if own is None else own.name


def _object(number, entry):
    name, *corners = ((entry.findtext(key) or '').strip() for key in KEYS)
    if not all([name, *corners]):
        missing = KEYS[[name, *corners].index('')]
        raise ValueError(f'object {number} has no {missing}, expected {", ".join(KEYS)}.')
    left, top, right, bottom = map(float, corners)
    if right < left or bottom < top:
        raise ValueError(f'the box of object {number} goes from {left:g}, {top:g} to {right:g}, {bottom:g}, expected '
                         'xmin <= xmax and ymin <= ymax. Correct it, or leave the object out.')
    text = ' '.join((entry.findtext('description') or '').split())
    return AnnotatedObject(worded(name), bbox=[left - 1, top - 1, right, bottom], text=text)
