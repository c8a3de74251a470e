"""From a list of images to a normalised batch; the only place where images are normalised."""

from collections.abc import Mapping

import torch
from mmengine.logging import print_log
from mmengine.model import BaseDataPreprocessor
from mmpretrain.models import ClsDataPreprocessor

from rstoolbox.registry import MODELS
from rstoolbox.structures import load_statistics

from .finite import sample_id


@MODELS.register_module()
class ScenePreprocessor(ClsDataPreprocessor):
    """Stack images of any number of bands, and bring each band to mean 0 and standard deviation 1.

    What it applies, band by band, is logged when it is built.

    Args:
        bands (Sequence[str]): Band names in channel order.
        statistics (dict | str, optional): Mean and standard deviation by band name, or the path of a JSON file with
            them, in the units of the images (:func:`rstoolbox.structures.load_statistics`). Without it a network can
            be built, but no image passes.
        num_classes (int, optional): Labels outside of it are refused; a classifier fills in its own number.
        batch_augments (dict, optional): Mixup and the like, as in mmpretrain.
        kwargs: Further arguments of mmpretrain's ``ClsDataPreprocessor``.

    Raises:
        ValueError: If the statistics do not hold a band; on a batch whose images have another number of channels, or
            labels out of range.
    """

    def __init__(self, bands, statistics=None, num_classes=None, batch_augments=None, **kwargs):
        self.bands = tuple(bands)
        mean, std = (None, None) if statistics is None else load_statistics(statistics, self.bands)
        super().__init__(mean=mean, std=std, num_classes=num_classes, batch_augments=batch_augments, **kwargs)
        if statistics is not None:
            rows = [f'  {band:>8}  {band_mean:>12.6g}  {band_std:>12.6g}'
                    for band, band_mean, band_std in zip(self.bands, mean, std, strict=True)]
            print_log('\n'.join(['Images are normalised once, by (value - mean) / std:',
                                 f'  {"band":>8}  {"mean":>12}  {"std":>12}', *rows]), logger='current')

    def forward(self, data, training=False):
        """Turn ``inputs`` (list of (C, H, W), or (B, C, H, W)) into a normalised batch on the model's device.

        Args:
            data (dict): ``inputs`` and, optionally, ``data_samples``.
            training (bool): Whether batch augmentations apply.

        Returns:
            dict: ``inputs`` (B, C, H, W) float32 and ``data_samples`` with their labels on the device.
        """
        images, samples = data['inputs'], data.get('data_samples')
        self._check_images(images, samples)
        if samples is not None and self.num_classes is not None:
            self._check_labels(samples)
        if not isinstance(images, torch.Tensor) and all(image.shape == images[0].shape for image in images):
            # One stacked copy to the device and one subtraction, instead of one for each image.
            images = torch.stack(tuple(images))
        return super().forward({**data, 'inputs': images}, training)

    def _check_images(self, images, samples):
        for row, image in enumerate(images):
            if image.ndim != 3 or image.shape[0] != len(self.bands):
                raise ValueError(f'{self._name(samples, row)} has shape {tuple(image.shape)}; expected (channels, '
                                 f'height, width) with {len(self.bands)} channels: {", ".join(self.bands)}')
        if not self._enable_normalize:
            raise ValueError(f'no statistics for the bands {", ".join(self.bands)}, so {self._name(samples, 0)} cannot '
                             'be normalised. Give the model data_preprocessor=dict(statistics=...): a file made by '
                             'tools/dataset_converters/compute_statistics.py, or a mapping of band to mean and std')

    def _check_labels(self, samples):
        # On the host, before the labels travel: no synchronisation.
        for row, sample in enumerate(samples):
            label = sample.get('gt_label')
            if label is not None and not all(0 <= index < self.num_classes for index in label.tolist()):
                raise ValueError(f'{self._name(samples, row)} has the label {label.tolist()}; the model has '
                                 f'{self.num_classes} classes, 0 to {self.num_classes - 1}')

    @staticmethod
    def _name(samples, row):
        return f"image '{sample_id(samples[row], row)}'" if samples is not None else f'image {row} of the batch'


@MODELS.register_module()
class DistillPreprocessor(BaseDataPreprocessor):
    """Prepare the images of both sides, each with its own bands and statistics.

    Args:
        student (ScenePreprocessor): The student's; labels and batch augmentations belong to it.
        teacher (ScenePreprocessor, optional): The teacher's; None where its outputs are read from a gallery.
    """

    def __init__(self, student, teacher=None):
        super().__init__()
        self.student = student
        self.teacher = teacher

    def forward(self, data, training=False):
        """Prepare a batch.

        Args:
            data (dict): ``inputs`` is a mapping with the student's and, beside a teacher in the loop, the teacher's
                images; a plain list of images is taken as the student's.
            training (bool): Whether batch augmentations apply.

        Returns:
            dict: ``inputs``, batches in the form in which they came, and ``data_samples``.
        """
        images = data['inputs']
        if not isinstance(images, Mapping):
            return self.student(data, training)
        batch = self.student({**data, 'inputs': images['student']}, training)
        inputs = {'student': batch['inputs']}
        if self.teacher is not None and 'teacher' in images:
            inputs['teacher'] = self.teacher({'inputs': images['teacher']}, False)['inputs']
        return {'inputs': inputs, 'data_samples': batch['data_samples']}
