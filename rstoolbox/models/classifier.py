"""mmpretrain's image classifier with a named set of input bands."""

import inspect

import torch
from mmengine.registry import DefaultScope
from mmpretrain.models import ImageClassifier
from mmpretrain.models.heads import MultiLabelClsHead

from rstoolbox.registry import MODELS, SCOPE, explained_types

from .finite import check_finite
from .inflation import inflating
from .stem import find_patch_layers, find_stems, set_input_channels

LAYERS = ('norm_cfg', 'conv_cfg', 'act_cfg')


@MODELS.register_module()
class SceneClassifier(ImageClassifier):
    """A scene classifier that reads any set of bands with any backbone of mmpretrain or timm.

    Backbone, neck and head are looked up in mmpretrain (``type='ResNet'``, ``type='TIMMBackbone'``); those of this
    toolbox and its plug-ins by their own name. The names in the state dict are those of mmpretrain's
    ``ImageClassifier``, so plain mmpretrain loads the weights.

    Args:
        backbone (dict): The feature extractor; its first convolution gets one input channel per band. One that starts
            otherwise is built with as many ``in_channels``, if its config takes them.
        neck (dict, optional): Such as ``dict(type='GlobalAveragePooling')``.
        head (dict, optional): Such as ``dict(type='LinearClsHead', num_classes=10, in_channels=512)``.
        bands (Sequence[str]): Names of the input channels, in order.
        rgb_bands (Sequence[str], optional): Names of the red, green and blue band, which take the pretrained weights of
            R, G and B; by default those called R, G, B, or B04, B03, B02 (:func:`rstoolbox.models.inflation.inflate`).
        pretrained (str, optional): A checkpoint of the whole classifier to start from. Weights for three channels,
            whether they come this way or by a part's own ``init_cfg``, are inflated by band name.
        train_cfg (dict, optional): Batch augmentations, as in mmpretrain.
        data_preprocessor (dict, optional): Arguments of :class:`ScenePreprocessor`, first of all ``statistics``.
        channels_last (bool): Keep maps and the weights of convolutions with their channels innermost. On a CPU, and in
            mixed precision on a GPU, convolutions are faster so; results differ by rounding. A backbone that takes its
            maps for rows by ``view`` stops with torch's error about ``view`` and needs it off.
        init_cfg (dict, optional): How weights are drawn, as in mmpretrain.

    Raises:
        ValueError: If bands repeat, differ from the preprocessor's, or the backbone's first layer cannot take them.
        UnknownTypeError: If the type of a part, or of a part of it, is known neither here nor to mmpretrain, with the
            nearest names.
    """

    def __init__(self, backbone, neck=None, head=None, bands=('R', 'G', 'B'), rgb_bands=None, pretrained=None,
                 train_cfg=None, data_preprocessor=None, channels_last=False, init_cfg=None):
        band_names = tuple(bands)
        _check_bands(band_names, rgb_bands)
        data_preprocessor = dict(data_preprocessor or {})
        data_preprocessor.setdefault('type', 'ScenePreprocessor')
        if _own_type(data_preprocessor) == f'{SCOPE}.ScenePreprocessor':
            data_preprocessor.setdefault('bands', band_names)
            if tuple(data_preprocessor['bands']) != band_names:
                raise ValueError(f'the model reads the bands {", ".join(band_names)}, its data_preprocessor '
                                 f'{", ".join(data_preprocessor["bands"])}; give them in one place only')
            if isinstance(head, dict) and head.get('num_classes'):
                data_preprocessor.setdefault('num_classes', head['num_classes'])
        # Parts of parts (the loss of a head, the blocks of a backbone) are mmpretrain's too.
        with explained_types(), DefaultScope.overwrite_default_scope('mmpretrain'):
            super().__init__(_scoped(backbone), _scoped(neck), _scoped(head), pretrained=pretrained,
                             train_cfg=train_cfg, data_preprocessor=_scoped(data_preprocessor), init_cfg=init_cfg)
            if isinstance(backbone, dict) and _is_built_for_channels(self.backbone, backbone):
                self.backbone = MODELS.build({**_scoped(backbone), 'in_channels': len(band_names)})
        self.bands = band_names
        self.rgb_bands = None if rgb_bands is None else tuple(rgb_bands)
        set_input_channels(self.backbone, self.bands, self.rgb_bands)
        self.channels_last = channels_last
        if channels_last:
            self.to(memory_format=torch.channels_last)

    def init_weights(self):
        """Draw the weights, and load pretrained ones; those for R, G, B are inflated to the bands."""
        readers = find_stems(self.backbone) or find_patch_layers(self.backbone, len(self.bands))
        with (DefaultScope.overwrite_default_scope('mmpretrain'), inflating(readers, self.bands, self.rgb_bands)):
            super().init_weights()

    def extract_feat(self, inputs, stage='neck'):
        """Features of normalised images (B, C, H, W), as mmpretrain's."""
        if self.channels_last:
            inputs = inputs.contiguous(memory_format=torch.channels_last)
        return super().extract_feat(inputs, stage)

    def loss(self, inputs, data_samples):
        """Losses of a batch, as mmpretrain's.

        Raises:
            NonFiniteLossError: If one is NaN or infinite, with the ids of the batch's samples.
        """
        losses = super().loss(inputs, data_samples)
        check_finite({name: value for name, value in losses.items() if 'loss' in name}, data_samples, inputs)
        return losses

    @property
    def num_classes(self):
        """Number of classes that the head tells apart, or None without a head."""
        return getattr(self.head, 'num_classes', None)

    @property
    def multi_label(self):
        """bool: Whether an image may have several classes, or none: logits are binary answers, one for every class."""
        return isinstance(self.head, MultiLabelClsHead)

    def check_head(self, images):
        """Raise a ValueError unless the head takes features as wide as those of images (B, C, H, W)."""
        expected = getattr(self.head, 'in_channels', None)
        if expected is None:
            return
        training = self.training
        self.eval()
        with torch.no_grad():
            features = self.extract_feat(images)
        self.train(training)
        features = features[-1] if isinstance(features, (tuple, list)) else features
        if features.ndim == 2 and features.shape[1] != expected:
            raise ValueError(f'head.in_channels is {expected}, but {type(self.backbone).__name__} gives '
                             f'{features.shape[1]} channels.')

    def example(self, batch_size=2, image_size=64):
        """A batch of blank images (B, C, H, W) on the model's device."""
        parameter = next(self.parameters())
        return torch.zeros(batch_size, len(self.bands), image_size, image_size, device=parameter.device,
                           dtype=parameter.dtype)


