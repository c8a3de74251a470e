"""DOTA's text files of oriented boxes."""

from .base import worded
from .listed import ListedFiles
from .objects import AnnotatedImage, AnnotatedObject, ObjectConverter


class DotaRecords(ListedFiles, ObjectConverter):
    """A folder ``labelTxt`` of ``<image>.txt``, after two header lines ``x1 y1 x2 y2 x3 y3 x4 y4 class difficult``.

    The last may be missing; a class is no number. Classes are worded: ``small-vehicle`` as 'small vehicle'.
    """

    tasks = ('REG_DET_OBB', 'REG_CLS_OBB', 'IMG_CT')

    def scenes(self):
        for path in self.files({'.txt'}, '*.txt'):
            image = self.image_of(path.stem)
            if image is None:
                raise FileNotFoundError(f"There is no image of '{path}' in '{self.images}'.")
            yield AnnotatedImage(image.name, list(_read(path)), where=f"'{path}'")


def _read(path):
    try:
        lines = path.read_text(encoding='utf-8-sig').splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f'{path} is not text in UTF-8 ({error}).') from None
    for line, text in enumerate(lines, 1):
        parts = text.split()
        if not parts or parts[0].startswith(('imagesource:', 'gsd:')):
            continue
        # YOLO's lines have nine numbers too, the class before the corners: all would be read one place off.
        if [_is_number(part) for part in parts] not in ([True] * 8 + [False], [True] * 8 + [False, True]):
            raise ValueError(f'{path}, line {line}: expected eight numbers, a class without a blank (small-vehicle) '
                             'that is no number, and the number that says whether it is difficult (x1 y1 x2 y2 x3 y3 '
                             f"x4 y4 small-vehicle 0), found '{text}'.")
        yield AnnotatedObject(worded(parts[8]), quad=[float(part) for part in parts[:8]])


def _is_number(text):
    try:
        float(text)
    except ValueError:
        return False
    return True
