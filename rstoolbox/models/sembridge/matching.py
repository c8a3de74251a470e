"""Which teacher sample each student sample learns from: the nearest of its own class, in bounded memory."""

import numpy as np
import torch
import torch.nn.functional as F

# A block of scores that stays in a CPU's cache is searched about twice as fast as one that does not.
SCORES_PER_BLOCK = dict(cpu=2**18, cuda=2**25)
GALLERY_ROWS_PER_BLOCK = dict(cpu=2**12, cuda=2**16)
# Scores that differ by less are ties: a matrix product may round two equal gallery rows differently.
TIE = 1e-12


def match_by_divergence(student_logits, student_labels, gallery_logits, gallery_labels, tau=3., multi_label=False):
    """Match every student sample to the gallery sample of its class with the smallest divergence (SemBridge's DynM).

    The score is ``KL(gallery || student)`` between the distributions that :func:`log_probabilities` reads from logits
    divided by tau. With the teacher's entropy as one more column it is a single matrix product per class, in float64
    and in blocks, so memory does not grow with students x gallery. Of equal scores the lowest gallery index wins.

    Args:
        student_logits (Tensor | ndarray): (S, C).
        student_labels (Tensor | ndarray): (S,) class indices.
        gallery_logits (Tensor | ndarray): (G, C); a memory-mapped array is read block by block.
        gallery_labels (Tensor | ndarray): (G,) class indices, or (G, K) multi-hot: a sample then stands for every class
            that it carries.
        tau (float): Temperature, above 0.
        multi_label (bool): The gallery's logits are those of a sigmoid head.

    Returns:
        Tensor: (S,) int64 rows of the gallery, on the CPU.

    Raises:
        ValueError: For lengths or widths that differ, logits that are not finite, or a class without a gallery sample.
    """
    if not tau > 0:
        raise ValueError(f'tau must be above 0, got {tau}.')
    student = _checked_features(student_logits, 'student_logits')
    log_student = log_probabilities(student / tau, multi_label)
    operand = torch.cat([-log_student, torch.ones_like(log_student[:, :1])], dim=1)

    def read_gallery(rows):
        block = _read(gallery_logits, rows, 'gallery_logits', student.device)
        log_teacher = log_probabilities(block / tau, multi_label)
        teacher = log_teacher.exp()
        return torch.cat([teacher, (teacher * log_teacher).sum(1, keepdim=True)], dim=1)

    return _match(operand, student_labels, gallery_logits, gallery_labels, read_gallery, 'logits')


def log_probabilities(logits, multi_label=False):
    """Logarithms of what a teacher's head says, of whose exponentials a divergence is made.

    A softmax head gives one distribution over the classes. A sigmoid head gives one for every class, there or not, and
    the divergence of all is their sum: that of :class:`~rstoolbox.models.transfer.BinaryKD`, which also sets the level
    of a student's logits, open in a softmax, so that its sigmoids have a meaning. A softmax over binary logits would
    ask a teacher which class an image shows if only one, where it may be sure of three.

    Args:
        logits (Tensor): (..., C), divided by the temperature.
        multi_label (bool): Whether they are those of a sigmoid head.

    Returns:
        Tensor: (..., C), or (..., 2 C) of all classes there and then all not there.
    """
    if multi_label:
        return torch.cat([F.logsigmoid(logits), F.logsigmoid(-logits)], dim=-1)
    return F.log_softmax(logits, dim=-1)


def match_by_similarity(student_embeddings, student_labels, gallery_embeddings, gallery_labels):
    """Match every student sample to the gallery sample of its class with the largest cosine (SemBridge's first match).

    Args:
        student_embeddings (Tensor | ndarray): (S, D), of any norm.
        student_labels (Tensor | ndarray): (S,) class indices.
        gallery_embeddings (Tensor | ndarray): (G, D), of any norm; a memory-mapped array is read block by block.
        gallery_labels (Tensor | ndarray): (G,) class indices or (G, K) multi-hot.

    Returns:
        Tensor: (S,) int64 rows of the gallery, on the CPU. Of equal cosines the lowest index wins.

    Raises:
        ValueError: As :func:`match_by_divergence`.
    """
    student = _checked_features(student_embeddings, 'student_embeddings')

    def read_gallery(rows):
        return F.normalize(_read(gallery_embeddings, rows, 'gallery_embeddings', student.device), dim=1)

    return _match(-F.normalize(student, dim=1), student_labels, gallery_embeddings, gallery_labels, read_gallery,
                  'embeddings')


