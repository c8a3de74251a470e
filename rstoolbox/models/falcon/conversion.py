"""Checkpoints of the published Florence-2 and Falcon layout, to transformers' native one and back.

Nothing of the published code is run: weights are read as data, keys are renamed.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path

import torch

from ..checkpoint import CheckpointError, check_weights, load_state, weights_of
from .folder import (
    CONFIG,
    IMAGES,
    WEIGHTS,
    is_original,
    load_folder,
    read_image_size,
    read_json,
    read_safetensors,
    save_folder,
    save_parts,
    weights_to_write,
)
from .network import BOS, EOS, PAD, build_network, load_weights, native_config
from .optional import optional
from .tokenizer import has_tokenizer, load_tokenizer

safetensors = optional('safetensors.torch')

PICKLED = 'pytorch_model.bin'
BIAS = 'language_model.final_logits_bias'
EMBEDDING = 'language_model.model.shared.weight'
HEAD = 'language_model.lm_head.weight'
COPIES = ('language_model.model.encoder.embed_tokens.weight', 'language_model.model.decoder.embed_tokens.weight')
POSITIONS = 'language_model.model.{}.embed_positions.weight'
PROJECTION = ('image_projection', 'model.multi_modal_projector.image_projection.weight')
# Pairs of (published, native) beginnings of names.
PREFIXES = (('vision_tower.', 'model.vision_tower.'),
            ('image_proj_norm.', 'model.multi_modal_projector.image_proj_norm.'),
            ('image_pos_embed.', 'model.multi_modal_projector.image_position_embed.'),
            ('visual_temporal_embed.', 'model.multi_modal_projector.visual_temporal_embed.'),
            ('language_model.model.', 'model.language_model.'),
            ('language_model.lm_head.', 'lm_head.'))
# Within a block of the image encoder, as patterns.
PUBLISHED_PARTS = ((r'\.convs\.(\d+)\.proj\.', r'.convs.\1.conv.'), (r'\.fn\.dw\.', '.'),
                   (r'\.(?:window|channel)_attn\.norm\.', '.norm1.'), (r'\.ffn\.norm\.', '.norm2.'),
                   (r'\.ffn\.fn\.net\.', '.ffn.'), (r'_attn\.fn\.', '_attn.'))
NATIVE_PARTS = ((r'\.convs\.(\d+)\.conv\.', r'.convs.\1.proj.'), (r'\.(conv[12])\.', r'.\1.fn.dw.'),
                (r'\.spatial_block\.norm1\.', '.spatial_block.window_attn.norm.'),
                (r'\.channel_block\.norm1\.', '.channel_block.channel_attn.norm.'), (r'\.norm2\.', '.ffn.norm.'),
                (r'\.ffn\.(fc[12])\.', r'.ffn.fn.net.\1.'), (r'_attn\.(qkv|proj)\.', r'_attn.fn.\1.'))
OFFSET = 2  # rows before that of the first position
TEXT_FIELDS = tuple(f'{side}_{name}' for side in ('encoder', 'decoder')
                    for name in ('layers', 'attention_heads', 'ffn_dim', 'layerdrop')) + (
    'd_model', 'dropout', 'attention_dropout', 'activation_dropout', 'activation_function', 'scale_embedding',
    'init_std')
VISION_FIELDS = ('depths', 'patch_size', 'patch_stride', 'patch_padding', 'patch_prenorm', 'num_heads', 'num_groups',
                 'window_size', 'drop_path_rate', 'mlp_ratio', 'qkv_bias', 'projection_dim')


@dataclass
class Change:
    """What became of one weight: 'renamed', 'transposed', 'dropped', 'added', 'extended' or 'shortened', and why."""

    key: str
    action: str
    target: str = ''
    reason: str = ''

    def __str__(self):
        target, reason = self.target and f' -> {self.target}', self.reason and f'  ({self.reason})'
        return f'{self.action:>10}  {self.key}{target}{reason}'


def from_original(source, target):
    """Convert a folder of the published layout to one for ``Falcon.from_pretrained``.

    Whether the output layer is tied and how long the tables of positions are is read from the weights. Tokens that the
    published processor adds while it runs are written into the tokenizer. The token of the image is new to the network;
    its row of the embedding is the mean of all others, so that its logit is never the largest.

    Args:
        source (str | Path): With ``config.json``, ``model.safetensors`` or ``pytorch_model.bin``, and a tokenizer.
        target (str | Path): Where to.

    Returns:
        list[Change]: One for each weight.

    Raises:
        FileNotFoundError: If a file is missing.
        CheckpointError: If a file holds more than data, or weights are missing, unexpected or of another shape.
        ValueError: If both are one folder.
    """
    source = _another_folder(source, target)
    described = read_json(source / CONFIG)
    if not is_original(described):
        raise CheckpointError(f"'{source / CONFIG}' does not describe a model of the published layout: its "
                              "vision_config has no 'dim_embed'")
    state = _read_weights(source)
    _check_tables(state, source)
    published_rows = len(state[EMBEDDING])
    tokenizer = load_tokenizer(source, published_rows) if has_tokenizer(source) else None
    weights, changes = to_native(state)
    if tokenizer is not None:
        changes += _add_rows(weights, len(tokenizer) - published_rows, source)
    config = _native_config(described, weights, tokenizer)
    config.published_vocab_size = published_rows
    with torch.device('meta'):
        network = build_network(config)
    load_weights(network, weights, source)
    save_folder(network, tokenizer, read_image_size(source), target)
    return changes


def to_original(source, target):
    """Convert a folder of :meth:`Falcon.save_pretrained` or :func:`from_original` to the published layout.

    Returns:
        list[Change]: One for each weight.

    Raises:
        FileNotFoundError: If a file is missing.
        CheckpointError: If the folder holds no such model.
        ValueError: If both are one folder.
    """
    source = _another_folder(source, target)
    if is_original(read_json(source / CONFIG)):
        raise CheckpointError(f"'{source}' has the published layout already; leave --reverse out to convert it to ours")
    network, tokenizer, image_size = load_folder(source)
    weights = {key: value for key, value in weights_to_write(network).items() if rename(key, native=True) not in COPIES}
    state, changes = {}, []
    rows = getattr(network.config, 'published_vocab_size', network.config.text_config.vocab_size)
    for key, value in weights.items():
        target_key = rename(key, native=True)
        state[target_key] = value.T.contiguous() if key == PROJECTION[1] else value
        changes.append(Change(key, 'transposed' if key == PROJECTION[1] else 'renamed', target_key))
        if target_key in (EMBEDDING, HEAD) and len(value) > rows:
            state[target_key] = value[:rows].clone()
            changes.append(Change(key, 'shortened', target_key, f'{len(value)} to {rows} rows, as published'))
    state[BIAS] = torch.zeros(1, rows)
    changes.append(Change(BIAS, 'added', reason='zero'))
    described = _original_config(network.config, rows)

    def write(folder):
        (folder / CONFIG).write_text(json.dumps(described, indent=1))
        (folder / IMAGES).write_text(json.dumps(dict(size=dict(zip(('width', 'height'), image_size)))))
        if tokenizer is not None:
            tokenizer.save_pretrained(folder)
        safetensors.save_file(state, folder / WEIGHTS, metadata=dict(format='pt'))

    save_parts(write, target)
    return changes


def to_native(state):
    """Rename the weights of a published state dict.

    Args:
        state (Mapping[str, Tensor]): In the published layout; copies of the token embedding may be left out.

    Returns:
        tuple[dict[str, Tensor], list[Change]]: The weights under their native names, without copies of the embedding;
        ``lm_head.weight`` is among them only where it differs from it. And what became of each.

    Raises:
        CheckpointError: If the embedding of encoder or decoder differs from the shared one, or a bias of the logits is
            not 0: the native network has no place for them.
    """
    weights, changes = {}, []
    for key, value in state.items():
        is_copy = key in (*COPIES, HEAD) and torch.equal(value, state[EMBEDDING])
        if key in COPIES and not is_copy:
            raise CheckpointError(f"'{key}' differs from '{EMBEDDING}'; the native network has one for both")
        if key == BIAS and value.any():
            raise CheckpointError(f"'{key}' is not 0; the native network adds no bias to its logits")
        if is_copy or key == BIAS:
            changes.append(Change(key, 'dropped', reason=f'a copy of {EMBEDDING}' if is_copy else 'zero'))
            continue
        target = rename(key)
        weights[target] = value.T.contiguous() if key == PROJECTION[0] else value
        changes.append(Change(key, 'transposed' if key == PROJECTION[0] else 'renamed', target))
    return weights, changes


def rename(key, native=False):
    """The native name of a published weight, or with ``native`` the published name of a native one.

    A name that neither layout knows comes back as it is.
    """
    if key == PROJECTION[native]:
        return PROJECTION[not native]
    for pair in PREFIXES:
        if not key.startswith(pair[native]):
            continue
        key = pair[not native] + key.removeprefix(pair[native])
        if pair is not PREFIXES[0]:
            return key
        parts = NATIVE_PARTS if native else PUBLISHED_PARTS
        for pattern, replacement in parts:
            key = re.sub(pattern, replacement, key)
        return key
    return key


def _another_folder(source, target):
    """The source, unless what is converted would take its place."""
    source = Path(source).expanduser()
    if source.resolve() == Path(target).expanduser().resolve():
        raise ValueError(f"'{target}' holds what is to be converted, which would be overwritten; name another folder "
                         'to write to')
    return source


def _native_config(described, weights, tokenizer):
    text, vision = described.get('text_config', {}), described['vision_config']
    embedding = weights[rename(EMBEDDING)]
    temporal, positions = vision.get('visual_temporal_embedding', {}), vision.get('image_pos_embed', {})
    return native_config(
        dict({name: vision[name] for name in VISION_FIELDS if name in vision}, embed_dim=vision['dim_embed'],
             max_temporal_embeddings=temporal.get('max_temporal_embeddings', 100),
             max_position_embeddings=positions.get('max_pos_embeddings', 50)),
        dict({name: text[name] for name in TEXT_FIELDS if name in text}, vocab_size=len(embedding),
             max_position_embeddings=len(weights[rename(POSITIONS.format('encoder'))]) - OFFSET),
        None if tokenizer is None else tokenizer.image_token_id, tied=rename(HEAD) not in weights)


def _original_config(config, rows):
    text, vision = config.text_config, config.vision_config
    return dict(
        architectures=['Florence2ForConditionalGeneration'], model_type='florence2', is_encoder_decoder=True,
        bos_token_id=BOS, eos_token_id=EOS, pad_token_id=PAD, projection_dim=vision.projection_dim, vocab_size=rows,
        tie_word_embeddings=text.tie_word_embeddings,
        vision_config=dict(
            {name: getattr(vision, name) for name in VISION_FIELDS}, model_type='davit', dim_embed=vision.embed_dim,
            visual_temporal_embedding=dict(type='COSINE', max_temporal_embeddings=vision.max_temporal_embeddings),
            image_pos_embed=dict(type='learned_abs_2d', max_pos_embeddings=vision.max_position_embeddings),
            image_feature_source=['spatial_avg_pool', 'temporal_avg_pool']),
        text_config=dict(
            {name: getattr(text, name) for name in TEXT_FIELDS}, vocab_size=rows, is_encoder_decoder=True,
            max_position_embeddings=text.max_position_embeddings, bos_token_id=BOS, pad_token_id=PAD, eos_token_id=EOS,
            decoder_start_token_id=EOS, forced_bos_token_id=BOS, forced_eos_token_id=EOS, num_beams=3,
            early_stopping=True, tie_word_embeddings=text.tie_word_embeddings))


def _read_weights(source):
    if (source / WEIGHTS).is_file() or not (source / PICKLED).is_file():
        return read_safetensors(source / WEIGHTS)
    weights = weights_of(load_state(source / PICKLED), source / PICKLED)
    check_weights(weights, source / PICKLED)
    return weights


def _check_tables(state, source):
    """Check what the configuration is read from."""
    for key in (EMBEDDING, POSITIONS.format('encoder'), POSITIONS.format('decoder')):
        if key not in state:
            raise CheckpointError(f"the weights in '{source}' are not of the published layout: they hold no '{key}'. "
                                  f"Their first is '{next(iter(state), 'none')}'")
    rows = [len(state[POSITIONS.format(side)]) for side in ('encoder', 'decoder')]
    if rows[0] != rows[1]:
        raise CheckpointError(f"the tables of positions in '{source}' have {rows[0]} rows in the encoder and {rows[1]} "
                              'in the decoder; the native network has one length for both')


def _add_rows(weights, count, source):
    if count > 1:
        raise CheckpointError(f"the tokenizer in '{source}' has {count - 1} tokens more than the network; one of the "
                              'two is of another model')
    keys = [key for key in (rename(EMBEDDING), rename(HEAD)) if key in weights] if count == 1 else []
    for key in keys:
        mean = weights[key].float().mean(0, keepdim=True).to(weights[key].dtype)
        weights[key] = torch.cat([weights[key], mean])
    return [Change(key, 'extended', key, 'by a row for the token of the image') for key in keys]
