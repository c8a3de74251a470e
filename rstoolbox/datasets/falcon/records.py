"""An instruction record: no image, one or two, a prompt and its answer."""

import difflib
import re
from dataclasses import dataclass, field, fields

import pyarrow as pa

from rstoolbox.registry import HEADS

# A mark for each image, then the tag, each on a line of its own.
HEADER = re.compile(r'(?:\s*<image>[ \t]*\r?\n?)*(?:\s*\[([A-Za-z_]+)\][ \t]*\r?\n)?')
TAG = re.compile(r'\s*\[([A-Z_]+)\][ \t]*')  # on the line of the prompt
IMAGE_LINE = '<image>\n'
HALF = re.compile('[\ud800-\udfff]')  # of a character that JSON may spell in two; UTF-8 cannot hold it


@dataclass
class Record:
    """One instruction and its answer.

    Attributes:
        images (list[str]): Paths of no, one or two images (a pair of dates), as the file gives them.
        crop (list[float]): x1, y1, x2, y2 in pixels, cut out of each image; empty for the whole image.
        task (str): Task tag, e.g. ``REG_DET_HBB``; empty where the file names none.
        prompt (str): The instruction, without image marks and tag.
        answer (str): The answer as text, coordinates in bins of the (cropped) image or of the pair's canvas.
        references (list[str]): Further right answers, e.g. the other captions of an image.
        category (str): The class that is asked for; empty where none is.
    """

    images: list = field(default_factory=list)
    crop: list = field(default_factory=list)
    task: str = ''
    prompt: str = ''
    answer: str = ''
    references: list = field(default_factory=list)
    category: str = ''


SCHEMA = pa.schema([
    ('images', pa.list_(pa.string())), ('crop', pa.list_(pa.float64())), ('task', pa.string()),
    ('prompt', pa.string()), ('answer', pa.string()), ('references', pa.list_(pa.string())), ('category', pa.string())])


def parse_record(entry, where):
    """Make a :class:`Record` of a mapping in either form; ValueError beginning with ``where`` if it fits none."""
    if not isinstance(entry, dict):
        raise ValueError(f'{where} is {type(entry).__name__}, expected an object with "images" and "conversations".')
    values = dict(entry)
    if 'conversations' in values:
        values.update(_parse_conversations(values.pop('conversations'), where))
    names = [item.name for item in fields(Record)]
    if values.keys() & {'prompt', 'answer'} != {'prompt', 'answer'}:
        near = difflib.get_close_matches('conversations', entry, n=1)
        raise ValueError(f'{where} has no "conversations" and no "prompt" with "answer"'
                         + (f'; did you mean that by "{near[0]}"?' if near else f', only {sorted(entry)}.'))
    others = {str(other).lower(): other for other in values if other not in names}
    for name in names if others else ():
        near = _near(name, others)
        if near is not None and name not in values and (near != 'tag' or values['tag'] in HEADS.known_names()):
            raise ValueError(f'{where} has "{near}", which means nothing; "{name}" does.')
    record = Record(**{name: values[name] for name in names if values.get(name) is not None})
    for name in ('task', 'prompt', 'answer', 'category'):
        if not isinstance(getattr(record, name), str):
            raise ValueError(f'{where}: "{name}" is {getattr(record, name)!r}, expected text.')
    if isinstance(record.images, str):
        record.images = [record.images]
    for name in ('images', 'references'):
        value = getattr(record, name)
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise ValueError(f'{where}: "{name}" is {value!r}, expected a list of texts.')
    half = HALF.search('\n'.join([record.task, record.prompt, record.answer, record.category, *record.images,
                                  *record.references]))
    if half:
        raise ValueError(f'{where} holds {half[0]!a}, half of a character. Write the whole one, or leave it out.')
    if len(record.images) > 2:
        raise ValueError(f'{where} has {len(record.images)} images; a record has none, one, or a pair.')
    record.crop = _parse_crop(record.crop, where)
    for name in ('prompt', 'answer'):
        if not getattr(record, name).strip():
            raise ValueError(f'{where} has an empty {name}.')
        # Lines that end as on Windows are the same lines.
        setattr(record, name, getattr(record, name).replace('\r\n', '\n'))
    record.references = [text.replace('\r\n', '\n') for text in record.references]
    return record


def as_published(record):
    """A record as a mapping in the form of Falcon_SFT, with what that has no place for beside it."""
    first = (IMAGE_LINE if record.images else '') + (f'[{record.task}]\n' if record.task else '') + record.prompt
    extra = {name: getattr(record, name) for name in ('references', 'category') if getattr(record, name)}
    turns = [dict(role='user', content=first), dict(role='assistant', content=record.answer)]
    return dict(images=record.images or None, crop=record.crop, conversations=turns, **extra)


def batched(records, size):
    """Group records into Arrow record batches of ``size`` rows (the last one may be smaller)."""
    rows = []
    for record in records:
        rows.append(vars(record))
        if len(rows) == size:
            yield pa.RecordBatch.from_pylist(rows, schema=SCHEMA)
            rows = []
    if rows:
        yield pa.RecordBatch.from_pylist(rows, schema=SCHEMA)


def _parse_conversations(turns, where):
    turns = turns if isinstance(turns, list) else []
    texts = [turn.get('content') if isinstance(turn, dict) else None for turn in turns]
    if len(texts) != 2 or not all(isinstance(text, str) for text in texts):
        raise ValueError(f'{where}: "conversations" must be two objects with a text as "content", the instruction and '
                         'the answer.')
    header = HEADER.match(texts[0])
    task, end = header[1], header.end()
    inline = None if task else TAG.match(texts[0], end)
    if inline and inline[1] in HEADS.known_names():
        task, end = inline[1], inline.end()
    found = dict(prompt=texts[0][end:], answer=texts[1])
    return found | dict(task=task) if task else found


def _near(name, others):
    """The key that was probably meant by a name that is missing; those of other tools mean something else."""
    if name in ('images', 'crop'):
        near = difflib.get_close_matches(name, others, n=1, cutoff=0.85)
    else:
        near = [other for other in (name, f'{name}s', name[:-1], 'tag' if name == 'task' else name) if other in others]
    return others[near[0]] if near else None


def _parse_crop(crop, where):
    numbers = isinstance(crop, list) and all(isinstance(x, (int, float)) and not isinstance(x, bool)
                                             and abs(x) < 1 << 53 for x in crop)
    if not numbers or len(crop) not in (0, 4):
        raise ValueError(f'{where}: "crop" is {crop!r:.80}, expected [] or [x1, y1, x2, y2] in pixels.')
    if crop and not (crop[0] < crop[2] and crop[1] < crop[3]):
        raise ValueError(f'{where}: the crop {crop} is empty; expected x1 < x2 and y1 < y2.')
    return [float(value) for value in crop]
