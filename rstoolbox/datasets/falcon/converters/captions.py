"""Captions of RSICD, UCM, Sydney and others in Karpathy's form, or as a plain list."""

from rstoolbox.structures import Answer, nearest

from ..record_files import check_objects, read_json
from .base import Converter


class CaptionRecords(Converter):
    """``{"images": [{"filename", "split", "sentences": [{"raw"}]}]}`` or ``[{"file", "split", "captions": [text]}]``.

    ``IMG_CAP`` has the first caption as its answer and the others as references; ``IMG_CAP_DETAILED`` all that differ,
    one after the other.

    Args:
        split (str, optional): Take the images of this split only.
        **kwargs: See :class:`Converter`.
    """

    tasks = ('IMG_CAP', 'IMG_CAP_DETAILED')

    def __init__(self, source, images, split=None, **kwargs):
        super().__init__(source, images, **kwargs)
        self.split = split

    def records(self):
        content = read_json(self.source)
        entries = content.get('images') if isinstance(content, dict) else content
        check_objects(entries, f"'{self.source}'")
        splits = sorted({str(entry.get('split')) for entry in entries})
        if self.split and self.split not in splits:
            raise ValueError(f"'{self.source}' has no split '{self.split}'{nearest(self.split, splits)}. It has: "
                             f'{", ".join(splits)}.')
        for number, entry in enumerate(entries, 1):
            if self.split and entry.get('split') != self.split:
                continue
            captions = [' '.join(text.split()) for text in _captions(entry, f'{self.source}, image {number}')]
            path, size = self.image(entry.get('filename') or entry['file'])
            if 'IMG_CAP' in self.tasks:
                yield self.record('IMG_CAP', [path], size, Answer(text=captions[0]), references=captions[1:])
            if 'IMG_CAP_DETAILED' in self.tasks:
                text = ' '.join(f'{caption.rstrip(" .")}.' for caption in dict.fromkeys(captions))
                yield self.record('IMG_CAP_DETAILED', [path], size, Answer(text=text))


def _captions(entry, where):
    captions = entry.get('captions') or [isinstance(sentence, dict) and sentence.get('raw')
                                         for sentence in entry.get('sentences') or ()]
    if not captions or isinstance(captions, str) or not all(isinstance(text, str) and text.strip()
                                                            for text in captions):
        raise ValueError(f'{where} has no captions, expected "captions": [text] or "sentences": [{{"raw": text}}].')
    file = entry.get('filename') or entry.get('file')
    if not file or not isinstance(file, str):
        raise ValueError(f'{where} names the file {file!r:.60}, expected a text as "filename" or "file".')
    return captions
