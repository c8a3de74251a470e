"""One image with what it shows and what a model says it shows."""

import numpy as np
from PIL import Image, ImageDraw

from .figure import font, write_png
from .pairs import stretch

NATURAL = (('R', 'G', 'B'), ('B04', 'B03', 'B02'))
# Blue and orange stay apart for colour-blind readers.
RIGHT, WRONG = (0, 90, 181), (200, 80, 0)
SIDE, CAPTION = 320, 44


def draw_prediction(image, bands, truth, prediction, score, out):
    """Write a PNG of the image, enlarged, with truth and prediction below it.

    Args:
        image (numpy.ndarray): (H, W, C) in any unit.
        bands (Sequence[str]): Band names in channel order. R, G, B or B04, B03, B02 are shown as they look to the eye,
            else the first three (or the one) bands.
        truth (str, optional): The true class or classes, where they are known.
        prediction (str): The predicted one or ones.
        score (float, optional): Probability of the prediction, 0 to 1; none where nothing is predicted.
        out (str | Path): File to write, ending in ``.png``.
    """
    names = list(bands)
    shown = next((colours for colours in NATURAL if set(colours) <= set(names)),
                 names[:3] if len(names) > 2 else names[:1] * 3)
    pixels = image[..., [names.index(name) for name in shown]]
    # A ready-made picture is shown as it is; measured values are stretched.
    pixels = np.clip(pixels, 0, 1) if shown == NATURAL[0] else stretch(pixels)
    height = max(1, round(SIDE * image.shape[0] / image.shape[1]))
    picture = Image.fromarray(np.rint(255 * pixels).astype(np.uint8)).resize((SIDE, height), Image.Resampling.NEAREST)
    sheet = Image.new('RGB', (SIDE, height + CAPTION), 'white')
    sheet.paste(picture)
    draw, letters = ImageDraw.Draw(sheet), font(14)
    if truth is not None:
        draw.text((6, height + 3), f'truth: {truth}', fill='black', font=letters)
    draw.text((6, height + 22), prediction if score is None else f'{prediction} ({100 * score:.0f} %)', font=letters,
              fill='black' if truth is None else RIGHT if truth == prediction else WRONG)
    write_png(lambda file: sheet.save(file, format='PNG'), out)
