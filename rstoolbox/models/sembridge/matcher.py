"""SSM: the self-supervised matcher between multispectral and RGB scenes."""

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from mmengine.model import BaseDataPreprocessor, BaseModel
from mmpretrain.structures import DataSample
from torch import nn

from rstoolbox.registry import MODELS

from ..finite import check_finite
from ..loading import load_classifier
from ..ranks import of_all_ranks

MAX_SCALE = 100.


@MODELS.register_module()
class SceneMatcher(BaseModel):
    """Two encoders into one space, where a multispectral image and its own red, green and blue bands fall together.

    SemBridge (arXiv 2511.08901) trains it on pairs of an image and the pseudo-RGB made of it, with the symmetric
    InfoNCE of CLIP over L2-normalised embeddings and a learned temperature, and then finds with it the multispectral
    scene that is nearest to a real RGB image. So the RGB encoder's statistics are those of the real RGB images, for
    both kinds. Other images of the batch count as negatives even where they show the same class, as in the original.

    With ``teacher_checkpoint`` the multispectral encoder is the teacher, frozen. The matcher still sees no label, but
    the RGB encoder then learns the space whose knowledge is to be carried across: matches agree in what the teacher
    tells apart, and a student can start from the RGB encoder (``start`` of
    :class:`~rstoolbox.models.Distiller`). Without it both encoders learn from scratch, as in the paper.

    Args:
        ms_encoder (dict): Config of a :class:`~rstoolbox.models.SceneClassifier` with backbone and neck; a head is
            not used.
        rgb_encoder (dict): The same for R, G, B.
        teacher_checkpoint (str, optional): Weights of ``ms_encoder``, head included, which then stay as they are.
        embedding_dim (int): Width of the common space.
        dropout (float): In the projection heads.
        temperature (float): At the start; learned, and kept at 0.01 or above.
        image_size (int): Height and width of the blank images that go through both encoders once, for their widths.
        init_cfg (dict, optional): As in mmengine.

    Raises:
        ValueError: If an encoder does not end in a pooled feature (B, D).
        CheckpointError: If the teacher's checkpoint is of another network than ``ms_encoder``.
    """

    def __init__(self, ms_encoder, rgb_encoder, teacher_checkpoint=None, embedding_dim=256, dropout=0.1,
                 temperature=0.07, image_size=64, init_cfg=None):
        if not 1 / MAX_SCALE <= temperature:
            raise ValueError(f'temperature must be at least {1 / MAX_SCALE}, got {temperature}.')
        encoders = dict(ms=MODELS.build(ms_encoder), rgb=MODELS.build(rgb_encoder))
        super().__init__(MatcherPreprocessor(**{side: encoder.data_preprocessor for side, encoder in encoders.items()}),
                         init_cfg)
        self.encoders = nn.ModuleDict(encoders)
        self.heads = nn.ModuleDict({side: ProjectionHead(_width(encoder, side, image_size), embedding_dim, dropout)
                                    for side, encoder in encoders.items()})
        self.log_scale = nn.Parameter(torch.tensor(-math.log(temperature)))
        self.teacher_checkpoint = teacher_checkpoint
        for encoder in encoders.values():
            if encoder.with_head:  # unused, and parallel training takes weights without a gradient for an error
                encoder.head.requires_grad_(False)
        if teacher_checkpoint is not None:
            self.encoders.ms.requires_grad_(False)

    def init_weights(self):
        """Draw the weights; those of a teacher are read from its checkpoint."""
        super().init_weights()
        if self.teacher_checkpoint is not None:
            load_classifier(self.encoders.ms, self.teacher_checkpoint, role='teacher')

    def train(self, mode=True):
        """Set the training mode of all but a frozen teacher."""
        super().train(mode)
        if self.teacher_checkpoint is not None:
            self.encoders.ms.eval()
        return self

    def forward(self, inputs, data_samples=None, mode='tensor'):
        """Run in one of mmengine's modes.

        Args:
            inputs (dict[str, Tensor]): ``ms`` (B, C, H, W) and ``rgb`` (B, 3, H, W), normalised, row by row the same
                scene.
            data_samples (list[DataSample], optional): One for each scene.
            mode (str): ``loss`` gives ``dict(loss=...)`` over the batches of all ranks; ``predict`` gives every sample
                ``matcher_scale``, ``ms_embedding`` and ``rgb_embedding``; ``tensor`` the two embeddings.
        """
        ms, rgb = self._embed('ms', inputs['ms']), self._embed('rgb', inputs['rgb'])
        if mode == 'loss':
            return self._loss(ms, rgb, inputs, data_samples)
        if mode == 'predict':
            return self._predict(ms, rgb, data_samples)
        return ms, rgb

    def embed_ms(self, inputs):
        """Embed multispectral images as the data set gives them (list of (C, H, W) or (B, C, H, W), not normalised).

        Returns:
            Tensor: (B, embedding_dim), rows of length 1.
        """
        return self._embed_raw('ms', inputs)

    def embed_rgb(self, inputs):
        """Embed RGB or pseudo-RGB images; as :meth:`embed_ms`."""
        return self._embed_raw('rgb', inputs)

    @property
    def scale(self):
        """What similarities are multiplied by: one over the temperature, 100 at the most."""
        return self.log_scale.clamp(max=math.log(MAX_SCALE)).exp()

    def _loss(self, ms, rgb, inputs, data_samples):
        # As in CLIP the parameter itself is held back, or it would have no gradient to come back with.
        with torch.no_grad():
            self.log_scale.clamp_(max=math.log(MAX_SCALE))
        losses = dict(loss=info_nce(of_all_ranks(ms), of_all_ranks(rgb), self.scale).mean())
        check_finite(losses, data_samples or [DataSample()] * len(ms), inputs['rgb'])
        return losses

    def _predict(self, ms, rgb, data_samples):
        samples = data_samples or [DataSample() for _ in range(len(ms))]
        scale = float(self.scale)
        for sample, ms_row, rgb_row in zip(samples, ms, rgb, strict=True):
            sample.set_field(scale, 'matcher_scale')
            sample.set_field(ms_row, 'ms_embedding')
            sample.set_field(rgb_row, 'rgb_embedding')
        return samples

    def _embed(self, side, images):
        return F.normalize(self.heads[side](_pooled(self.encoders[side], images)).float(), dim=1)

    def _embed_raw(self, side, inputs):
        images = getattr(self.data_preprocessor, side)(dict(inputs=inputs), False)['inputs']
        return self._embed(side, images)


