"""Tokenizers: byte-level BPE from a checkpoint's folder, or trained on the texts of a small data set."""

import hashlib
import re
from pathlib import Path

import torch

from rstoolbox.heads.grammar import IMAGE, STRUCTURE

from ..checkpoint import CheckpointError
from .optional import optional

tokenizers = optional('tokenizers')
transformers = optional('transformers')

EXTRA = {'image_token': IMAGE}  # as transformers' Florence2Processor asks for it
# What the grammar of coordinates is written with; the published vocabulary has the last three.
MARKS = ('<box>', '</box>', '<quad>', '</quad>', '<poly>', '</poly>', '<sep>')
COORDINATES = tuple(f'<{number}>' for number in range(1001))
# What Florence-2's processor adds to BART's vocabulary while it runs, in its order and spelling.
FLORENCE = (
    '<od>', '</od>', '<ocr>', '</ocr>', *(f'<loc_{number}>' for number in range(1000)), '<cap>', '</cap>', '<ncap>',
    '</ncap>', '<dcap>', '</dcap>', '<grounding>', '</grounding>', '<seg>', '</seg>', '<sep>', '<region_cap>',
    '</region_cap>', '<region_to_desciption>', '</region_to_desciption>', '<proposal>', '</proposal>', '<poly>',
    '</poly>', '<and>')


def load_tokenizer(folder, rows=None):
    """Load the tokenizer of a folder; the token of the image is added where the folder's does not know it.

    Args:
        folder (str | Path): With ``tokenizer.json``, or ``vocab.json`` and ``merges.txt``.
        rows (int, optional): Number of tokens that a network of the published layout knows; where just those are
            missing that Florence-2's processor adds while it runs, they are added here.

    Returns:
        transformers.BartTokenizerFast: With the token of the image as ``image_token``.

    Raises:
        FileNotFoundError: If a file is missing.
        CheckpointError: If the files hold no byte-level BPE with BART's special tokens in their places.
    """
    folder = Path(folder)
    if not has_tokenizer(folder):
        raise FileNotFoundError(f"'{folder}' holds no tokenizer: neither tokenizer.json nor vocab.json with merges.txt")
    try:
        tokenizer = transformers.BartTokenizerFast.from_pretrained(str(folder), local_files_only=True)
    except Exception as error:  # a damaged file stops the reader in any way there is
        raise CheckpointError(f"the tokenizer in '{folder}' cannot be read ({type(error).__name__}: {error})"
                              ) from error
    ids = tokenizer.convert_tokens_to_ids(list(STRUCTURE[:3]))
    if ids != [0, 1, 2]:
        raise CheckpointError(f"the tokenizer in '{folder}' has {', '.join(STRUCTURE[:3])} at {ids}; expected 0, 1, 2")
    if rows is not None and len(tokenizer) + len(FLORENCE) == rows:
        tokenizer.add_tokens([tokenizers.AddedToken(token, special=True, normalized=False) for token in FLORENCE])
    return _finish(tokenizer.backend_tokenizer)


def has_tokenizer(folder):
    """Whether a folder holds the files of a tokenizer."""
    return (Path(folder) / 'tokenizer.json').is_file() or all(
        (Path(folder) / name).is_file() for name in ('vocab.json', 'merges.txt'))


def fingerprint(tokenizer):
    """SHA-256 of a tokenizer's vocabulary, as (32,) uint8; of an empty text where there is no tokenizer."""
    vocabulary = sorted(tokenizer.get_vocab().items()) if tokenizer is not None else ''
    return torch.tensor(list(hashlib.sha256(repr(vocabulary).encode()).digest()), dtype=torch.uint8)


def train_tokenizer(texts, vocab_size=1000, coordinates='text'):
    """Train a byte-level BPE on texts; any other text can be written in it too, only longer.

    Args:
        texts (Iterable[str]): Prompts and answers.
        vocab_size (int): Most tokens that may come of it, those of single bytes (256) and special ones included, added
            ones for coordinates not.
        coordinates (str): 'text' spells a coordinate such as ``<417>`` in ordinary tokens, as Falcon does; 'tokens'
            adds one token for each of ``<0>`` to ``<1000>`` and for the marks around them, for shorter answers.

    Returns:
        transformers.BartTokenizerFast: With BART's special tokens in their places, and the token of the image last.

    Raises:
        ValueError: If ``coordinates`` is neither.
    """
    if coordinates not in ('text', 'tokens'):
        raise ValueError(f"coordinates are written as 'text' or 'tokens', not {coordinates!r}")
    added = [*MARKS, *COORDINATES] if coordinates == 'tokens' else []
    model = tokenizers.Tokenizer(tokenizers.models.BPE())
    model.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    model.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=vocab_size, special_tokens=list(STRUCTURE), show_progress=False,
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet())
    if added:  # those are no part of what merges are to be learnt from
        texts = (piece for text in texts for piece in re.split('|'.join(map(re.escape, added)), text))
    model.train_from_iterator(texts, trainer)
    model.add_tokens([tokenizers.AddedToken(token, normalized=False) for token in added])
    return _finish(model)


def _finish(model):
    return transformers.BartTokenizerFast(tokenizer_object=model, extra_special_tokens=EXTRA)
