"""A model as a folder of files that transformers' own classes read too."""

import json
import os
import tempfile
from pathlib import Path

import torch

from ..checkpoint import CheckpointError, check_weights
from .network import alias_keys, build_network, image_tokens, is_tied, load_weights
from .optional import optional
from .preprocessor import MEAN, STD
from .tokenizer import has_tokenizer, load_tokenizer

safetensors = optional('safetensors.torch')
transformers = optional('transformers')

CONFIG, WEIGHTS, IMAGES = 'config.json', 'model.safetensors', 'preprocessor_config.json'
GENERATION = 'generation_config.json'
MARKS = ('bos_token_id', 'eos_token_id', 'pad_token_id', 'decoder_start_token_id', 'forced_bos_token_id',
         'forced_eos_token_id')
CONVERT = 'convert it: python tools/model_converters/falcon_from_original.py {} DST'


def load_folder(folder):
    """Load a network, its tokenizer and its image size.

    Args:
        folder (str | Path): As :func:`save_folder` writes it: ``config.json`` and ``model.safetensors`` and, where
            texts are to be read, a tokenizer. ``preprocessor_config.json`` tells the size of images (768 x 768 without
            it) and ``generation_config.json`` the rules of generation.

    Returns:
        tuple: The network, in evaluation mode; the tokenizer or None; (width, height) in pixels.

    Raises:
        FileNotFoundError: If the folder or a file is missing.
        CheckpointError: If the files are of the published layout, damaged, or do not fit one another.
    """
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder '{folder}'")
    described = read_json(folder / CONFIG)
    if is_original(described):
        raise CheckpointError(f"'{folder}' has the layout of the published checkpoints; {CONVERT.format(folder)}")
    if described.get('model_type') != 'florence2':
        raise CheckpointError(f"'{folder / CONFIG}' describes a model of the type {described.get('model_type')!r}, not "
                              "'florence2'")
    with torch.device('meta'):
        network = build_network(transformers.Florence2Config.from_dict(described))
    load_weights(network, read_safetensors(folder / WEIGHTS), folder / WEIGHTS)
    if (folder / GENERATION).is_file():
        published = network.generation_config  # for what marks a sequence, which no answer can do without
        rules = {name: getattr(published, name) for name in MARKS} | read_json(folder / GENERATION)
        network.generation_config = transformers.GenerationConfig.from_dict(rules)
    tokenizer = load_tokenizer(folder) if has_tokenizer(folder) else None
    rows = network.config.text_config.vocab_size
    if tokenizer is not None and len(tokenizer) > rows:
        raise CheckpointError(f"the tokenizer in '{folder}' has {len(tokenizer)} tokens, its network {rows}; one of "
                              'the two is of another model')
    return network, tokenizer, read_image_size(folder)


def save_folder(network, tokenizer, image_size, folder):
    """Write a model to a folder. Each file appears whole or not at all, the weights last.

    Args:
        network (Florence2ForConditionalGeneration): With its configuration.
        tokenizer (transformers.PreTrainedTokenizerFast, optional): None leaves it out.
        image_size (tuple[int, int]): Width and height of the network's input in pixels.
        folder (str | Path): Where to; it is made if need be.
    """
    width, height = image_size

    def write(folder):
        if tokenizer is not None:
            tokenizer.save_pretrained(folder)
        network.config.save_pretrained(folder)
        network.generation_config.save_pretrained(folder)
        (folder / IMAGES).write_text(json.dumps(dict(
            image_processor_type='CLIPImageProcessor', processor_class='Florence2Processor', resample=3,
            do_resize=True, size=dict(width=width, height=height), do_center_crop=False, do_rescale=True,
            do_normalize=True, image_mean=MEAN, image_std=STD,
            image_seq_length=image_tokens(network.config, image_size)), indent=1))
        safetensors.save_file(weights_to_write(network), folder / WEIGHTS, metadata=dict(format='pt'))

    save_parts(write, folder)


def save_parts(write, folder):
    """Let ``write(folder)`` fill a temporary folder, then move its files to ``folder``, weights last."""
    folder = Path(folder).expanduser()
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix='.writing-') as partial:
        write(Path(partial))
        for path in sorted(Path(partial).iterdir(), key=lambda path: path.name == WEIGHTS):
            os.replace(path, folder / path.name)


def read_image_size(folder):
    """Width and height of a network's input as its folder tells it; 768 x 768, as published, where it does not."""
    if not (folder / IMAGES).is_file():
        return 768, 768
    size = read_json(folder / IMAGES).get('size', dict(width=768, height=768))
    try:
        sides = size['width'], size['height']
    except (TypeError, KeyError):
        sides = ()
    if not sides or not all(isinstance(side, int) and side > 0 for side in sides):
        raise CheckpointError(f"'{folder / IMAGES}', key 'size': expected a width and a height in pixels, got {size!r}")
    return sides


def weights_to_write(network):
    """A network's weights, the token embedding once; transformers finds an untied one only under each of its names."""
    aliases = alias_keys(True) if is_tied(network) else []
    return {name: value.detach().cpu().clone(memory_format=torch.contiguous_format)
            for name, value in network.state_dict().items() if name not in aliases}


def read_json(path):
    """Read a JSON file of a checkpoint's folder."""
    if not path.is_file():
        raise FileNotFoundError(f"'{path.parent}' holds no {path.name}; a model's folder has {CONFIG} and {WEIGHTS}")
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
    except ValueError as error:
        raise CheckpointError(f"'{path}' does not hold valid JSON ({error})") from None
    if not isinstance(content, dict):
        raise CheckpointError(f"'{path}' holds a {type(content).__name__}, expected names with values")
    return content


def is_original(described):
    """Whether the configuration of a folder is of the published layout."""
    vision = described.get('vision_config')
    return isinstance(vision, dict) and 'dim_embed' in vision


def read_safetensors(path):
    """Read a file of weights."""
    if not path.is_file():
        others = [other.name for other in path.parent.glob('*.bin')]
        hint = f'; it holds {others[0]}: {CONVERT.format(path.parent)}' if others else ''
        raise FileNotFoundError(f"'{path.parent}' holds no {path.name}{hint}")
    try:
        weights = safetensors.load_file(path)
    except Exception as error:  # a damaged file stops the reader in any way there is
        raise CheckpointError(f"'{path}' is damaged or not a file of weights ({error}). Copy or convert it again"
                              ) from error
    check_weights(weights, path)
    return weights
