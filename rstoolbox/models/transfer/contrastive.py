"""CRD: a sample's student and teacher embeddings are told from those of other samples."""

import math

import torch
import torch.nn.functional as F
from mmengine.dist import all_reduce
from torch import nn

from rstoolbox.registry import TRANSFER_LOSSES

from ..ranks import of_all_ranks
from .base import TransferLoss, check_ranks, full_precision, is_number, unit_length


@TRANSFER_LOSSES.register_module()
class CRD(TransferLoss):
    r"""Contrastive representation distillation.

    Tian, Krishnan and Isola, "Contrastive Representation Distillation", ICLR 2020. Linear maps bring both embeddings to
    one width and to unit length. The student's is contrasted with the teacher's entries and the teacher's with the
    student's, each time by :func:`noise_contrastive_loss` of the scores :math:`u \cdot v / \tau`; the entry of the same
    sample is the positive one.

    The paper keeps an entry for every sample of the data set and draws negatives by index. Here entries are those of
    the last ``queue_size`` samples, first in, first out, and of the batch itself; negative are all that share no class
    with the sample (without labels, all but its own), so that a batch is enough to start with. A sample without any
    negative adds nothing. Entries of the batch are trained from both directions, those of the queue are constants, as
    all are in the paper's code.

    The constant that normalises the scores is their mean over random directions (:func:`log_mean_score`); the paper's
    code takes the mean over its first batch, whose entries are random.

    The queue is filled in training mode only and goes into the training checkpoint. Several processes share one, of the
    samples of all.

    Args:
        width (int): Width of the common space, at least 1.
        tau (float): Temperature, at least 0.01.
        queue_size (int): Samples in the queue, at least 0.
        loss_weight (float): Factor on the sum of both directions; the default is the paper's.
    """

    needs = ('embedding',)

    def __init__(self, width=128, tau=0.07, queue_size=16384, loss_weight=0.8):
        super().__init__(loss_weight)
        whole = isinstance(width, int) and isinstance(queue_size, int)
        if not (whole and is_number(tau)) or width < 1 or queue_size < 0 or tau < 0.01:
            raise ValueError('CRD needs width of at least 1, queue_size of at least 0 and tau of at least 0.01, got '
                             f'{width!r}, {queue_size!r} and {tau!r}')
        self.width, self.tau, self.queue_size = width, tau, queue_size
        self.log_mean = log_mean_score(width, tau)

    def build(self, student, teacher):
        check_ranks(self, student, teacher)
        self.student_projection = nn.Linear(student['embedding'].shape[1], self.width)
        self.teacher_projection = nn.Linear(teacher['embedding'].shape[1], self.width)
        self.queue = SampleQueue(self.queue_size, self.width)

    def compare(self, student, teacher, labels, progress):
        student, teacher = full_precision(student['embedding']), full_precision(teacher['embedding'])
        with torch.autocast(student.device.type, enabled=False):
            student = unit_length(self.student_projection(student))
            teacher = unit_length(self.teacher_projection(teacher))
            classes = self.queue.align(_classes(labels, student))
            negative = self.queue.negative(classes)
            value = (self._contrast(student, torch.cat([teacher, self.queue.teacher]), negative)
                     + self._contrast(teacher, torch.cat([student, self.queue.student]), negative))
        if self.training:
            self.queue.push(student=student, teacher=teacher, classes=classes)
        return value

    def _contrast(self, anchors, entries, negative):
        scores = anchors @ entries.T / self.tau
        return noise_contrastive_loss(scores.diagonal(), scores, negative, self.log_mean)


