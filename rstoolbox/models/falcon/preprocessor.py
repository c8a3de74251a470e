"""From images of any size and texts to what the network reads; the only place where either is prepared."""

import logging
import re

import torch
from mmengine.logging import print_log
from mmengine.model import BaseDataPreprocessor
from torch.nn.functional import interpolate

from rstoolbox.heads.grammar import IMAGE, STRUCTURE
from rstoolbox.registry import MODELS

from ..finite import sample_id
from .network import BOS, EOS, PAD

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
OBJECT_END = re.compile('</(?:box|quad|poly)>')


@MODELS.register_module()
class FalconPreprocessor(BaseDataPreprocessor):
    """Resize, normalise and stack images; turn prompts and answers into tokens.

    Images are resized here, on the model's device, bicubically with antialiasing and rounded to whole numbers as Pillow
    does; the aspect ratio is not kept. Then they are scaled to 0..1 and normalised by ImageNet's mean and standard
    deviation. A prompt becomes one image token for each cell of the image, ``<s>``, the prompt and ``</s>``, padded on
    the right; an answer becomes ``<s>``, the answer and ``</s>``, where padding is -100 and takes no part in the loss.

    Args:
        tokenizer (transformers.PreTrainedTokenizerFast, optional): Without it no text passes.
        image_size (tuple[int, int]): Width and height of the network's input in pixels.
        image_tokens (int): Number of tokens that an image becomes.
        max_positions (int): Most tokens of a prompt, image included, and of an answer.
    """

    def __init__(self, tokenizer, image_size, image_tokens, max_positions):
        super().__init__()
        self.tokenizer = tokenizer
        self.image_size = image_size
        self.image_tokens = image_tokens
        self.max_positions = max_positions
        self.register_buffer('mean', torch.tensor(MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer('std', torch.tensor(STD).view(3, 1, 1), persistent=False)

    @torch.compiler.disable  # texts are no work for a compiler, which would trace them for minutes
    def forward(self, data, training=False):
        """Prepare a batch.

        Args:
            data (dict): ``inputs``, images (H, W, 3) uint8, each of any size, and ``data_samples``, each with a
                ``prompt`` and, for a loss, an ``answer``.
            training (bool): Whether an answer is needed.

        Returns:
            dict: ``inputs``, a dict of ``pixel_values`` (U, 3, H, W) float32, the different images of the batch,
            ``image_rows`` (B,), which of them each prompt is about, ``input_ids`` and ``attention_mask`` (B, S)
            and, where every sample has an answer, ``labels`` (B, L); and ``data_samples``.

        Raises:
            ValueError: If an image is no RGB image, a text is empty, holds a special token or is too long; the message
                names the record.
        """
        samples = data['data_samples']
        names = [f"record '{sample_id(sample, row)}'" for row, sample in enumerate(samples)]
        first, rows = _distinct(data['inputs'], samples)
        images = [self._image(data['inputs'][row], names[row]) for row in first]
        prompts = [self._prompt(sample.get('prompt'), name) for sample, name in zip(samples, names)]
        input_ids = _pad(prompts, PAD)
        inputs = dict(pixel_values=torch.stack(images), image_rows=torch.tensor(rows), input_ids=input_ids,
                      attention_mask=_pad([[1] * len(prompt) for prompt in prompts], 0))
        if training or all(sample.get('answer') is not None for sample in samples):
            inputs['labels'] = _pad([self._answer(sample.get('answer'), name)
                                     for sample, name in zip(samples, names)], -100)
        return dict(inputs={key: value.to(self.device, non_blocking=True) for key, value in inputs.items()},
                    data_samples=samples)

    def _image(self, image, name):
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != torch.uint8 or not image.numel():
            raise ValueError(f'the image of {name} has shape {tuple(image.shape)} and type {image.dtype}; expected '
                             '(height, width, 3) with torch.uint8')
        image = image.to(self.device, non_blocking=True).permute(2, 0, 1).float()
        width, height = self.image_size
        if image.shape[1:] != (height, width):
            image = interpolate(image[None], (height, width), mode='bicubic', antialias=True)[0].clamp(0, 255).round()
        return (image / 255 - self.mean) / self.std

    def _prompt(self, text, name):
        words = self._tokens(text, 'prompt', name).input_ids
        ids = [*[self.tokenizer.image_token_id] * self.image_tokens, BOS, *words, EOS]
        if len(ids) > self.max_positions:
            raise ValueError(f'the prompt of {name} has {len(ids)} tokens with those of the image; the network has '
                             f'{self.max_positions} positions. Shorten the prompt, or build the network with more '
                             'max_positions')
        return ids

    def _answer(self, text, name):
        """Tokens of an answer; one that is too long is cut after a whole object, and its end is then not learnt."""
        encoded = self._tokens(text, 'answer', name)
        if len(encoded.input_ids) + 2 <= self.max_positions:
            return [BOS, *encoded.input_ids, EOS]
        ends = [match.end() for match in OBJECT_END.finditer(text)]
        room = encoded[0].offsets[self.max_positions - 2][1]
        whole = max((end for end in ends if end <= room), default=None)
        if whole is None:
            raise ValueError(f'the answer of {name} has {len(encoded.input_ids) + 2} tokens; the network has '
                             f'{self.max_positions} positions, and the answer cannot be cut after a whole object. '
                             'Leave the record out, or build the network with more max_positions')
        print_log(f'The answer of {name} is too long for {self.max_positions} positions: '
                  f'{sum(end > whole for end in ends)} of its {len(ends)} objects are left out',
                  logger='current', level=logging.WARNING)
        return [BOS, *self._tokens(text[:whole], 'answer', name).input_ids][:self.max_positions]

    def _tokens(self, text, kind, name):
        if self.tokenizer is None:
            raise ValueError('the model has no tokenizer, so no text can be read: give it a folder that holds one')
        if not isinstance(text, str) or not text:
            raise ValueError(f'{name} has no {kind}: expected a text, got {text!r}')
        found = [token for token in (*STRUCTURE, IMAGE) if token in text]
        if found:
            raise ValueError(f"the {kind} of {name} contains '{found[0]}', which is a special token; remove it: "
                             f'{text!r:.120}')
        return self.tokenizer(text, add_special_tokens=False)


def _distinct(images, samples):
    """Rows of the images that differ, and for each sample which of them is its own: each is encoded once."""
    if len(images) != len(samples):
        raise ValueError(f'a batch has {len(images)} images and {len(samples)} samples; expected one image for each')
    first, rows, seen = [], [], {}
    for row, (image, sample) in enumerate(zip(images, samples)):
        name = sample.get('img_path')
        alike = [place for place in seen.get(name, ()) if torch.equal(images[first[place]], image)] if name else []
        if not alike:
            alike = [len(first)]
            seen.setdefault(name, []).append(len(first))
            first.append(row)
        rows.append(alike[0])
    return first, rows


def _pad(rows, value):
    length = max(map(len, rows))
    return torch.tensor([[*row, *[value] * (length - len(row))] for row in rows])