def _check_bands(bands, rgb_bands):
    if not bands or len(set(bands)) != len(bands):
        raise ValueError(f'bands must be different names, at least one; got {bands!r}')
    if rgb_bands is not None and len(rgb_bands) != 3:
        raise ValueError(f'rgb_bands names the red, the green and the blue band; got {tuple(rgb_bands)!r}')


def _is_built_for_channels(backbone, config):
    """Whether a backbone has no convolution that could be widened, but an argument for the number of channels."""
    arguments = inspect.signature(type(backbone)).parameters
    return 'in_channels' in arguments and 'in_channels' not in config and not find_stems(backbone)


def _own_type(config):
    """The type of a part with this toolbox's scope in front, if it or a plug-in, defines that name."""
    kind = config.get('type')
    return f'{SCOPE}.{kind}' if isinstance(kind, str) and kind in MODELS.module_dict else kind


def _scoped(config):
    if not isinstance(config, dict):
        return config
    for layer in filter(None, map(config.get, LAYERS)):  # of an unknown one mmcv says 'Cannot find None'
        _known_type(layer)
    return {**config, 'type': _known_type(config)}


def _known_type(config):
    """The type of a part as :func:`_own_type`; where neither side knows the name, ours names those that are near."""
    kind = _own_type(config)
    if isinstance(kind, str) and (kind if '.' in kind else f'mmpretrain.{kind}') not in MODELS:
        MODELS.get(kind)
    return kind