class SampleQueue(nn.Module):
    """Both embeddings and the classes of the last samples, the newest first.

    Args:
        size (int): The most samples.
        width (int): Width of an embedding.
    """

    def __init__(self, size, width):
        super().__init__()
        self.size = size
        self.register_buffer('student', torch.zeros(size, width))
        self.register_buffer('teacher', torch.zeros(size, width))
        self.register_buffer('filled', torch.zeros(size, dtype=torch.bool))
        # As many columns as there are classes among the labels seen so far.
        self.register_buffer('classes', torch.zeros(size, 0, dtype=torch.bool))

    def align(self, classes):
        """The batch's classes (B, C) of bool with as many columns as the queue has, on all ranks; either is widened."""
        width = classes.new_tensor(max(classes.shape[1], self.classes.shape[1]), dtype=torch.long)
        all_reduce(width, 'max')
        width = int(width)
        self.classes = F.pad(self.classes, (0, width - self.classes.shape[1]))
        return F.pad(classes, (0, width - classes.shape[1]))

    def negative(self, classes):
        """Which entries (B, B + size), the batch's own first, share no class with which sample of the batch."""
        entries = torch.cat([classes, self.classes])
        present = classes.any(dim=0)  # no other class can be shared
        classes, entries = classes[:, present], entries[:, present]
        negative = classes.float() @ entries.float().T == 0
        negative[:, :len(classes)].fill_diagonal_(False)
        negative[:, len(classes):] &= self.filled
        return negative

    def push(self, **samples):
        """Put ``student`` and ``teacher`` embeddings and ``classes`` of all ranks in front, the oldest entries out."""
        # Were the queues not the same, the averaging of buffers over ranks would mix different samples.
        samples['filled'] = self.filled.new_ones(len(samples['classes']))
        for name, new in samples.items():
            setattr(self, name, torch.cat([of_all_ranks(new.detach()), getattr(self, name)])[:self.size])

    def _load_from_state_dict(self, state_dict, prefix, *args, **kwargs):
        saved = state_dict.get(f'{prefix}classes')
        if saved is not None:
            self.classes = self.classes.new_zeros(self.size, saved.shape[1])
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)


def noise_contrastive_loss(positive, scores, negative, log_mean):
    r"""Noise-contrastive estimation of which entry belongs to a sample.

    Of N negatives with scores :math:`z_j`, a positive one with :math:`z_+` and the mean :math:`\bar e` of
    :math:`e^z` over entries drawn at random, the mean over samples of
    :math:`-\ln h(z_+) - \sum_j \ln(1 - h(z_j))` with :math:`h(z) = e^z / (e^z + N \bar e)`. With
    :math:`p = e^z / (M \bar e)` the probability of one of M entries, this is the paper's
    :math:`h = p / (p + N / M)`, in which M cancels.

    Args:
        positive (Tensor): (B,), the scores of the positive entries.
        scores (Tensor): (B, M), the scores of all entries.
        negative (Tensor): (B, M) of bool, which of them are negative. A sample with none adds nothing.
        log_mean (float | Tensor): The logarithm of the mean of exponentiated scores.

    Returns:
        Tensor: A scalar, at least 0.
    """
    count = negative.sum(dim=1)
    threshold = log_mean + count.clamp(min=1).to(scores.dtype).log()
    loss = -F.logsigmoid(positive - threshold) * (count > 0)
    return (loss - F.logsigmoid(threshold[:, None] - scores).masked_fill(~negative, 0).sum(dim=1)).mean()


def log_mean_score(width, tau):
    r"""The logarithm of the mean of :math:`e^{u \cdot v / \tau}` over independent directions u and v.

    :math:`\sum_k \frac{(1/\tau)^{2k}}{(2k)!} \mathrm{E}(u \cdot v)^{2k}`, whose terms have the ratio
    :math:`\tau^{-2} / (2k (D + 2k - 2))`.

    Args:
        width (int): D, the number of dimensions.
        tau (float): Temperature, at least 0.01.
    """
    total = term = 1.
    step = 0
    while term > 1e-17 * total:
        step += 2
        term /= tau ** 2 * step * (width + step - 2)
        total += term
    return math.log(total)


def _classes(labels, student):
    """Which classes every sample has, (B, C) of bool; no columns if there are no labels."""
    if labels is None:
        labels = student.new_zeros(len(student), 0)
    if labels.ndim not in (1, 2) or len(labels) != len(student):
        raise ValueError(f'CRD takes labels of shape ({len(student)},) or ({len(student)}, classes), got '
                         f'{tuple(labels.shape)}')
    if labels.ndim == 1:
        if (labels < 0).any():
            raise ValueError(f'CRD got the label {labels.min().item()}, expected class indices from 0')
        labels = F.one_hot(labels.long())
    return labels.to(student.device) > 0