def _match(operand, student_labels, gallery, gallery_labels, read_gallery, what):
    """Rows of the gallery with the smallest ``operand @ read_gallery(rows).T`` within each student's class."""
    if len(operand) != len(student_labels):
        raise ValueError(f'{len(operand)} rows of student {what} but {len(student_labels)} student labels.')
    if len(gallery) != len(gallery_labels):
        raise ValueError(f'{len(gallery)} rows of gallery {what} but {len(gallery_labels)} gallery labels.')
    student_labels, members = members_by_class(student_labels, gallery_labels)
    matched = torch.zeros(len(operand), dtype=torch.int64)
    for label, rows in members.items():
        here = torch.from_numpy(np.flatnonzero(student_labels == label))
        nearest = _smallest_products(operand[here.to(operand.device)], rows, read_gallery)
        matched[here] = torch.from_numpy(rows)[nearest.cpu()]
    return matched


def _smallest_products(operand, rows, read_gallery):
    device = operand.device.type
    gallery_step = GALLERY_ROWS_PER_BLOCK[device]
    best = operand.new_full((len(operand),), float('inf'))
    nearest = torch.zeros(len(operand), dtype=torch.int64, device=operand.device)
    for start in range(0, len(rows), gallery_step):
        block = read_gallery(rows[start:start + gallery_step])
        if block.shape[1] != operand.shape[1]:
            raise ValueError('Student and gallery must have the same width; they differ by '
                             f'{operand.shape[1] - block.shape[1]:+d} columns.')
        has_twins = _has_twins(block)
        step = max(1, SCORES_PER_BLOCK[device] // len(block))
        for first in range(0, len(operand), step):
            scores = operand[first:first + step] @ block.T
            least, index = _least(scores)
            if has_twins:
                index = (scores <= (least + TIE * least.abs().clamp(min=1))[:, None]).byte().argmax(dim=1)
            sofar, chosen = best[first:first + step], nearest[first:first + step]
            if start:
                better = least < sofar - TIE * sofar.abs().clamp(min=1)
                least, index = torch.where(better, least, sofar), torch.where(better, index + start, chosen)
            sofar.copy_(least)
            chosen.copy_(index)
    return nearest


def _least(scores):
    """The smallest score of every row and where it stands first."""
    if scores.device.type != 'cpu':
        return scores.min(dim=1)
    # Several times as fast as torch's search on a CPU, which would take most of the whole time.
    index = torch.from_numpy(scores.numpy().argmin(axis=1))
    return scores.gather(1, index[:, None])[:, 0], index


def _has_twins(block):
    """Whether two rows may be equal: then every student ties between them, and rounding must not choose."""
    weights = torch.linspace(1, 2, block.shape[1], dtype=block.dtype, device=block.device)
    keys = (block * weights).sum(dim=1).sort().values
    return bool((keys.diff() <= TIE * keys.abs().amax().clamp(min=1)).any())


def members_by_class(student_labels, gallery_labels):
    """The student labels as an array, and for each class among them the gallery rows that carry it."""
    student_labels = _labels_as_array(student_labels)
    gallery_labels = _labels_as_array(gallery_labels)
    if student_labels.ndim != 1:
        raise ValueError(f'student_labels must be one class index for each sample, got shape {student_labels.shape}.')
    members = {}
    for label in np.unique(student_labels).tolist():
        if gallery_labels.ndim == 1:
            rows = np.flatnonzero(gallery_labels == label)
        else:
            known = 0 <= label < gallery_labels.shape[1]
            rows = np.flatnonzero(gallery_labels[:, label]) if known else np.empty(0, dtype=np.int64)
        if not len(rows):
            raise ValueError(f'Class {label} has {int((student_labels == label).sum())} student sample(s) but no '
                             'gallery sample to match them with. Add teacher samples of that class or leave it out of '
                             "the student's classes.")
        members[label] = rows
    return student_labels, members


def _labels_as_array(labels):
    labels = labels.detach().cpu().numpy() if isinstance(labels, torch.Tensor) else np.asarray(labels)
    if labels.ndim == 1 and labels.size and labels.dtype.kind not in 'iub':
        raise ValueError(f'Labels must be integers, got {labels.dtype}.')
    if labels.ndim not in (1, 2):
        raise ValueError('Labels must be (samples,) indices or (samples, classes) multi-hot, got shape '
                         f'{labels.shape}.')
    return labels


def _checked_features(features, name):
    if getattr(features, 'ndim', None) != 2:
        raise ValueError(f'{name} must be a tensor or array of two dimensions (samples, columns), got '
                         f'{getattr(features, "shape", type(features).__name__)}.')
    device = features.device if isinstance(features, torch.Tensor) else 'cpu'
    return _read(features, np.arange(len(features)), name, device)


def _read(features, rows, name, device):
    """The given rows in float64, where a NaN or infinity is refused: it would win or lose every comparison silently."""
    if isinstance(features, torch.Tensor):
        block = features.detach()[torch.from_numpy(rows).to(features.device)].to(device, torch.float64)
    else:
        block = torch.from_numpy(np.asarray(features[rows], dtype=np.float64)).to(device)
    finite = torch.isfinite(block).all(dim=1)
    if not finite.all():
        row = rows[int((~finite).nonzero()[0])]
        raise ValueError(f'{name} holds NaN or infinity in row {row} ({int((~finite).sum())} such rows in its block).')
    return block
