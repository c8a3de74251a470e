"""What every transfer loss shares: its weight, its view of both networks and its one call."""

import torch
from torch import nn


class TransferLoss(nn.Module):
    """A loss between what a student and a frozen teacher put out for the same batch.

    A subclass names the outputs it ``needs`` and implements :meth:`compare`; one with trainable parts (projections,
    a learned temperature) creates them in :meth:`build`, where the shapes of both sides are known.

    ``student`` and ``teacher`` are mappings with any of

    - ``logits``: (B, C), as the head gives them, before any softmax or sigmoid;
    - ``embedding``: (B, D), the pooled feature;
    - ``tokens``: (B, N, D), the last feature map as a sequence of positions;
    - ``feats``: list of (B, D_i, H_i, W_i), the feature maps from shallow to deep (a single map is also taken).

    Args:
        loss_weight (float): Factor on the value that a call returns.
    """

    needs = ('logits',)

    def __init__(self, loss_weight=1.):
        super().__init__()
        self.loss_weight = loss_weight
        self.prepared = False

    def build(self, student, teacher):
        """Create trainable parts and check widths; ``student`` and ``teacher`` are outputs for some batch.

        Called once, by :meth:`prepare`. The default needs nothing.
        """

    def compare(self, student, teacher, labels, progress):
        """Return the unweighted loss, a scalar tensor. Arguments as in :meth:`forward`, the teacher's detached."""
        raise NotImplementedError(f'{type(self).__name__} does not implement compare()')

    def prepare(self, student, teacher):
        """Build what depends on the shapes of both sides; further calls do nothing.

        The distiller calls it before the optimizer is built. Where nobody did, the first :meth:`forward` does.

        Raises:
            ValueError: If either side lacks an output in ``needs``, or they disagree in a way the loss cannot bridge.
        """
        if self.prepared:
            return
        student, teacher = self._view(student, 'student'), self._view(teacher, 'teacher')
        self.build(student, teacher)
        reference = student[self.needs[0]]
        reference = reference[-1] if isinstance(reference, list) else reference
        self.to(reference.device)
        self.prepared = True

    def forward(self, student, teacher, labels=None, progress=0.):
        """Compare the two sides.

        Args:
            student (Mapping): The student's outputs; gradients flow into them.
            teacher (Mapping): The teacher's outputs for the matched samples, row by row; no gradient flows into them.
            labels (Tensor, optional): Class indices (B,), or a multi-hot (B, C), of the student's samples.
            progress (float): How far training is, from 0 to 1.

        Returns:
            Tensor: A scalar, ``loss_weight`` included.

        Raises:
            ValueError: If either side lacks an output in ``needs``.
        """
        if not self.prepared:
            self.prepare(student, teacher)
        value = self.compare(self._view(student, 'student'), self._view(teacher, 'teacher'), labels, progress)
        return self.loss_weight * value

    def _view(self, outputs, side):
        """The outputs in ``needs``: feature maps as a list, the teacher's without history."""
        view = {}
        for name in self.needs:
            value = outputs.get(name)
            if value is None:
                raise ValueError(f'{type(self).__name__} needs {name!r} of the {side}, which gives '
                                 f'{", ".join(sorted(outputs)) or "nothing"}')
            if name == 'feats':
                value = [value] if isinstance(value, torch.Tensor) else list(value)
            if side == 'teacher':
                value = [map_.detach() for map_ in value] if name == 'feats' else value.detach()
            view[name] = value
        return view

    def extra_repr(self):
        return f'loss_weight={self.loss_weight}'


def full_precision(values):
    """``values`` in float32 where they are in half precision: sums of exponentials need its range."""
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values


def check_same_classes(loss, student, teacher):
    """Raise a ``ValueError`` unless both sides' logits have the same number of classes."""
    if student['logits'].shape[1] != teacher['logits'].shape[1]:
        raise ValueError(f'{type(loss).__name__} compares class by class, but the student has '
                         f'{student["logits"].shape[1]} classes and the teacher {teacher["logits"].shape[1]}; '
                         'give both the same classes in the same order')
