"""What is wrong with records and their images, found before a training does."""

import os
from dataclasses import dataclass, field
from pathlib import Path

from rstoolbox.heads import head_for
from rstoolbox.heads.grammar import IMAGE, STRUCTURE
from rstoolbox.heads.shapes import RegionSlot
from rstoolbox.registry import HEADS

from .images import image_size, whole_crop
from .record_files import at_least_one, read_entries
from .record_store import RecordStore


@dataclass
class Report:
    """How many records and different images were read, how much is wrong, and a text for each of the first of it.

    ``unclassed`` records ask for a class in a wording that is not known, and name it nowhere else.
    """

    records: int = 0
    images: int = 0
    unclassed: int = 0
    found: int = 0
    findings: list = field(default_factory=list)


def verify_records(path, image_root, other=None, progress=iter, most=None):
    """Read every record and the header of every image.

    Args:
        path (str | Path): A file of records or a store.
        image_root (str | Path): The folder that image paths begin in.
        other (str | Path | Sequence, optional): The records of another split, or of several; an image that they have
            too is a finding, and so is a record of theirs that is wrong in itself.
        progress (Callable): Wraps the records, e.g. in a progress bar.
        most (int, optional): So many findings are kept, and of the others their number; by default all.

    Returns:
        Report: A record that is wrong in itself is a finding, and those behind it are read; so is a file that breaks
        off in the middle, of which nothing behind can be read, and one without a record.
    """
    report, sizes, elsewhere = Report(), {}, {}

    def add(*texts):
        report.found += len(texts)
        report.findings += texts if most is None else texts[:most - len(report.findings)]

    for file in [other] if isinstance(other, (str, Path)) else other or ():
        for _, record in _numbered(file):
            if isinstance(record, ValueError):
                add(str(record))
            else:
                elsewhere |= {_path(image_root, image): file for image in record.images}
    for report.records, record in _numbered(path, progress):
        if isinstance(record, ValueError):
            add(str(record))
            continue
        where = f'record {report.records}'
        report.unclassed += _hides_its_class(record)
        add(*(f'{where}: {text}' for text in _check(record, image_root, sizes)),
            *(f'{where}: {image} is an image of {elsewhere[_path(image_root, image)]} too' for image in record.images
              if _path(image_root, image) in elsewhere))
    report.images = len(sizes)
    return report


def _numbered(path, progress=iter):
    """Numbers and records of a file or a store; a ValueError in place of a record, or a file, that is wrong."""
    number = 0
    try:
        records = RecordStore(path) if Path(path).suffix == '.arrow' else read_entries(path)
        for number, record in enumerate(at_least_one(progress(records), path), 1):
            yield number, record
    except ValueError as error:
        yield number, error


def _path(root, image):
    """One name for each image, however records spell it."""
    return os.path.abspath(os.path.join(root, image))


def _check(record, root, sizes):
    yield from _check_text(record)
    found = []
    for image in record.images:
        path = _path(root, image)
        if path not in sizes:
            try:
                sizes[path] = image_size(Path(root, image))
            except (OSError, ValueError) as error:
                sizes[path] = str(error)
        found.append(sizes[path])
        if isinstance(sizes[path], str):
            yield sizes[path]
            continue
        try:
            whole_crop(record.crop, sizes[path], image)
        except ValueError as error:
            yield str(error)
    pair = [size for size in found if not isinstance(size, str)]
    if len(pair) == 2 and pair[0] != pair[1]:
        yield '{} is {} x {} and {} is {} x {} pixels; a pair has one size'.format(
            record.images[0], *pair[0], record.images[1], *pair[1])


def _hides_its_class(record):
    if record.category or record.task not in HEADS.module_dict:
        return False
    head = head_for(record.task)
    return 'category' in head.slots and head.read_prompt(record.prompt) is None


def _check_text(record):
    """What a training would stop at, or learn nothing of, but for the images."""
    for name in ('prompt', 'answer'):
        found = [token for token in (*STRUCTURE, IMAGE) if token in getattr(record, name)]
        if found:
            yield f"its {name} contains '{found[0]}', which is a special token"
    if not record.images:
        yield 'it has no image, and the model answers about images'
        return
    if not record.task:
        return
    try:
        head = head_for(record.task)
    except KeyError as error:
        yield str(error)
        return
    if len(record.images) != head.num_images:
        yield f'it has {len(record.images)} image(s), and {record.task} is about {head.num_images}'
    if head.decode(record.answer, (1, 1)).failures:  # what can be read does not depend on the size
        yield f'its answer cannot be read as one of {record.task}: {record.answer!r:.80}'
    if isinstance(head, RegionSlot) and head.region(record.prompt, (1, 1)) is None:
        yield f'its prompt names no region that can be read, or several, for {record.task}: {record.prompt!r:.80}'