@MODELS.register_module()
class MatcherPreprocessor(BaseDataPreprocessor):
    """Normalise both views of every scene, each with its own bands and statistics.

    Args:
        ms (ScenePreprocessor): For the multispectral view.
        rgb (ScenePreprocessor): For RGB and pseudo-RGB alike.
    """

    def __init__(self, ms, rgb):
        super().__init__()
        self.ms, self.rgb = ms, rgb

    def forward(self, data, training=False):
        """Turn ``inputs=dict(ms=[...], rgb=[...])`` into normalised batches.

        Raises:
            ValueError: If the data set does not give both views.
        """
        views = data['inputs']
        if not isinstance(views, Mapping) or not {'ms', 'rgb'} <= set(views):
            raise ValueError('SceneMatcher needs both views of every scene, inputs=dict(ms=..., rgb=...); let the '
                             "pipeline end with dict(type='PackMatcherInputs').")
        samples = data.get('data_samples')
        return dict(inputs=dict(ms=self.ms(dict(inputs=views['ms']), False)['inputs'],
                                rgb=self.rgb(dict(inputs=views['rgb']), False)['inputs']), data_samples=samples)


class ProjectionHead(nn.Module):
    """From a pooled feature to the common space: linear, then a GELU-linear-dropout residual, then layer norm."""

    def __init__(self, width_in, width_out, dropout):
        super().__init__()
        self.project = nn.Linear(width_in, width_out)
        self.refine = nn.Sequential(nn.GELU(), nn.Linear(width_out, width_out), nn.Dropout(dropout))
        self.norm = nn.LayerNorm(width_out)

    def forward(self, features):
        projected = self.project(features)
        return self.norm(projected + self.refine(projected))


def info_nce(ms, rgb, scale):
    """Symmetric InfoNCE of each pair: the mean of both directions' cross entropies, (B, D) twice -> (B,)."""
    logits = scale * ms @ rgb.T
    target = torch.arange(len(ms), device=ms.device)
    return (F.cross_entropy(logits, target, reduction='none') + F.cross_entropy(logits.T, target, reduction='none')) / 2


def _pooled(encoder, images):
    features = encoder.extract_feat(images)
    return features[-1] if isinstance(features, (tuple, list)) else features


def _width(encoder, side, image_size):
    training = encoder.training
    encoder.eval()
    with torch.no_grad():
        features = _pooled(encoder, encoder.example(2, image_size))
    encoder.train(training)
    if features.ndim != 2:
        raise ValueError(f'{side}_encoder must end in one feature (B, D) for an image, it gives '
                         f'{tuple(features.shape)}; add '
                         "neck=dict(type='mmpretrain.GlobalAveragePooling').")
    return features.shape[1]
