"""Folders of scenes, one for each class."""

from rstoolbox.structures import Answer

from ..images import SUFFIXES
from .base import Converter, visible, worded


class SceneFolderRecords(Converter):
    """``<class>/<image>``; the class is worded as its folder's name, ``SeaLake`` and ``sea_lake`` as 'sea lake'.

    Hidden files and folders are passed over; any other folder holds images.
    """

    tasks = ('IMG_CLS',)
    folder = True

    def records(self):
        folders = [path for path in visible(self.source) if path.is_dir()]
        if not folders:
            raise FileNotFoundError(f"'{self.source}' holds no folders of images.")
        for folder in folders:
            images = [path for path in visible(folder) if path.suffix.lower() in SUFFIXES]
            if not images:
                raise FileNotFoundError(f"'{folder}' holds no image, and would be a class without one. Images end in "
                                        f'{", ".join(sorted(SUFFIXES))} and lie in the folder itself. Move it '
                                        'elsewhere if it is no class.')
            for path in images:
                yield self.record('IMG_CLS', [path], None, Answer(labels=[worded(folder.name)]))
