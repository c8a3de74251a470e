"""An image with what a vision-language model answers about it."""

import textwrap

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .figure import PALETTE, write_png

SIDE = 512  # pixels of the longer side of a drawn image, at least
LINE = 20


def draw_answer(images, answer, out, prompt='', region=None, category=''):
    """Write a PNG of an image (or a pair, side by side) with boxes, quads and polygons over it and the text below.

    Args:
        images (Sequence[np.ndarray]): One image (H, W, 3) uint8, or two of one place.
        answer (Answer): In pixels of an image; of a pair it is drawn on both.
        out (str | Path): The file, ending in ``.png``; it appears whole or not at all.
        prompt (str): What was asked, printed above the answer.
        region (list[np.ndarray], optional): Rings (K, 2) that the prompt is about, drawn dashed in black and white.
        category (str): Name written at each object.

    Returns:
        Path: ``out``.

    Raises:
        ValueError: If ``out`` does not end in ``.png``.
    """
    scale = max(1, round(SIDE / max(images[0].shape[:2])))
    panels = [_draw(image, answer, scale, region, category) for image in images]
    sheet = _with_text(panels, _lines(prompt, answer, sum(panel.width for panel in panels)))
    return write_png(lambda file: sheet.save(file, format='PNG'), out)


def outlines(answer):
    """Instances of rings of whatever shapes an answer has: boxes and quads as rings of four points."""
    boxes = [[np.array([(x1, y1), (x2, y1), (x2, y2), (x1, y2)])] for x1, y1, x2, y2 in answer.bboxes]
    quads = [[np.reshape(quad, (4, 2))] for quad in answer.quads]
    return boxes + quads + [list(rings) for rings in answer.polygons]


def _draw(image, answer, scale, region, category):
    picture = Image.fromarray(image).resize((image.shape[1] * scale, image.shape[0] * scale), Image.Resampling.NEAREST)
    picture = picture.convert('RGBA')
    instances, font = outlines(answer), ImageFont.load_default(14)
    filled = Image.new('RGBA', picture.size)
    for number, rings in enumerate(instances if answer.polygons else ()):
        mask = Image.new('L', picture.size)
        for place, ring in enumerate(rings):  # the outline, then its holes
            ImageDraw.Draw(mask).polygon(_points(ring, scale), fill=0 if place else 90)
        filled.paste(Image.new('RGBA', picture.size, PALETTE[number % len(PALETTE)]), mask=mask)
    picture = Image.alpha_composite(picture, filled)
    pen = ImageDraw.Draw(picture)
    for number, rings in enumerate(instances):
        colour = PALETTE[number % len(PALETTE)]
        for ring in rings:
            points = _points(ring, scale)
            # A white rim keeps dark colours visible on dark ground.
            pen.line([*points, points[0]], fill='white', width=4, joint='curve')
            pen.line([*points, points[0]], fill=colour, width=2, joint='curve')
        score = '' if answer.scores is None or len(answer.scores) != len(instances) else f' {answer.scores[number]:.2f}'
        top = min(_points(rings[0], scale), key=lambda point: point[1])
        _label(pen, top, f'{category}{score}'.strip(), colour, font)
    for ring in region or ():
        _dashed(pen, _points(ring, scale))
    return picture.convert('RGB')


def _points(ring, scale):
    return [(float(x) * scale, float(y) * scale) for x, y in ring]


def _label(pen, place, text, colour, font):
    if not text:
        return
    left, top, right, bottom = pen.textbbox((place[0], max(place[1] - 18, 0)), text, font=font)
    pen.rectangle((left - 2, top - 2, right + 2, bottom + 2), fill=colour)
    pen.text((left, max(place[1] - 18, 0)), text, fill='white', font=font)


def _dashed(pen, points, dash=8):
    for start, end in zip(points, [*points[1:], points[0]]):
        start, end = np.array(start), np.array(end)
        steps = max(1, int(np.hypot(*(end - start)) // dash))
        marks = start + (end - start) * np.linspace(0, 1, steps + 1)[:, None]
        for number, (first, second) in enumerate(zip(marks, marks[1:])):
            pen.line([tuple(first), tuple(second)], fill='black' if number % 2 else 'white', width=3)


def _lines(prompt, answer, width):
    letters = max(20, width // 8)
    text = answer.text if len(answer.text) <= 6 * letters else f'{answer.text[:6 * letters]} ...'
    if answer.failures:
        text = f'{text} ({answer.failures} unreadable)'
    return [*((line, '#555555') for line in textwrap.wrap(' '.join(prompt.split()), letters)),
            *((line, 'black') for line in textwrap.wrap(text, letters))]


def _with_text(panels, lines):
    gap = 8
    width = sum(panel.width for panel in panels) + gap * (len(panels) - 1)
    sheet = Image.new('RGB', (width, panels[0].height + LINE * len(lines) + 8), 'white')
    for number, panel in enumerate(panels):
        sheet.paste(panel, (number * (panel.width + gap), 0))
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(15)
    for number, (line, colour) in enumerate(lines):
        pen.text((6, panels[0].height + 4 + LINE * number), line, fill=colour, font=font)
    return sheet
