"""Sources of a file for each image, all of them or those that a list names."""

from pathlib import Path

from rstoolbox.structures import nearest

from ..images import SUFFIXES
from .base import visible


class ListedFiles:
    """Mix-in of converters whose source is a folder with a file for each image.

    Args:
        names (str | Path, optional): A text file that begins each line with the name of an image, with or without its
            ending, as the splits of VOC and DIOR (``ImageSets/Main/train.txt``) do; all images by default. One that
            is named again counts once.
        **kwargs: See :class:`Converter`.
    """

    folder = True

    def __init__(self, *args, names=None, **kwargs):
        super().__init__(*args, **kwargs)
        self.list = None if names is None else Path(names)
        if names is not None and not self.list.is_file():
            raise FileNotFoundError(f"There is no list of images '{names}'.")

    def files(self, suffixes, what, suffix='', listed=True):
        """The files of the source in their order.

        Args:
            suffixes (set[str]): The endings that they may have.
            what (str): What they are, for the message where there is none.
            suffix (str): What their names have after those of their images.
            listed (bool): Only those of the list, where there is one.

        Raises:
            FileNotFoundError, ValueError: If there is none, none for a name of the list, or two of one image.
        """
        known = {}
        for path in visible(self.source):
            if path.suffix.lower() in suffixes and path.stem.endswith(suffix):
                first = known.setdefault(path.stem.removesuffix(suffix), path)
                if first is not path:
                    raise ValueError(f"'{first}' and '{path.name}' are both of the image "
                                     f"'{path.stem.removesuffix(suffix)}'. Leave one out of the folder.")
        if not known:
            raise FileNotFoundError(f"'{self.source}' holds no {what}.")
        listed = listed and self.list is not None
        return list(dict.fromkeys(self._listed(known, suffixes)) if listed else known.values())

    def _listed(self, known, suffixes):
        lines = self.list.read_text(encoding='utf-8-sig', errors='replace').splitlines()
        for number, words in enumerate(map(str.split, lines), 1):
            if words:
                name = Path(words[0])
                # Of a.v2 and a.v3 the ending is part of the name.
                stem = name.stem if name.suffix.lower() in SUFFIXES | suffixes else name.name
                path = known.get(name.name, known.get(stem))
                if path is None:
                    raise FileNotFoundError(f"{self.list}, line {number}: '{self.source}' has no file of the image "
                                            f"'{words[0]}'{nearest(words[0], known)}.")
                yield path
