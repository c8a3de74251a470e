"""Answers of the network with the confidence of every token."""

import codecs
import re
from dataclasses import dataclass, replace
from numbers import Integral

import numpy as np
import torch

from rstoolbox.heads import head_for
from rstoolbox.structures import nearest

from ..finite import sample_id
from .network import PAD, decode, encode, token_log_likelihood
from .optional import optional

transformers = optional('transformers')

# Rules that are whole numbers, and the least of each.
COUNTS = dict(num_beams=1, max_new_tokens=1, min_new_tokens=0, no_repeat_ngram_size=0)
# Rules that would change what is returned, or break an answer off.
RESERVED = {'max_length', 'min_length', 'max_time', 'stop_strings', 'num_return_sequences', 'return_dict_in_generate',
            'output_scores', 'output_logits', 'output_attentions', 'output_hidden_states'}
OBJECTS = re.compile('.*?</(?:box|quad|poly)>|.+$', re.DOTALL)
LOGITS_AT_ONCE = 2 ** 24  # 64 MiB in float32


@dataclass
class GeneratedText:
    """A generated answer and where each of its tokens stands in it.

    Attributes:
        text (str): The answer without the tokens that only hold a sequence together.
        spans (np.ndarray): (T, 2) int64, first character and the one after the last of each token.
        log_probs (np.ndarray): (T,) natural logarithm of the model's probability of each token, given all before it. It
            is the model's own, before any constraint or rule of generation.
    """

    text: str
    spans: np.ndarray
    log_probs: np.ndarray

    def confidence(self, start=0, end=None):
        """Geometric mean of the probabilities of the tokens in ``text[start:end]``; 0 where there are none."""
        end = len(self.text) if end is None else end
        inside = (self.spans[:, 0] < end) & (self.spans[:, 1] > start)
        return float(np.exp(self.log_probs[inside].mean())) if inside.any() else 0.0


def check_rules(rules):
    """Return rules of generation if all can be followed.

    Raises:
        ValueError: With the rule that does not exist, or whose value cannot be.
    """
    known = {*transformers.GenerationConfig().to_dict(), 'compile_config'}
    for name, value in rules.items():
        if name not in known:
            raise ValueError(f"generation: there is no rule '{name}'{nearest(name, known)}")
        if name in RESERVED:
            raise ValueError(f'generation: {name} is not left to be set; how long an answer may be is max_new_tokens, '
                             'and one answer is given, with its confidence')
        if name in COUNTS and not (
                isinstance(value, Integral) and not isinstance(value, bool) and value >= COUNTS[name]):
            raise ValueError(f'generation: {name} is a whole number of at least {COUNTS[name]}, got {value!r}')
    return rules


@torch.no_grad()
def generate(network, tokenizer, pixel_values, input_ids, attention_mask, image_rows=None, **rules):
    """Answer a batch of prompts.

    Args:
        network (Florence2ForConditionalGeneration): The model.
        tokenizer (transformers.PreTrainedTokenizerFast): Of the model.
        pixel_values (Tensor): (U, 3, H, W), normalised.
        input_ids (Tensor): (B, S) image tokens and prompt, padded on the right.
        attention_mask (Tensor): (B, S), 0 at padding.
        image_rows (Tensor, optional): (B,) which image each prompt is about; by default that of its own row.
        rules: Of generation, as ``num_beams`` or ``max_new_tokens``; others as the network's ``generation_config``.

    Returns:
        list[GeneratedText]: One for each prompt.
    """
    hidden = encode(network, network.get_image_features(pixel_values), input_ids, attention_mask, image_rows)
    if rules.get('num_beams', network.generation_config.num_beams) == 1:
        rules.setdefault('early_stopping', False)  # a rule of several beams
    ids = network.generate(encoder_outputs=transformers.modeling_outputs.BaseModelOutput(hidden),
                           attention_mask=attention_mask, **rules)[:, 1:]
    labels = ids.masked_fill(ids == PAD, -100)
    log_probs = _log_probs(network, hidden, attention_mask, labels).cpu().numpy()
    return [read_tokens(tokenizer, row, values) for row, values in zip(ids.tolist(), log_probs)]


def read_tokens(tokenizer, ids, log_probs):
    """Put tokens together to a text, and say where each stands.

    Bytes are joined before they become characters: a character of several tokens belongs to the one that completes it.
    """
    characters = {character: byte for byte, character in transformers.models.gpt2.tokenization_gpt2
                  .bytes_to_unicode().items()}
    added = tokenizer.get_added_vocab()
    decoder = codecs.getincrementaldecoder('utf-8')('replace')
    pieces, spans, kept, length = [], [], [], 0
    for token, log_prob in zip(tokenizer.convert_ids_to_tokens(ids), log_probs):
        if token in (tokenizer.bos_token, tokenizer.pad_token, tokenizer.eos_token):
            continue
        # An id beyond the vocabulary, from a row that pads the embedding, stands for nothing.
        data = token.encode() if token in added else bytes(characters[letter] for letter in token or '')
        piece = decoder.decode(data)
        spans.append((length, length + len(piece)))
        length += len(piece)
        pieces.append(piece)
        kept.append(log_prob)
    text = ''.join(pieces) + decoder.decode(b'', final=True)
    return GeneratedText(text, np.array(spans, np.int64).reshape(-1, 2), np.array(kept, np.float64))


def read_answer(head, generated, image_size):
    """Read a generated answer as a task's head does, and give every object in it the confidence of its own tokens.

    Args:
        head (TaskHead): Of the task.
        generated (GeneratedText): What the model said.
        image_size (tuple[int, int]): Width and height of the image in pixels.

    Returns:
        Answer: With one score for each box, quad or polygon; without any, one for the whole answer.
    """
    answer = head.decode(generated.text, image_size)
    objects = _count(answer)
    scores = []
    for match in OBJECTS.finditer(generated.text):
        # A piece that ends with an object, read alone, holds that one; without tags around them, a few share a piece.
        scores += [generated.confidence(*match.span())] * _count(head.decode(match[0], image_size))
    if not objects or len(scores) != objects:
        scores = [generated.confidence()] * max(objects, 1)
    return replace(answer, scores=np.array(scores))


def head_of(sample, row, required):
    """The head that reads the answer to a record; None where it has no task, and none is required."""
    task = sample.get('task')
    if task is None and required:
        raise ValueError(f"record '{sample_id(sample, row)}' has no task, so no grammar to hold its answer to; "
                         'set its task. A model that is only asked, and not scored, may be built with constrain=False')
    if task is None:
        return None
    if sample.get('image_size') is None:
        raise ValueError(f"record '{sample_id(sample, row)}' of {task} has no image_size, (width, height) in pixels: "
                         'no coordinates can be read from its answer')
    return head_for(task)


def _count(answer):
    return len(answer.bboxes) + len(answer.quads) + len(answer.polygons)


def _log_probs(network, hidden, attention_mask, labels):
    """Log-probabilities (B, T) of generated tokens by one pass over whole answers, whatever way they were searched."""
    states = decode(network, hidden, attention_mask, labels)
    # The logits of a long answer for each of 50,000 tokens take gigabytes: a part of it at a time.
    step = max(1, LOGITS_AT_ONCE // (len(labels) * network.config.text_config.vocab_size))
    return torch.cat([token_log_likelihood(network.lm_head(part), targets) for part, targets in zip(
        states.split(step, 1), labels.split(step, 1))], 1)
