"""Florence-2 networks by the name of their geometry, in transformers' native class.

Source: Xiao et al., "Florence-2: Advancing a Unified Representation for a Variety of Vision Tasks", CVPR 2024, and Yao
et al., "Falcon: A Remote Sensing Vision-Language Foundation Model", arXiv 2503.11070, which keeps its large geometry.
"""


import torch
from torch.nn.functional import cross_entropy

from rstoolbox.structures import nearest

from ..checkpoint import CheckpointError
from .gpu_kernels import avoid_planned_kernels
from .optional import optional

transformers = optional('transformers')

BOS, PAD, EOS = 0, 1, 2
GROUPS = 4  # in which the answers of a batch are decoded
# Widths, heads and channel groups of the image encoder by stage; width, heads, feed-forward width and layers of the
# text encoder and of the decoder, each; the deviation of random weights, with which a narrow network would hardly see.
GEOMETRIES = dict(
    tiny=dict(vision=dict(embed_dim=(32, 64, 96, 128), num_heads=(2, 4, 6, 8), num_groups=(2, 4, 6, 8),
                          depths=(1, 1, 1, 1), patch_stride=(4, 2, 2, 1), window_size=4, drop_path_rate=0.0),
              text=dict(d_model=128, heads=4, ffn_dim=512, layers=2, dropout=0.0), max_positions=1024, deviation=0.06),
    base=dict(vision=dict(embed_dim=(128, 256, 512, 1024), num_heads=(4, 8, 16, 32), num_groups=(4, 8, 16, 32)),
              text=dict(d_model=768, heads=12, ffn_dim=3072, layers=6, dropout=0.1), max_positions=1024,
              deviation=0.02),
    large=dict(vision=dict(embed_dim=(256, 512, 1024, 2048), num_heads=(8, 16, 32, 64), num_groups=(8, 16, 32, 64)),
               text=dict(d_model=1024, heads=16, ffn_dim=4096, layers=12, dropout=0.1), max_positions=4096,
               deviation=0.02))


def network_config(geometry, vocab_size, image_token_id=None, max_positions=None, tied=True):
    """The configuration of a network.

    Args:
        geometry (str): 'tiny' (about 2.4 M parameters with 1,600 tokens, total stride 16, for tests and trials), 'base'
            (231.4 M with 51,289 tokens) or 'large' (776.5 M); the published two have a total stride of 32.
        vocab_size (int): Number of tokens.
        image_token_id (int, optional): The token that stands for a patch of the image; the last one by default.
        max_positions (int, optional): Longest prompt (image tokens included) and longest answer, in tokens; by default
            1,024 (tiny, base) or 4,096 (large). Falcon's checkpoints have 8,192.
        tied (bool): Whether the output layer is the token embedding. Falcon's checkpoints have a layer of its own.

    Returns:
        transformers.Florence2Config: As transformers' own classes read it.

    Raises:
        ValueError: If there is no such geometry.
    """
    if geometry not in GEOMETRIES:
        raise ValueError(f"there is no geometry '{geometry}'{nearest(geometry, GEOMETRIES)}; known are "
                         f'{", ".join(GEOMETRIES)}')
    chosen = GEOMETRIES[geometry]
    text, deviation = chosen['text'], chosen['deviation']
    text_config = dict(
        vocab_size=vocab_size, d_model=text['d_model'], init_std=deviation, initializer_range=deviation,
        max_position_embeddings=chosen['max_positions'] if max_positions is None else max_positions,
        dropout=text['dropout'], attention_dropout=text['dropout'], activation_dropout=text['dropout'],
        **{f'{side}_{name}': value for side in ('encoder', 'decoder') for name, value in (
            ('layers', text['layers']), ('attention_heads', text['heads']), ('ffn_dim', text['ffn_dim']))})
    return native_config(dict(chosen['vision'], projection_dim=text['d_model'], initializer_range=deviation),
                         text_config, image_token_id, tied)


