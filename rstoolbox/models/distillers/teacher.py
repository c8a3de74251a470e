"""Where a distiller gets the teacher's outputs from: the frozen network, or a gallery of its outputs."""

import logging
from functools import partial

import torch
from mmengine.logging import MessageHub, print_log

from rstoolbox.registry import MODELS

from ..classifier import SceneClassifier
from ..loading import load_classifier
from ..sembridge.gallery import Gallery
from .taps import FeatureTaps, checked_paths


class FrozenNetwork:
    """A network that is used and never changed.

    It is no ``nn.Module``, so a distiller that holds it does not show its parameters, modules or state: they reach no
    optimizer, no checkpoint and no parallel wrapper. Copies of the distiller share it.

    Args:
        config (dict): Of a model.
        checkpoint (str, optional): Its weights; without it they are what its config makes them.
        outputs (Iterable[str]): Which outputs are wanted, see :class:`FeatureTaps`.
        paths (Mapping[str, str], optional): Where they are.
        check (Callable): Takes the network, just built, and raises a ``ValueError`` if it cannot teach.
    """

    def __init__(self, config, checkpoint, outputs, paths, check):
        # A student starts from the same random numbers whether its teacher is in the loop or not.
        with torch.random.fork_rng(devices=[]):
            self.network = MODELS.build(config)
            check(self.network)
            if checkpoint is None:
                self.network.init_weights()
                if not _names_weights(config):
                    print_log('The teacher has neither teacher_checkpoint nor pretrained: its weights are random.',
                              logger='current', level=logging.WARNING)
            else:
                load_classifier(self.network, checkpoint, role='teacher')
        self.network.requires_grad_(False).eval()
        self.taps = FeatureTaps(self.network, outputs, paths, 'teacher')

    @property
    def data_preprocessor(self):
        """What normalises the teacher's images."""
        return self.network.data_preprocessor

    def apply(self, function):
        """Move or cast the network as ``nn.Module._apply`` does."""
        self.network._apply(function)

    def __deepcopy__(self, memo):
        return self


class FrozenTeacher(FrozenNetwork):
    """A frozen classifier.

    Args:
        config, checkpoint, outputs, paths: As of :class:`FrozenNetwork`.
        image_size (int): Height and width of its images.
    """

    def __init__(self, config, checkpoint, outputs, paths, image_size):
        self.image_size = image_size
        super().__init__(config, checkpoint, outputs, paths,
                         partial(check_classifier, side='teacher', image_size=image_size))
        # Only scores have an order of classes. The data set, which names them, is known once training has begun.
        self.unordered = checkpoint if 'logits' in outputs else None

    @property
    def multi_label(self):
        """bool: Whether its logits are binary answers, one for every class."""
        return self.network.multi_label

    @torch.no_grad()
    def __call__(self, inputs, data_samples):
        """The teacher's outputs for a batch; ``inputs['teacher']`` holds its images.

        Raises:
            ValueError: If the batch holds no images for the teacher.
            CheckpointError: If the teacher was trained on other classes than those of the data set.
        """
        if 'teacher' not in inputs:
            raise ValueError('the batch holds no images for the teacher; use UnpairedSceneDataset with '
                             'read_teacher=True, or give the distiller a gallery')
        classes = (MessageHub.get_current_instance().get_info('dataset_meta') or {}).get('classes')
        if self.unordered is not None and classes:
            load_classifier(self.network, self.unordered, role='teacher', classes=classes)
            self.unordered = None
        return self._run(inputs['teacher'])

    def example(self):
        """Outputs for two blank images, for their shapes."""
        with torch.no_grad():
            return self._run(self.network.example(2, self.image_size))

    def _run(self, images):
        with self.taps.recording() as outputs:
            self.network(images, mode='tensor')
        return outputs


class GalleryTeacher:
    """A teacher's outputs, computed before and read row by row; the network itself is not there.

    Args:
        folder (str): A gallery.
        outputs (Iterable[str]): Which outputs are wanted.
        paths (Mapping[str, str], optional): Where they must have been tapped.

    Raises:
        ValueError: If the gallery does not keep one of them, or has tapped other modules.
    """

    data_preprocessor = None

    def __init__(self, folder, outputs, paths=None):
        self.gallery = Gallery.open(folder)
        self.outputs = sorted(outputs)
        self.device = torch.device('cpu')
        check_kept(self.outputs, self.gallery.names, f"'{folder}'")
        paths = checked_paths(paths, 'teacher')
        if paths != self.gallery.taps:
            raise ValueError(f"the gallery '{folder}' was made with the taps {self.gallery.taps}, and taps.teacher is "
                             f'{paths}; give the stage gallery the same taps, or train with the teacher in the loop')

    def __call__(self, inputs, data_samples):
        """The rows that the samples' ``teacher_index`` names."""
        try:
            indices = torch.tensor([sample.teacher_index for sample in data_samples])
        except AttributeError:
            raise ValueError("the samples carry no 'teacher_index'; a distiller with a gallery trains on "
                             'UnpairedSceneDataset, whose match table names a row for every sample') from None
        return self._rows(indices)

    @property
    def multi_label(self):
        """bool: Whether its logits are binary answers, one for every class."""
        return self.gallery.labels.ndim == 2

    def example(self):
        """The first row twice, for the shapes."""
        return self._rows(torch.zeros(2, dtype=torch.long))

    def _rows(self, indices):
        rows = self.gallery.rows(indices, self.outputs)
        return {name: rows[name].to(self.device, non_blocking=True) for name in self.outputs}

    def apply(self, function):
        """Follow the distiller to its device."""
        self.device = function(torch.empty(0)).device

    def __deepcopy__(self, memo):
        return self


def check_kept(outputs, kept, gallery):
    """Raise a ``ValueError`` unless a gallery keeps all outputs that transfer losses need."""
    missing = [name for name in sorted(outputs) if name not in kept]
    if missing:
        raise ValueError(f'the gallery {gallery} keeps {", ".join(kept)}, but a transfer loss needs '
                         f'{", ".join(missing)}; train with the teacher in the loop: model=dict(gallery=None), '
                         'train_dataset=dict(read_teacher=True), and a hook that re-matches with '
                         "gallery='${artifacts.gallery}'")


def check_classifier(network, side, image_size):
    """Raise a ``ValueError`` unless the network is a :class:`SceneClassifier` with a head that fits its features."""
    if not isinstance(network, SceneClassifier) or not network.with_head:
        raise ValueError(f'the {side} must be a SceneClassifier with a head, got {type(network).__name__}'
                         + (' without a head' if isinstance(network, SceneClassifier) else ''))
    try:
        network.check_head(network.example(2, image_size))
    except ValueError as error:
        raise ValueError(f'{side}: {error}') from error


def _names_weights(config):
    """Whether a classifier's config says where pretrained weights come from."""
    backbone = config.get('backbone') or {}
    recipes = [config.get('init_cfg') or {}, backbone.get('init_cfg') or {}]
    return bool(config.get('pretrained') or backbone.get('pretrained')
                or any(isinstance(recipe, dict) and recipe.get('type') == 'Pretrained' for recipe in recipes))
