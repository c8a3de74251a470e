"""Low-rank adaptation, checked and merged.

Source: Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", ICLR 2022: W x becomes W x + s B A x, where
only A and B are trained.
"""

import difflib
import hashlib
import math

import torch
from mmengine.logging import print_log

from ..checkpoint import CheckpointError
from .network import is_tied
from .optional import optional

peft = optional('peft')

ATTENTION = ('q_proj', 'k_proj', 'v_proj', 'out_proj')
EMBEDDING = ('lm_head', 'shared', 'embed_tokens')


def add_lora(network, target_modules=ATTENTION, **arguments):
    """Add low-rank matrices to a network in place, and freeze everything else.

    Args:
        network (nn.Module): The model.
        target_modules (Sequence[str]): Modules to adapt, each by its name or the end of it: 'q_proj', or
            'decoder.layers.0.fc1'. By default the projections of the text's attention.
        arguments: Others of ``peft.LoraConfig``: ``r``, ``lora_alpha``, ``lora_dropout``, ``use_rslora``,
            ``init_lora_weights``.

    Raises:
        ValueError: If a target names no module, or one that cannot be adapted, with the nearest names; or if another
            argument is none of peft's, or leaves nothing to learn.
    """
    alpha = arguments.get('lora_alpha', 1)
    if isinstance(alpha, bool) or not isinstance(alpha, (int, float)) or not alpha > 0:
        raise ValueError(f'lora.lora_alpha is {alpha!r}, but what scales the low-rank matrices is a number above 0')
    targets = [target_modules] if isinstance(target_modules, str) else list(target_modules)
    modules = dict(network.named_modules())
    for target in targets:
        named = [module for name, module in modules.items() if name == target or name.endswith(f'.{target}')]
        if not named:
            ends = {'.'.join(name.split('.')[-1 - target.count('.'):]) for name in modules if name}
            near = difflib.get_close_matches(target, sorted(ends), n=3, cutoff=0.3)
            raise ValueError(f"lora.target_modules: no module is called '{target}'; the nearest are {', '.join(near)}")
        if not all(hasattr(module, 'weight') and module.weight.ndim in (2, 4) for module in named):
            raise ValueError(f"lora.target_modules: '{target}' is a {type(named[0]).__name__}, which has no matrix to "
                             f'adapt; name linear layers, such as {", ".join(ATTENTION)}')
        if is_tied(network) and target.rpartition('.')[2] in EMBEDDING:
            raise ValueError(f"lora.target_modules: '{target}' shares its matrix with the token embedding, so "
                             'it cannot be merged; leave it out')
    try:
        peft.inject_adapter_in_model(peft.LoraConfig(target_modules=targets, **arguments), network)
    except (TypeError, ValueError) as error:
        raise ValueError(f'lora: {error}; its arguments are those of peft.LoraConfig') from None
    trainable = sum(value.numel() for value in network.parameters() if value.requires_grad)
    total = sum(value.numel() for value in network.parameters())
    print_log(f'LoRA: {trainable:,} of {total:,} parameters are trained ({100 * trainable / total:.2f} %)',
              logger='current')


def weights_fingerprint(network):
    """SHA-256 of the names and weights of a network, as (32,) uint8; low-rank matrices mean nothing with others."""
    digest = hashlib.sha256()
    for name, value in network.named_parameters():
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    return torch.tensor(list(digest.digest()), dtype=torch.uint8)


def scalings(network):
    """What the low-rank matrices are multiplied by, one number for each adapted module, as (N,) float32."""
    tuned = [module for module in network.modules() if isinstance(module, peft.tuners.tuners_utils.BaseTunerLayer)]
    return torch.tensor([scale for module in tuned for scale in module.scaling.values()])


def check_scalings(trained, own):
    """Raise a CheckpointError where low-rank matrices were trained to be multiplied by other numbers (N,) than here."""
    pairs = [(float(one), float(other)) for one, other in zip(trained, own)]
    differing = [pair for pair in pairs if not math.isclose(*pair, rel_tol=0.01)]  # either may be of half precision
    if differing:
        raise CheckpointError('the low-rank matrices of the checkpoint were trained with another lora_alpha or '
                              'use_rslora: multiplied by {:g}, and here by {:g}. Give the lora that they were trained '
                              'with'.format(*differing[0]))


def merge_lora(network):
    """Add the low-rank matrices to those that they adapt, in place: the network is then as if it never had any."""
    for name, module in list(network.named_modules()):
        if isinstance(module, peft.tuners.tuners_utils.BaseTunerLayer):
            module.merge()
            parent, _, child = name.rpartition('.')
            setattr(network.get_submodule(parent), child, module.get_base_layer())
    network.requires_grad_(True)