def native_config(vision, text, image_token_id=None, tied=True):
    """Build the configuration from the arguments of its two halves, with the special tokens as published."""
    text = dict(text, bos_token_id=BOS, pad_token_id=PAD, eos_token_id=EOS, decoder_start_token_id=EOS,
                tie_word_embeddings=tied)
    image_token_id = text['vocab_size'] - 1 if image_token_id is None else image_token_id
    return transformers.Florence2Config(
        text_config=text, vision_config=dict(vision), image_token_id=image_token_id, tie_word_embeddings=tied,
        bos_token_id=BOS, pad_token_id=PAD, eos_token_id=EOS)


def build_network(config):
    """Build ``Florence2ForConditionalGeneration``, in evaluation mode, with random weights (on torch's current device).

    Rules of generation are the published ones, but for one: n-grams may repeat, since corners of boxes do.
    """
    network = transformers.Florence2ForConditionalGeneration(config)
    for stage in network.model.vision_tower.blocks:
        for block in stage:
            _make_checkpointable(block)
    avoid_planned_kernels(network)
    network.generation_config = transformers.GenerationConfig(
        bos_token_id=BOS, pad_token_id=PAD, eos_token_id=EOS, decoder_start_token_id=EOS, forced_bos_token_id=BOS,
        forced_eos_token_id=EOS, num_beams=3, early_stopping=True, no_repeat_ngram_size=0)
    return share_embeddings(network).eval()


def share_embeddings(network):
    """Let encoder and decoder read one embedding, and the output layer too where the configuration ties it.

    transformers leaves the decoder with an embedding of its own where only the output layer has one.
    """
    language = network.model.language_model
    language.encoder.embed_tokens.weight = language.decoder.embed_tokens.weight = language.shared.weight
    if is_tied(network):
        network.lm_head.weight = language.shared.weight
    return network


def is_tied(network):
    """Whether the output layer of a network is its token embedding."""
    return network.config.text_config.tie_word_embeddings


def alias_keys(tied):
    """Names in a network's state dict under which the token embedding stands again."""
    names = ['model.language_model.encoder.embed_tokens.weight', 'model.language_model.decoder.embed_tokens.weight']
    return names + ['lm_head.weight'] if tied else names


def image_cells(config, image_size):
    """Columns and rows of the image encoder's last map.

    Args:
        config (transformers.Florence2Config): Of the network.
        image_size (tuple[int, int]): Width and height in pixels.

    Raises:
        ValueError: If the map would be larger than the table of its positions.
    """
    vision, cells = config.vision_config, []
    for side in image_size:
        length = side
        for kernel, stride, padding in zip(vision.patch_size, vision.patch_stride, vision.patch_padding):
            length = (length + 2 * padding - kernel) // stride + 1
        if not 1 <= length <= vision.max_position_embeddings:
            raise ValueError(f'an image of {image_size[0]} x {image_size[1]} pixels becomes {length} cells along one '
                             f'side; the network has positions for 1 to {vision.max_position_embeddings}')
        cells.append(length)
    return tuple(cells)


def image_tokens(config, image_size):
    """Number of tokens that an image becomes: one for its mean and one for each cell (:func:`image_cells`)."""
    columns, rows = image_cells(config, image_size)
    return columns * rows + 1


