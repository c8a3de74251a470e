"""Captions: BLEU, METEOR, ROUGE-L and CIDEr by pycocoevalcap."""

import contextlib
import io

from mmengine.logging import MMLogger
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.rouge.rouge import Rouge

from rstoolbox.heads.grammar import strip_special_tokens

from .java import meteor, ptb_tokenize
from .record import percentage


def score_captions(records):
    """Score captions against all references of their image and prompt.

    Records with the same image, prompt and prediction are one caption with the references of all. Text is split by the
    Penn Treebank tokenizer, without punctuation and in lower case; it and METEOR run in Java. Where there is none, text
    is split at blanks and METEOR is left out, which a warning says.

    Args:
        records (Sequence[ScoredRecord]): Records of one task.

    Returns:
        tuple[dict, dict]: Scalars in percent (CIDEr, too, is multiplied by 100): ``BLEU-1`` to ``BLEU-4``, ``METEOR``,
        ``ROUGE-L``, ``CIDEr``, ``parse_failure_rate`` (empty captions). Details: ``tokenizer``, ``num_captions`` and
        ``num_references``.
    """
    groups = {}
    for number, record in enumerate(records):
        key = number if record.image_id is None else (record.image_id, record.prompt, record.prediction.text)
        groups.setdefault(key, []).append(record)
    captions = {number: [plain(group[0].prediction.text)] for number, group in enumerate(groups.values())}
    references = {number: [plain(text) for record in group for text in texts_of(record)]
                  for number, group in enumerate(groups.values())}
    num_references = sum(map(len, references.values()))
    captions, references, tokenizer = _tokens(captions, references)
    scalars = {name: 100 * value for name, value in coco_scores(references, captions).items()}
    if tokenizer == 'ptb':
        try:
            scalars['METEOR'] = 100 * meteor(references, captions)
        except ChildProcessError as reason:
            MMLogger.get_current_instance().warning(f'METEOR is left out. {reason}')
    scalars['parse_failure_rate'] = percentage(not plain(record.prediction.text) for record in records)
    return scalars, dict(tokenizer=tokenizer, num_captions=len(groups),
                         num_references=num_references)


def _tokens(captions, references):
    try:
        return *ptb_tokenize(captions, references), 'ptb'
    except ChildProcessError as reason:
        MMLogger.get_current_instance().warning(
            f'{reason} METEOR is left out, and captions are split at blanks instead of by the Penn Treebank tokenizer, '
            'so the other caption scores do not compare with those of machines that have it.')
    return *({number: [' '.join(text.lower().split()) for text in texts] for number, texts in side.items()}
             for side in (captions, references)), 'blanks'


def coco_scores(references, captions):
    """Return BLEU-1 to BLEU-4, ROUGE-L (0 to 1) and CIDEr (0 to 10) of tokenized texts, by number of the caption."""
    with contextlib.redirect_stdout(io.StringIO()):  # Bleu prints
        bleu, _ = Bleu(4).compute_score(references, captions)
    return {**{f'BLEU-{order}': float(value) for order, value in enumerate(bleu, 1)},
            'ROUGE-L': float(Rouge().compute_score(references, captions)[0]),
            # It weighs words by how many references have them, and stops where there is no word.
            'CIDEr': float(Cider().compute_score(references, captions)[0]) if any(map(any, references.values())) else 0}


def texts_of(record):
    """Return all right texts of a record."""
    return [record.truth.text, *record.references]


def plain(text):
    """Return text without special tokens and with single blanks."""
    return ' '.join(strip_special_tokens(text).split())
