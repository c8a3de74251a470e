"""Folders of scenes, one for each class."""

from rstoolbox.structures import Answer

from ..images import SUFFIXES
from .base import Converter, worded


class SceneFolderRecords(Converter):
    """``<class>/<image>``; the class is worded as its folder's name, ``SeaLake`` and ``sea_lake`` as 'sea lake'."""

    tasks = ('IMG_CLS',)
    folder = True

    def records(self):
        found = 0
        for folder in sorted(path for path in self.source.iterdir() if path.is_dir()):
            for path in sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES):
                found += 1
                yield self.record('IMG_CLS', [path], None, Answer(labels=[worded(folder.name)]))
        if not found:
            raise FileNotFoundError(f"'{self.source}' holds no folders of images.")
