r"""Predictions in a file: JSON lines of this toolbox, and the result file of the published inference script.

A line of ours is one record::

    {"task": "REG_DET_HBB", "image": "P0706.png", "size": [1024, 512], "category": "ship",
     "question": "Detect all ship in the image.\nUse horizontal bounding boxes.",
     "answer": "<box><381><897><504><999></box>", "scores": [0.8], "gt": "<box><380><890><510><999></box>"}

``answer`` and ``gt`` are text as the model writes it; ``size`` is (width, height) of the image, of a single one for a
change; ``scores`` has one confidence for each object; ``references`` are further right texts of a caption or an answer.
Only ``task``, ``answer`` and ``gt`` are required, and ``size`` for masks; ``image`` may be a list, and records of one
image that differ in ``crop`` are of different images. Without ``category`` the class is read from the question.

The published file is ``{"info": {"task": ..}, "data": [record, ..]}``. There ``answer`` and ``gt`` may also be lists:
boxes in bins, polygons in pixels (of the canvas of both images for a change, as is ``size``); ``crop`` tells the size
where ``size`` is missing.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from mmengine.logging import MMLogger

from rstoolbox.heads import head_for
from rstoolbox.heads.grammar import format_boxes, format_quads
from rstoolbox.structures import Answer, nearest
from rstoolbox.structures.files import open_whole

from .record import ScoredRecord, check_task

REQUIRED = ('task', 'answer', 'gt')
BOXES = dict(REG_DET_HBB=(format_boxes, 4), REG_VG=(format_boxes, 4), REG_DET_OBB=(format_quads, 8))
MASK_TASKS = ('PIX_SEG', 'PIX_CHG')
# Without a size a bin counts as a pixel. Overlaps do not depend on the size.
BINS_AS_PIXELS = (1000, 1000)


def write_dump(lines, path):
    """Write records, one JSON line each, as they come; the file appears whole or not at all.

    Args:
        lines (Iterable[dict]): Records in the form above.
        path (str | Path): The file.

    Raises:
        ValueError: If a record lacks a key or names an unknown task; with its number.
        OSError: If it cannot be written.
    """
    with open_whole(path) as file:
        for number, line in enumerate(lines, 1):
            _check_keys(line, f'Record {number}')
            file.write(json.dumps(line, ensure_ascii=False).encode() + b'\n')


def read_dump(path):
    """Read a dump of either form, record by record.

    Args:
        path (str | Path): The file.

    Yields:
        ScoredRecord: What to score.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is of neither form or a record is not sound; with its line or record number and the key.
    """
    seen, again = set(), 0
    for record in _read(Path(path)):
        outlines = tuple(ring.tobytes() for rings in record.truth.polygons for ring in rings)
        key = hash((record.task, record.image_id, record.category, record.prompt, record.truth.text, outlines))
        if record.image_id is not None and '_CAP' not in record.task:  # five captions of an image may be alike
            again += key in seen
            seen.add(key)
        yield record
    if again:
        MMLogger.get_current_instance().warning(
            f'{path}: {again} records say the same of task, image, question and truth as one before; all are scored. '
            'Were files joined that overlap?')


def _read(path):
    if not path.is_file():
        raise FileNotFoundError(f"There is no file of predictions at '{path}'.")
    try:
        with path.open(encoding='utf-8-sig') as file:
            if _has_json_line(file):
                for number, line in enumerate(file, 1):
                    if line.strip():
                        place = f'{path}, line {number}'
                        yield _record(_parsed(line, place), place)
            else:
                yield from _published(_parsed(file.read(), f'{path} holds no JSON lines, and as a whole'), path)
    except UnicodeDecodeError as error:
        raise ValueError(f'{path} is not text in UTF-8 ({error}).') from None


def category_of(task, question):
    """Return the class that a prompt asks for, in any wording of its head; None where it asks for none."""
    return (head_for(task).read_prompt(question) or {}).get('category')


def _has_json_line(file):
    first = next((line for line in file if line.strip()), '')
    file.seek(0)
    try:
        content = json.loads(first)
    except ValueError:
        return False
    return isinstance(content, dict) and 'data' not in content


def _parsed(text, place):
    try:
        return json.loads(text)
    except ValueError as error:
        raise ValueError(f'{place}: this is no JSON ({error}).') from None


def _published(content, path):
    if not isinstance(content, dict) or not isinstance(content.get('data'), list) \
            or not isinstance(content.get('info'), dict):
        raise ValueError(f'{path} is no file of predictions: expected a record on each line, or one object with info '
                         'and data.')
    for number, line in enumerate(content['data'], 1):
        place = f'{path}, record {number}'
        if isinstance(line, Mapping):
            line = {'task': content['info'].get('task'), **line}
        yield _record(line, place, published=True)


def _check_keys(line, place):
    if not isinstance(line, Mapping):
        raise ValueError(f'{place}: a record is an object with {", ".join(REQUIRED)}, got {type(line).__name__}.')
    for key in REQUIRED:
        if line.get(key) is None:
            others = [name for name in line if name not in REQUIRED]
            raise ValueError(f"{place} has no '{key}'{nearest(key, others, 0.6)}. A record needs "
                             f'{", ".join(REQUIRED)}.')
    for key in ('question', 'category'):
        if not isinstance(line.get(key), (str, type(None))):
            raise ValueError(f"{place}, key '{key}': expected text, got {line[key]!r:.60}.")
    images = line.get('image') if isinstance(line.get('image'), list) else [line.get('image') or '']
    if not all(isinstance(image, str) for image in images):
        raise ValueError(f"{place}, key 'image': expected a path or a list of them, got {line['image']!r:.60}.")
    try:
        check_task(line['task'])
    except ValueError as error:
        raise ValueError(f"{place}, key 'task': {error}") from None


def _on_canvas(line, published):
    """Whether polygons lie on the canvas: lists do, and text, which is read as of a frame, then lies in the first."""
    return published and line['task'] == 'PIX_CHG' and any(isinstance(line[key], list) for key in ('gt', 'answer'))


def _record(line, place, published=False):
    _check_keys(line, place)
    task, question = line['task'], line.get('question') or ''
    frame, on_canvas = _frame(line, place, published), _on_canvas(line, published)
    if head_for(task).scored_as == 'masks' and frame is None:
        raise ValueError(f"{place} has no 'size', and masks are drawn on the image: give [width, height] in pixels.")
    truth, prediction = (_answer(task, line[key], frame or BINS_AS_PIXELS, f"{place}, key '{key}'")
                         for key in ('gt', 'answer'))
    prediction.scores = _scores(line.get('scores'), prediction, place)
    size = tuple(2 * side for side in frame) if on_canvas else frame or BINS_AS_PIXELS
    try:
        return ScoredRecord(task, prediction, truth, size, line.get('category') or category_of(task, question),
                            _image_id(line), question, _references(line, place), on_canvas)
    except ValueError as error:
        raise ValueError(f'{place}: {error}') from None


def _image_id(line):
    """What is cut out of an image at two places shares neither its objects nor its captions."""
    image = ' '.join(line['image']) if isinstance(line.get('image'), list) else line.get('image')
    return f'{image} {line["crop"]}' if image and line.get('crop') else image


def _references(line, place):
    references = line.get('references') or ()
    if not isinstance(references, (list, tuple)) or not all(isinstance(text, str) for text in references):
        raise ValueError(f"{place}, key 'references': expected a list of texts, got {str(references)[:60]}.")
    return references


def _frame(line, place, published):
    """Size of a single image: of the published canvas, half."""
    size, crop = line.get('size'), line.get('crop')
    if size is None and crop:
        try:
            left, top, right, bottom = crop
            size = int(right - left), int(bottom - top)
        except (TypeError, ValueError, OverflowError):
            size = 0, 0
        if min(size) < 1:
            raise ValueError(f"{place}, key 'crop': expected [x1, y1, x2, y2] in pixels, x1 < x2 and y1 < y2, got "
                             f'{crop!r:.60}.')
        return size
    if size is None:
        return None
    halves = 2 if published and line['task'] == 'PIX_CHG' else 1
    if not isinstance(size, (list, tuple)) or len(size) != 2 or not all(
            isinstance(side, int) and side > 0 and side % halves == 0 for side in size):
        raise ValueError(f"{place}, key 'size': expected [width, height] in whole pixels"
                         + (', even on the canvas of two images' if halves == 2 else '') + f', got {size!r}.')
    return size[0] // halves, size[1] // halves


def _answer(task, value, size, place):
    if value == [] and task in (*BOXES, *MASK_TASKS):
        return Answer()
    if isinstance(value, list) and task in BOXES:
        value = _boxes_as_text(value, *BOXES[task], place)
    elif isinstance(value, list) and task in MASK_TASKS:
        return Answer(polygons=_polygons(value, place))
    if not isinstance(value, str):
        raise ValueError(f'{place}: the answer of {task} is text, got {type(value).__name__} {str(value)[:60]}.')
    answer = head_for(task).decode(value, size)
    answer.text = value  # as the model wrote it, for the published evaluator
    return answer


def _boxes_as_text(boxes, write, length, place):
    for box in boxes:
        if not isinstance(box, list) or len(box) != length \
                or not all(re.fullmatch('[0-9]{1,4}', str(number)) for number in box):
            raise ValueError(f'{place}: a box is a list of {length} bins of 0 to 1000, got {box!r}.')
    return write(boxes)


def _polygons(content, place):
    if content and not isinstance(content[0], list):
        content = [[content]]
    try:
        return [[np.array(ring, np.float64).reshape(-1, 2) for ring in instance] for instance in content]
    except (TypeError, ValueError):
        raise ValueError(f'{place}: polygons are instances of rings of x, y, x, y ... in pixels, or one such ring; got '
                         f'{str(content)[:80]}.') from None


def _scores(scores, prediction, place):
    if scores is None:
        return None
    try:
        scores = np.array(scores, np.float64).reshape(-1)
    except (TypeError, ValueError):
        raise ValueError(f"{place}, key 'scores': expected a list of numbers, got {str(scores)[:60]}.") from None
    objects = len(prediction.bboxes) or len(prediction.quads) or len(prediction.polygons)
    if prediction.failures and not objects and len(scores) <= 1:
        return None  # the score of the answer as a whole
    if prediction.failures and len(scores) != objects:
        MMLogger.get_current_instance().warning(
            f'{place}: {len(scores)} scores for the {objects} objects that could be read; they are not used, and the '
            'order of output ranks the task.')
        return None
    return scores
