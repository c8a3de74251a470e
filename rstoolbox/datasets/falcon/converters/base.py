"""What all converters share: which tasks, where images lie, how a record is worded."""

import os
import re
from collections import defaultdict
from pathlib import Path

from rstoolbox.heads import head_for
from rstoolbox.structures import nearest

from ..images import SUFFIXES, image_size
from ..records import Record


class Converter:
    """Records of one source; iterate over it.

    A subclass names the ``tasks`` it can give, whether its source is a ``folder``, and implements :meth:`records`.

    Args:
        source (str | Path): The annotation file or folder.
        images (str | Path): The folder of the images.
        tasks (Sequence[str], optional): Task tags to make records of; all that the source can give by default.
        root (str | Path, optional): The folder that image paths in records begin in; ``images`` by default.

    Raises:
        FileNotFoundError, ValueError: If a file or folder is missing, one is given for the other, or the source cannot
            give a task.
    """

    tasks = ()
    folder = False

    def __init__(self, source, images, tasks=None, root=None):
        self.source, self.images, self.root = Path(source), Path(images), Path(root or images)
        for path in (self.source, self.images):
            if not path.exists():
                raise FileNotFoundError(f"There is no '{path}' to make records of.")
        for path, folder in ((self.source, self.folder), (self.images, True)):
            if path.is_dir() != folder:
                kinds = ('a file', 'a folder')
                raise ValueError(f"'{path}' is {kinds[not folder]}; {type(self).__name__} reads {kinds[folder]} there.")
        for task in tasks or ():
            if task not in self.tasks:
                raise ValueError(f"{type(self).__name__} makes no records of '{task}'{nearest(task, self.tasks)}. "
                                 f'It makes: {", ".join(self.tasks)}.')
        self.tasks = tuple(tasks or self.tasks)

        self._by_stem = {}

    def __iter__(self):
        return self.records()

    def records(self):
        """Yield the records."""
        raise NotImplementedError(f'{type(self).__name__} does not implement records()')

    def image(self, name):
        """The path of an image and its (width, height); FileNotFoundError or ValueError naming it if it is missing."""
        path = self.images / name
        return path, image_size(path)

    def image_of(self, stem, folder='', besides=None):
        """The image of that name whatever its ending, or None; ``besides`` is a file that is not meant.

        ValueError naming both if there are two: nothing says whether they show the same.
        """
        if folder not in self._by_stem:
            self._by_stem[folder] = defaultdict(list)
            for path in visible(self.images / folder):
                if path.suffix.lower() in SUFFIXES:
                    self._by_stem[folder][path.stem].append(path)
        images = [path for path in self._by_stem[folder].get(stem, ())
                  if besides is None or not path.samefile(besides)]
        if len(images) > 1:
            raise ValueError(f"'{images[0]}' and '{images[1].name}' are both images of the name '{stem}', which "
                             f"'{self.source}' speaks of. Leave one out of the folder.")
        return images[0] if images else None

    def record(self, task, images, size, annotation, references=(), **slots):
        """Word one record; its prompt is the published one. ValueError naming the image if text cannot hold it."""
        head, paths = head_for(task), [_below(path, self.root) for path in images]
        try:
            prompt, answer = head.prompt(image_size=size, **slots), head.encode(annotation, size)
        except ValueError as error:
            raise ValueError(f"'{self.source}', the annotation of '{images[0]}': {error}") from None
        return Record(paths, [], task, prompt, answer, list(references), str(slots.get('category', '')))


def worded(name):
    """A class name as words in lower case, ``SeaLake`` and ``sea-lake`` as 'sea lake'."""
    return re.sub(r'[_\-\s]+', ' ', re.sub(r'(?<=[a-z])(?=[A-Z])', ' ', name)).strip().lower()


def visible(folder):
    """What lies in a folder, in order; hidden files, such as file managers leave, are nobody's data."""
    return sorted(path for path in folder.glob('*') if not path.name.startswith('.'))


def _below(path, root):
    """A path from the root on, as written or with links followed; absolute where it leads elsewhere."""
    for follow in (os.path.abspath, os.path.realpath):
        own, base = Path(follow(path)), Path(follow(root))
        if own.is_relative_to(base):
            return own.relative_to(base).as_posix()
    return str(own)
