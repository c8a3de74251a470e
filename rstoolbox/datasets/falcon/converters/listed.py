"""Sources of a file for each image, all of them or those that a list names."""

from pathlib import Path

from rstoolbox.structures import nearest


class ListedFiles:
    """Mix-in of converters whose source is a folder with a file for each image.

    Args:
        names (str | Path, optional): A text file that begins each line with the name of an image, with or without its
            ending, as the splits of VOC and DIOR (``ImageSets/Main/train.txt``) do; all images by default.
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
            FileNotFoundError: If there is none, or none for a name of the list.
        """
        files = sorted(path for path in self.source.iterdir()
                       if path.suffix.lower() in suffixes and path.stem.endswith(suffix))
        if not files:
            raise FileNotFoundError(f"'{self.source}' holds no {what}.")
        return files if self.list is None or not listed else list(self._listed(files, suffix))

    def _listed(self, files, suffix):
        known = {path.stem.removesuffix(suffix): path for path in files}
        lines = self.list.read_text(encoding='utf-8-sig', errors='replace').splitlines()
        for number, words in enumerate(map(str.split, lines), 1):
            if words:
                path = known.get(words[0], known.get(Path(words[0]).stem))
                if path is None:
                    raise FileNotFoundError(f"{self.list}, line {number}: '{self.source}' has no file of the image "
                                            f"'{words[0]}'{nearest(words[0], known)}.")
                yield path
