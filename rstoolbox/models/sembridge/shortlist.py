"""A shortlist for each student sample: the teacher samples of its class that look most like it."""

import torch
import torch.nn.functional as F

from .matching import log_probabilities, members_by_class

COSINES_PER_BLOCK = 2**22  # sorted with their places: 100 MB


def shortlist_by_similarity(student_embeddings, student_labels, gallery_embeddings, gallery_labels, size):
    """The gallery samples of its own class with the largest cosines, for every student sample.

    Args:
        student_embeddings (Tensor): (S, D), of any norm.
        student_labels (Tensor): (S,) class indices.
        gallery_embeddings (Tensor): (G, D), of any norm.
        gallery_labels (Tensor): (G,) class indices or (G, K) multi-hot.
        size (int): Length of a list, K.

    Returns:
        Tensor: (S, K) int64 rows of the gallery, nearest first; the last of a class with fewer samples is repeated.

    Raises:
        ValueError: For a class without a gallery sample or a size below 1.
    """
    if size < 1:
        raise ValueError(f'A shortlist holds at least one sample, got size={size}.')
    student, gallery = F.normalize(student_embeddings.double(), dim=1), F.normalize(gallery_embeddings.double(), dim=1)
    labels, members = members_by_class(student_labels, gallery_labels)
    labels = torch.from_numpy(labels)
    lists = torch.empty(len(student), size, dtype=torch.int64)
    for label, rows in members.items():
        rows = torch.from_numpy(rows)
        for here in (labels == label).nonzero()[:, 0].split(max(COSINES_PER_BLOCK // len(rows), 1)):
            # A stable sort, so that of equal cosines the lowest index comes first on every machine.
            order = torch.sort(student[here] @ gallery[rows].T, dim=1, descending=True, stable=True).indices[:, :size]
            order = torch.cat([order, order[:, -1:].expand(-1, size - order.shape[1])], dim=1)
            lists[here] = rows[order]
    return lists


def match_in_shortlist(student_logits, shortlist, gallery_logits, tau=3., multi_label=False):
    """The sample of each student's shortlist with the smallest ``KL(gallery || student)`` at a temperature.

    Over a whole class the smallest divergence lies mostly with the few samples on which the teacher is least sure, and
    many students end up sharing one of them. Among samples that look alike, it is the one that suits the student.

    Args:
        student_logits (Tensor): (S, C).
        shortlist (Tensor): (S, K) rows of the gallery.
        gallery_logits (Tensor | ndarray): (G, C).
        tau (float): Temperature, above 0.
        multi_label (bool): The gallery's logits are those of a sigmoid head (:func:`log_probabilities`).

    Returns:
        Tensor: (S,) int64 rows of the gallery. Of equal divergences the one that stands first in the list wins.

    Raises:
        ValueError: For a shortlist of another length, or logits that are not finite.
    """
    shortlist = torch.as_tensor(shortlist)
    if shortlist.ndim != 2 or len(shortlist) != len(student_logits):
        raise ValueError(f'A shortlist is (students, K) rows of the gallery; got {tuple(shortlist.shape)} for '
                         f'{len(student_logits)} students.')
    candidates = torch.as_tensor(gallery_logits[shortlist.reshape(-1).numpy()])
    log_student = log_probabilities(student_logits.double().cpu() / tau, multi_label)[:, None]
    log_teacher = log_probabilities(candidates.double().reshape(*shortlist.shape, -1) / tau, multi_label)
    divergence = (log_teacher.exp() * (log_teacher - log_student)).sum(dim=2)
    if not torch.isfinite(divergence).all():
        raise ValueError('The logits of a student or a teacher sample hold NaN or infinity.')
    return shortlist.gather(1, divergence.argmin(dim=1, keepdim=True))[:, 0]
