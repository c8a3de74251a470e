"""What is wrong with records and their images, found before a training does."""

from dataclasses import dataclass, field
from pathlib import Path

from rstoolbox.heads import head_for
from rstoolbox.heads.grammar import IMAGE, STRUCTURE

from .images import image_size, whole_crop
from .record_files import read_entries
from .record_store import RecordStore


@dataclass
class Report:
    """How many records and different images were read, how much is wrong, and a text for each of the first of it."""

    records: int = 0
    images: int = 0
    found: int = 0
    findings: list = field(default_factory=list)


def verify_records(path, image_root, other=None, progress=iter, most=None):
    """Read every record and the header of every image.

    Args:
        path (str | Path): A file of records or a store.
        image_root (str | Path): The folder that image paths begin in.
        other (str | Path, optional): The records of another split; an image that both have is a finding.
        progress (Callable): Wraps the records, e.g. in a progress bar.
        most (int, optional): So many findings are kept, and of the others their number; by default all.

    Returns:
        Report: A record that is wrong in itself is a finding, and those behind it are read; so is a file that breaks
        off in the middle, of which nothing behind can be read.
    """
    report, sizes = Report(), {}

    def add(*texts):
        report.found += len(texts)
        report.findings += texts if most is None else texts[:most - len(report.findings)]

    elsewhere = {image for record in open_records(other) if not isinstance(record, ValueError)
                 for image in record.images} if other else set()
    try:
        for number, record in enumerate(progress(open_records(path)), 1):
            report.records = number
            if isinstance(record, ValueError):
                add(str(record))
                continue
            where = f'record {number}'
            add(*(f'{where}: {text}' for text in _check(record, Path(image_root), sizes)),
                *(f'{where}: {image} is an image of {other} too' for image in record.images if image in elsewhere))
    except ValueError as error:
        add(str(error))
    report.images = len(sizes)
    return report


def open_records(path):
    """The records of a file or a store; a ValueError in place of one that is wrong."""
    return RecordStore(path) if Path(path).suffix == '.arrow' else read_entries(path)


def _check(record, root, sizes):
    yield from _check_text(record)
    for image in record.images:
        if image not in sizes:
            try:
                sizes[image] = image_size(root / image)
            except (OSError, ValueError) as error:
                sizes[image] = str(error)
        if isinstance(sizes[image], str):
            yield sizes[image]
            continue
        try:
            whole_crop(record.crop, sizes[image], image)
        except ValueError as error:
            yield str(error)
    pair = [sizes[image] for image in record.images if not isinstance(sizes[image], str)]
    if len(pair) == 2 and pair[0] != pair[1]:
        yield '{} is {} x {} and {} is {} x {} pixels; a pair has one size'.format(
            record.images[0], *pair[0], record.images[1], *pair[1])


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
