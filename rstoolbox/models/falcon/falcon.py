"""The vision-language model: transformers' Florence-2 with its texts, its loss and its answers."""

import copy

import numpy as np
import torch
from mmengine.model import BaseModel
from torch.nn.functional import cross_entropy

from rstoolbox.registry import MODELS
from rstoolbox.structures import Answer

from ..checkpoint import CheckpointError, check_weights, load_state, weights_of
from ..finite import check_finite
from .cell_loss import CellLoss
from .folder import load_folder, save_folder
from .generation import check_rules, generate, head_of, read_answer
from .lora import add_lora, check_scalings, merge_lora, scalings, weights_fingerprint
from .network import answer_logits, build_network, decode, encode, image_cells, image_tokens, network_config
from .preprocessor import FalconPreprocessor
from .smooth_start import start_smoothly
from .tokenizer import fingerprint, load_tokenizer


@MODELS.register_module()
class Falcon(BaseModel):
    """One model for all vision-language tasks: image and instruction in, text with coordinates out.

    Source: Yao et al., "Falcon: A Remote Sensing Vision-Language Foundation Model", arXiv 2503.11070. Unlike in the
    published code, nothing attends to padding and it takes no part in the loss, so what a sample gives does not depend
    on its batch.

    Args:
        geometry (str, optional): 'tiny', 'base' or 'large', with random weights
            (:func:`rstoolbox.models.falcon.network.network_config`).
        pretrained (str, optional): Instead, the folder of a model to start from
            (:func:`rstoolbox.models.falcon.folder.load_folder`). Its weights become float32, whatever the file has.
        tokenizer (str | PreTrainedTokenizerFast, optional): A folder that holds one, as
            ``tools/dataset_converters/train_tokenizer.py`` trains it on records. By default the one of ``pretrained``.
        image_size (int | tuple[int, int], optional): Width and height of the network's input in pixels; by default that
            of ``pretrained``, or 768 as published.
        max_positions (int, optional): Most tokens of a prompt, image included, and of an answer; for ``geometry`` only.
        tied (bool): Whether the output layer is the token embedding; for ``geometry`` only.
        lora (dict, optional): Trains low-rank matrices only (:func:`rstoolbox.models.falcon.lora.add_lora`);
            checkpoints then hold nothing else. For ``pretrained`` only.
        gradient_checkpointing (bool): Whether layers of both encoders and the decoder are computed again in the
            backward pass instead of being kept in memory.
        cell_loss (float): Weight of :class:`rstoolbox.models.falcon.cell_loss.CellLoss`, with which encoders of random
            weights learn to see; 0 is without.
        generation (dict, optional): Rules of generation, such as ``num_beams=1`` and ``max_new_tokens=256``; others as
            published (3 beams), but n-grams may repeat.
        constrain (bool): Whether answers are held to the grammar of their task
            (:mod:`rstoolbox.heads.constraint`), so that each can be read, and to the ``classes`` of the record, where
            it has any. Every record then needs a ``task``.
        init_cfg (dict, optional): As in mmengine.

    Raises:
        ValueError: If both or neither of ``geometry`` and ``pretrained`` are given, there is no tokenizer for
            ``geometry``, or an argument is not for what is given.
    """

    def __init__(self, geometry=None, pretrained=None, tokenizer=None, image_size=None, max_positions=None, tied=True,
                 lora=None, gradient_checkpointing=False, cell_loss=0., generation=None, constrain=False,
                 init_cfg=None):
        if (geometry is None) == (pretrained is None):
            raise ValueError("Falcon needs either a geometry ('tiny', 'base', 'large') or pretrained, the folder of a "
                             f'model; got geometry={geometry!r} and pretrained={pretrained!r}')
        if lora is not None and pretrained is None:
            raise ValueError('lora adapts the weights of a folder, which its checkpoints leave out; those of '
                             f'geometry={geometry!r} are random and would be lost. Give pretrained instead')
        tokenizer = _tokenizer(tokenizer)
        if pretrained is not None:
            if max_positions is not None or not tied:
                raise ValueError('max_positions and tied are for a geometry; the folder of pretrained tells its own')
            network, own_tokenizer, own_size = load_folder(pretrained)
            network.float()  # published weights are in float16, in which no optimizer makes small steps
            tokenizer, image_size = tokenizer or own_tokenizer, own_size if image_size is None else image_size
        else:
            if tokenizer is None:
                raise ValueError(f"Falcon of the geometry '{geometry}' needs a tokenizer, a folder that holds one; "
                                 'tools/dataset_converters/train_tokenizer.py trains one on records')
            network = build_network(network_config(
                geometry, len(tokenizer), tokenizer.image_token_id, max_positions, tied))
        config, size = network.config, _size(768 if image_size is None else image_size)
        if geometry is not None:
            start_smoothly(network, tokenizer, image_cells(config, size))
        if tokenizer is not None and len(tokenizer) > config.text_config.vocab_size:
            raise ValueError(f'the tokenizer has {len(tokenizer)} tokens, the network {config.text_config.vocab_size}; '
                             'give the one that the network was trained with')
        tokens, positions = image_tokens(config, size), config.text_config.max_position_embeddings
        if tokens + 3 > positions:  # with <s>, a token of the prompt and </s>
            raise ValueError(f'an image of {size[0]} x {size[1]} pixels becomes {tokens} tokens, which leaves no room '
                             f'for a prompt in {positions} positions; give a smaller image_size or more max_positions')
        super().__init__(FalconPreprocessor(tokenizer, size, tokens, positions), init_cfg)
        self.network = network
        self.cell_loss_weight = cell_loss
        self.cell_loss = CellLoss(config.text_config.d_model, image_cells(config, size)) if cell_loss else None
        # Folders of transformers' own checkpoints bring the rule that no n-gram repeats, which would forbid corners.
        self.generation = check_rules({'no_repeat_ngram_size': 0, **(generation or {})})
        self.constraint = _constraint(tokenizer) if constrain else None
        self.lora = lora is not None
        self.register_buffer('vocabulary', fingerprint(tokenizer))
        if self.lora:
            self.register_buffer('base', weights_fingerprint(network))
            add_lora(network, **lora)
            self.register_buffer('scalings', scalings(network))
        if gradient_checkpointing:
            network.gradient_checkpointing_enable(dict(use_reentrant=False))

    @classmethod
    def from_pretrained(cls, folder, **arguments):
        """Build the model that a folder holds, in evaluation mode; ``arguments`` as those of the class."""
        return cls(pretrained=folder, **arguments).eval()

    @property
    def tokenizer(self):
        """transformers.PreTrainedTokenizerFast: Of the model, or None."""
        return self.data_preprocessor.tokenizer

    @property
    def image_size(self):
        """tuple[int, int]: Width and height of the network's input in pixels."""
        return self.data_preprocessor.image_size

    def save_pretrained(self, folder):
        """Write the model, with low-rank matrices merged, to a folder for :meth:`from_pretrained` and transformers."""
        network = self.network
        if self.lora:
            network = copy.deepcopy(network)
            merge_lora(network)
        save_folder(network, self.tokenizer, self.image_size, folder)

    def load_weights(self, path):
        """Load a checkpoint of this model's training.

        Raises:
            FileNotFoundError, CheckpointError: If there is none at ``path``, it is of another model or tokenizer, or a
                weight in it is NaN or infinite.
        """
        weights = weights_of(load_state(path), path)
        check_weights(weights, path)
        self.load_state_dict(weights)

    def merge(self):
        """Merge the low-rank matrices into the network, which is then trained and saved as a whole."""
        merge_lora(self.network)
        self.lora = False
        del self.base, self.scalings

    def forward(self, inputs, data_samples=None, mode='tensor'):
        """Run one of three modes.

        Args:
            inputs (dict[str, Tensor]): Of :class:`~rstoolbox.models.falcon.FalconPreprocessor`.
            data_samples (list[FalconDataSample], optional): The records.
            mode (str): 'loss', 'predict' or 'tensor'.

        Returns:
            dict | list[FalconDataSample] | Tensor: Losses; the samples with ``pred_answer``; or logits (B, L, V).
        """
        if mode == 'loss':
            return self.loss(inputs, data_samples)
        if mode == 'predict':
            return self.predict(inputs, data_samples)
        if mode == 'tensor':
            return self.logits(inputs)
        raise ValueError(f"mode is 'loss', 'predict' or 'tensor', not {mode!r}")

    def logits(self, inputs):
        """Logits (B, L, V) of every token of the true answers, given the image, the prompt and the tokens before it."""
        states = decode(self.network, self._encode(inputs), inputs['attention_mask'], inputs['labels'])
        return self.network.lm_head(states)

    def _encode(self, inputs):
        image = self.network.get_image_features(inputs['pixel_values'])
        return encode(self.network, image, inputs['input_ids'], inputs['attention_mask'], inputs.get('image_rows'))

    def loss(self, inputs, data_samples):
        """Cross entropy, averaged over the tokens of all answers of the batch, and the share of tokens that are right.

        With ``cell_loss`` that of the image's cells too, by its weight.

        Raises:
            NonFiniteLossError: If one is NaN or infinite, with the ids of the batch's samples.
        """
        hidden = self._encode(inputs)
        logits, tokens = answer_logits(self.network, hidden, inputs['attention_mask'], inputs['labels'])
        losses = dict(loss=cross_entropy(logits.float(), tokens))
        if self.cell_loss is not None:
            losses['loss_cells'] = self.cell_loss_weight * self.cell_loss(hidden, data_samples)
        check_finite(losses, data_samples, inputs['pixel_values'])
        return dict(losses, token_accuracy=(logits.detach().argmax(1) == tokens).float().mean())

    def predict(self, inputs, data_samples):
        """Answer a batch; each sample gets a ``pred_answer`` in pixels of its image, with confidence.

        Raises:
            ValueError: If a sample has a task but no ``image_size``.
        """
        prompt = {key: inputs.get(key) for key in ('pixel_values', 'input_ids', 'attention_mask', 'image_rows')}
        heads = [head_of(sample, row, self.constraint is not None) for row, sample in enumerate(data_samples)]
        # Start token, forced <s> and all others fit the table of positions.
        longest = self.data_preprocessor.max_positions - 1
        rules = dict(self.generation, max_new_tokens=min(self.generation.get('max_new_tokens', longest), longest))
        if self.constraint is not None:
            length = 1 + rules['max_new_tokens']
            classes = [sample.get('classes') for sample in data_samples]
            rules['logits_processor'] = [self.constraint.processor(heads, length, classes=classes)]
        answers = generate(self.network, self.tokenizer, **prompt, **rules)
        for sample, head, generated in zip(data_samples, heads, answers, strict=True):
            sample.pred_answer = (
                Answer(text=generated.text, scores=np.array([generated.confidence()])) if head is None
                else read_answer(head, generated, sample.image_size))
        return data_samples

    @torch.no_grad()
    def answer(self, images, data_samples, batch_size=8):
        """Answer any number of prompts, those of a similar length together.

        Args:
            images (Sequence[Tensor]): (H, W, 3) uint8, each of any size.
            data_samples (Sequence[FalconDataSample]): With ``prompt`` and, to have more than the text read, ``task``
                and ``image_size``.
            batch_size (int): How many at once.

        Returns:
            list[FalconDataSample]: The samples in their order, with ``pred_answer``.

        Raises:
            ValueError: If ``batch_size`` is below 1, or an image or prompt is unsound; with the name of the record.
        """
        if batch_size < 1:
            raise ValueError(f'batch_size is how many prompts are answered at once, 1 or more, got {batch_size}')
        order = sorted(range(len(data_samples)), key=lambda row: (data_samples[row].get('task') or '',
                                                                  len(data_samples[row].get('prompt') or '')))
        for start in range(0, len(order), batch_size):
            rows = order[start:start + batch_size]
            self.test_step(dict(inputs=[images[row] for row in rows], data_samples=[data_samples[row] for row in rows]))
        return list(data_samples)

    def state_dict(self, *args, **kwargs):
        """Names and weights; with LoRA only those that are trained, since the others come from ``pretrained``."""
        state = super().state_dict(*args, **kwargs)
        for name in self._frozen():
            state.pop(kwargs.get('prefix', '') + name, None)
        return state

    def _load_from_state_dict(self, state_dict, prefix, *args):
        own, frozen = super().state_dict(), self._frozen()
        for name in frozen:
            state_dict.setdefault(prefix + name, own[name])
        given = {name.removeprefix(prefix): value for name, value in state_dict.items() if name.startswith(prefix)}
        differing = [f'{name} {tuple(given[name].shape)} instead of {tuple(value.shape)}' for name, value in own.items()
                     if name in given and given[name].shape != value.shape]
        absent = sorted(own.keys() - given.keys()) + sorted(given.keys() - own.keys())
        if differing or absent:
            raise CheckpointError(f'the checkpoint is not one of this Falcon: {len(differing)} weights of another '
                                  f'shape ({", ".join(differing[:3]) or "none"}), {len(absent)} that only one of both '
                                  f'has ({", ".join(absent[:3]) or "none"}). Check geometry, tokenizer, max_positions, '
                                  'tied and lora')
        if not torch.equal(given['vocabulary'].cpu(), self.vocabulary.cpu()):
            raise CheckpointError('the checkpoint was trained with another tokenizer, so its tokens mean something '
                                  'else. Give the folder or the records of the tokenizer that it was trained with')
        if self.lora and not torch.equal(given['base'].cpu(), self.base.cpu()):
            raise CheckpointError('the low-rank matrices of the checkpoint were trained upon other weights than those '
                                  'of pretrained. Give the folder that they were trained with')
        if self.lora:
            check_scalings(given['scalings'], self.scalings)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def _frozen(self):
        if not self.lora:
            return []
        return [name for name in super().state_dict() if name.startswith('network.') and 'lora_' not in name]


def _tokenizer(tokenizer):
    return load_tokenizer(tokenizer) if isinstance(tokenizer, str) or hasattr(tokenizer, '__fspath__') else tokenizer


def _size(size):
    sides = (size, size) if isinstance(size, int) else size
    if isinstance(size, bool) or not isinstance(sides, (tuple, list)) or len(sides) != 2 or not all(
            isinstance(side, int) and side > 0 for side in sides):
        raise ValueError(f'image_size is one whole number of pixels or (width, height), got {size!r}')
    return tuple(sides)


def _constraint(tokenizer):
    if tokenizer is None:
        raise ValueError('constrain=True needs a tokenizer, and the model has none')
    from rstoolbox.heads.constraint import AnswerConstraint  # imports transformers, which need not be installed
    return AnswerConstraint(tokenizer)