def load_weights(network, state, source):
    """Load a whole state dict into a network, which may be on the meta device.

    Args:
        network (Florence2ForConditionalGeneration): Where to.
        state (Mapping[str, Tensor]): The weights; copies of the token embedding may be left out.
        source (str | Path): What messages call it.

    Raises:
        CheckpointError: If weights are missing, unexpected or of another shape; each kind with its keys.
    """
    own, aliases = network.state_dict(), alias_keys(is_tied(network))
    given = {name: value for name, value in state.items() if name not in aliases}
    expected = {name: value for name, value in own.items() if name not in aliases}
    shapes = [f'{name} {tuple(given[name].shape)} instead of {tuple(value.shape)}' for name, value in expected.items()
              if name in given and given[name].shape != value.shape]
    kinds = {'of another shape': shapes, 'missing': expected.keys() - given.keys(),
             'unexpected': given.keys() - expected.keys()}
    wrong = [f'{len(names)} {kind}: {", ".join(sorted(names)[:5])}{", ..." if len(names) > 5 else ""}'
             for kind, names in kinds.items() if names]
    if wrong:
        raise CheckpointError(f"'{source}' does not fit the network; its weights are of another geometry or layout. "
                              f'{"; ".join(wrong)}. The layout of the published checkpoints is read by '
                              'tools/model_converters/falcon_from_original.py')
    network.load_state_dict(given, strict=False, assign=True)
    share_embeddings(network).requires_grad_(True)


def encode(network, image, input_ids, attention_mask, image_rows=None):
    """Hidden states (B, S, D) of the text encoder over an image's tokens, which come first, and a prompt's.

    Args:
        network (Florence2ForConditionalGeneration): The model.
        image (Tensor): (U, tokens, D), what ``network.get_image_features`` makes of the different images.
        input_ids (Tensor): (B, S) image tokens and prompt, padded on the right.
        attention_mask (Tensor): (B, S), 0 at padding.
        image_rows (Tensor, optional): (B,) which image each prompt is about; by default that of its own row.
    """
    # Not by the network's own forward: it looks for image tokens by their number, at which compilers give up.
    if image_rows is not None:
        image = image[image_rows]
    text = network.get_input_embeddings()(input_ids[:, image.shape[1]:])
    return network.model.language_model.encoder(
        inputs_embeds=torch.cat([image.to(text.dtype), text], 1), attention_mask=attention_mask).last_hidden_state


def decode(network, hidden, attention_mask, labels):
    """Hidden states (B, L, D) of the decoder at each token of answers, given those before it.

    Labels are shifted here, once: transformers 4.57 does it a second time where it computes the loss itself.
    """
    return network.model.language_model.decoder(
        input_ids=shift_right(labels), encoder_hidden_states=hidden, encoder_attention_mask=attention_mask,
        use_cache=False).last_hidden_state


def answer_logits(network, hidden, attention_mask, labels):
    """Logits (T, V) at the T tokens of all answers of a batch, and these tokens (T,).

    Most of ``labels`` (B, L) is padding where a long answer stands among short ones, so answers are decoded in groups
    of similar length, each padded to its own, and no logits are made of padding.
    """
    lengths = ((labels != -100) * torch.arange(1, labels.shape[1] + 1, device=labels.device)).amax(1)
    logits, tokens = [], []
    for rows in lengths.argsort().chunk(GROUPS):
        answers = labels[rows, :lengths[rows].max()]
        counted = answers != -100
        states = decode(network, hidden[rows], attention_mask[rows], answers)
        logits.append(network.lm_head(states[counted]))
        tokens.append(answers[counted])
    return torch.cat(logits), torch.cat(tokens)


def shift_right(labels):
    """Decoder input for labels (B, L): the start token, then every label but the last; padding where ignored."""
    shifted = torch.cat([torch.full_like(labels[:, :1], EOS), labels[:, :-1]], 1)
    return shifted.masked_fill(shifted == -100, PAD)


def token_log_likelihood(logits, labels):
    """Log-likelihood (B, L) float32 of each label under logits (B, L, V); 0 where the label is -100."""
    losses = cross_entropy(logits.flatten(0, 1).float(), labels.flatten(), ignore_index=-100, reduction='none')
    return -losses.view_as(labels)


def _make_checkpointable(block):
    """Let gradient checkpointing reach a block of the image encoder, as transformers does for those of the text."""
    layer = transformers.modeling_layers.GradientCheckpointingLayer
    kind = type(block)
    block.__class__ = type(kind.__name__, (layer, kind), {})
