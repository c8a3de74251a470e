"""DOTA's text files of oriented boxes."""

from .base import worded
from .listed import ListedFiles
from .objects import AnnotatedImage, AnnotatedObject, ObjectConverter


class DotaRecords(ListedFiles, ObjectConverter):
    """A folder ``labelTxt`` of ``<image>.txt``, after two header lines ``x1 y1 x2 y2 x3 y3 x4 y4 class difficult``.

    The last may be missing. Classes are worded: ``small-vehicle`` as 'small vehicle'.
    """

    tasks = ('REG_DET_OBB', 'REG_CLS_OBB', 'IMG_CT')

    def scenes(self):
        for path in self.files({'.txt'}, '*.txt'):
            image = self.image_of(path.stem)
            if image is None:
                raise FileNotFoundError(f"There is no image of '{path}' in '{self.images}'.")
            yield AnnotatedImage(image.name, list(_read(path)))


def _read(path):
    try:
        lines = path.read_text(encoding='utf-8-sig').splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f'{path} is not text in UTF-8 ({error}).') from None
    for line, text in enumerate(lines, 1):
        parts = text.split()
        if not parts or parts[0].startswith(('imagesource:', 'gsd:')):
            continue
        try:
            name, numbers = parts[8], [float(part) for part in parts[:8] + parts[9:]]
        except (ValueError, IndexError):
            numbers = []
        if len(numbers) not in (8, 9):
            raise ValueError(f'{path}, line {line}: expected eight numbers, a class without a blank (small-vehicle) '
                             f"and the number that says whether it is difficult, found '{text}'.")
        yield AnnotatedObject(worded(name), quad=numbers[:8])
