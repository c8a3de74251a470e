"""An image with what a vision-language model answers about it."""

import re

import numpy as np
from PIL import Image, ImageChops, ImageColor, ImageDraw

from .figure import colour, font, write_png

SIDE = 512  # pixels of the longer side of a drawn image, at least
LINES = 6  # of each text, at most
TRUTH = '#00C853'  # of what was to be answered


def draw_answer(images, answer, out, prompt='', region=None, category='', truth=None):
    """Write a PNG of an image (or a pair, side by side) with boxes, quads and polygons over it and the text below.

    Lines and letters grow with the image. Of labels that would cover one another the surest is written. An answer in
    shapes is summed up as their number; words are written out, in six lines at most.

    Args:
        images (Sequence[np.ndarray]): One image (H, W, 3) uint8, or two of one place.
        answer (Answer): In pixels of an image; of a pair it is drawn on both.
        out (str | Path): The file, ending in ``.png``; it appears whole or not at all.
        prompt (str): What was asked, printed above the answer.
        region (list[np.ndarray], optional): Rings (K, 2) that the prompt is about, drawn dashed in black and white.
        category (str): Name written at each object.
        truth (Answer, optional): What was to be answered: wide green outlines beneath, and green words.

    Returns:
        Path: ``out``.

    Raises:
        ValueError: If ``out`` does not end in ``.png``.
    """
    scale = max(1, round(SIDE / max(images[0].shape[:2])))
    unit = max(1, round(scale * max(images[0].shape[:2]) / (2 * SIDE)))
    panels = [_draw(image, answer, scale, unit, region, category, truth) for image in images]
    texts = [(prompt, '#555555'), (_in_words(answer), 'black')]
    if truth is not None:
        texts.insert(1, (f'Truth: {_in_words(truth)}', '#007E33'))  # darker than the lines, on white
    sheet = _with_text(panels, texts, unit)
    return write_png(lambda file: sheet.save(file, format='PNG'), out)


def outlines(answer):
    """Instances of rings of whatever shapes an answer has: boxes and quads as rings of four points."""
    boxes = [[np.array([(x1, y1), (x2, y1), (x2, y2), (x1, y2)])] for x1, y1, x2, y2 in answer.bboxes]
    quads = [[np.reshape(quad, (4, 2))] for quad in answer.quads]
    return boxes + quads + [list(rings) for rings in answer.polygons]


def _draw(image, answer, scale, unit, region, category, truth):
    picture = Image.fromarray(image).resize((image.shape[1] * scale, image.shape[0] * scale), Image.Resampling.NEAREST)
    picture = picture.convert('RGBA')
    instances = [[_points(ring, scale) for ring in rings] for rings in outlines(answer)]
    if answer.polygons:
        filled = Image.new('RGBA', picture.size)
        for number, rings in enumerate(instances):
            _fill(filled, rings, colour(number))
        picture = Image.alpha_composite(picture, filled)
    pen = ImageDraw.Draw(picture)
    for rings in outlines(truth) if truth is not None else ():
        for ring in rings:
            points = _points(ring, scale)
            # Wider than what was answered, so that both are seen where they agree.
            pen.line([*points, points[0]], fill=TRUTH, width=6 * unit, joint='curve')
    for number, rings in enumerate(instances):
        for ring in rings:
            # A white rim keeps dark colours visible on dark ground.
            pen.line([*ring, ring[0]], fill='white', width=4 * unit, joint='curve')
            pen.line([*ring, ring[0]], fill=colour(number), width=2 * unit, joint='curve')
    for ring in region or ():
        _dashed(pen, _points(ring, scale), unit)
    _label(pen, picture.width, instances, answer.scores, unit, category)
    return picture.convert('RGB')


def _fill(picture, rings, ink):
    """Colour an instance half transparently, by a mask no larger than it: a large image may have hundreds."""
    points = np.concatenate(rings)
    left, top, right, bottom = (int(side) for side in (*np.floor(points.min(0)), *np.ceil(points.max(0)) + 1))
    mask = Image.new('L', (right - left, bottom - top))
    for ring in rings:  # one within another is a hole, one beside it another part
        part = Image.new('L', mask.size)
        ImageDraw.Draw(part).polygon([(x - left, y - top) for x, y in ring], fill=90)
        mask = ImageChops.difference(mask, part)
    picture.paste(ink, (left, top), mask)


def _points(ring, scale):
    return [(float(x) * scale, float(y) * scale) for x, y in ring]


def _label(pen, width, instances, scores, unit, category):
    """Write class and confidence above each object, the surest first, where no other label stands."""
    scores = scores if scores is not None and len(scores) == len(instances) else None
    letters, pad, written = font(13 * unit), 2 * unit, []
    for number in range(len(instances)) if scores is None else np.argsort(-np.asarray(scores), kind='stable'):
        text = category if scores is None else f'{category} {scores[number]:.2f}'.strip()
        if not text:
            return
        x, y = min(instances[number][0], key=lambda point: point[1])
        _, _, right, bottom = (side + 2 * pad for side in pen.textbbox((0, 0), text, letters, anchor='lt'))
        x, y = max(0, min(x, width - right)), max(0, y - bottom)
        box = x, y, x + right, y + bottom
        if any(box[0] < other[2] and other[0] < box[2] and box[1] < other[3] and other[1] < box[3]
               for other in written):
            continue
        written.append(box)
        red, green, blue = ImageColor.getrgb(colour(number))
        pen.rectangle(box, fill=colour(number))
        pen.text((x + pad, y + pad), text, font=letters, anchor='lt',
                 fill='black' if 0.3 * red + 0.6 * green + 0.1 * blue > 140 else 'white')


def _dashed(pen, points, unit):
    for start, end in zip(points, [*points[1:], points[0]]):
        start, end = np.array(start), np.array(end)
        steps = max(1, int(np.hypot(*(end - start)) // (8 * unit)))
        marks = start + (end - start) * np.linspace(0, 1, steps + 1)[:, None]
        for number, (first, second) in enumerate(zip(marks, marks[1:])):
            pen.line([tuple(first), tuple(second)], fill='black' if number % 2 else 'white', width=3 * unit)


def _in_words(answer):
    """An answer in shapes by their number; and how much of it cannot be read."""
    shapes = len(outlines(answer))
    text = f'{shapes} object{"s" * (shapes > 1)}' if shapes else answer.text
    return f'{text} ({answer.failures} unreadable)' if answer.failures else text


def _with_text(panels, texts, unit):
    gap, margin, line, letters = 8, 6 * unit, 20 * unit, font(14 * unit)
    width = max(sum(panel.width for panel in panels) + gap * (len(panels) - 1), SIDE // 2)
    lines = [(row, ink) for text, ink in texts for row in _wrap(text, letters, width - 2 * margin)]
    sheet = Image.new('RGB', (width, panels[0].height + line * len(lines) + 8 * unit), 'white')
    for number, panel in enumerate(panels):
        sheet.paste(panel, (number * (panel.width + gap), 0))
    pen = ImageDraw.Draw(sheet)
    for number, (row, ink) in enumerate(lines):
        pen.text((margin, panels[0].height + 4 * unit + line * number), row, fill=ink, font=letters)
    return sheet


def _wrap(text, letters, width):
    """Lines no wider than so many pixels, broken at blanks and after coordinates; not too many of them."""
    lines = []
    for part in re.split(r'(?<=[ >])', ' '.join(text.split())):
        if lines and letters.getlength((lines[-1] + part).rstrip()) <= width:
            lines[-1] += part
        elif part:
            lines.append(part)
    return lines if len(lines) <= LINES else [*lines[:LINES], '...']
