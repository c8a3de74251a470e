"""SemBridge's planner as it was published, kept to compare with."""

import torch
from torch import nn

from .coral import coral_loss

NUM_HEADS = 8


class ReleasedPlanner(nn.Module):
    """The published planner: tokens of each side reweighted by that side's own attention, then CORAL.

    Its "cross-modal" weights are an outer product averaged over the other side; as attention rows sum to 1, that
    average carries nothing of the other side but a factor, which the energy scaling then removes. The value rows of
    ``qkv`` are never used. Both are kept, so that published weights load and published numbers come out.

    Args:
        width (int): Width of the tokens of both sides, a multiple of 8.
    """

    def __init__(self, width):
        super().__init__()
        self.teacher_qkv = nn.Linear(width, 3 * width, bias=False)
        self.student_qkv = nn.Linear(width, 3 * width, bias=False)

    def forward(self, student_tokens, teacher_tokens):
        """Return the reweighted tokens of the student (B, N_s, C) and of the teacher (B, N_t, C)."""
        student_received = attention(student_tokens, self.student_qkv.weight).mean(dim=2)
        teacher_received = attention(teacher_tokens, self.teacher_qkv.weight).mean(dim=2)
        cross = student_received[..., :, None] * teacher_received[..., None, :]
        # Divided by the mean of the weights that were averaged over, as published; it leaves the side's own weights.
        student_weights = (cross.mean(dim=3) / teacher_received.mean(dim=2, keepdim=True)).mean(dim=1)
        teacher_weights = (cross.mean(dim=2) / student_received.mean(dim=2, keepdim=True)).mean(dim=1)
        return _reweight(student_tokens, student_weights), _reweight(teacher_tokens, teacher_weights)

    def coral(self, student, teacher):
        """Return the published CORAL on flattened reweighted tokens and the one on pooled features."""
        student_tokens, teacher_tokens = self(student['tokens'], teacher['tokens'])
        return (coral_loss(student_tokens.flatten(1), teacher_tokens.flatten(1), variant='as_released'),
                coral_loss(student['embedding'], teacher['embedding'], variant='as_released'))


def attention(tokens, qkv):
    """The map (B, 8, N, N) of 8-head self-attention of ``tokens`` (B, N, C) under the weight ``qkv`` (3C, C)."""
    batch, count, width = tokens.shape
    query, key, _ = (tokens @ qkv.T).reshape(batch, count, 3, NUM_HEADS, width // NUM_HEADS).permute(2, 0, 3, 1, 4)
    return torch.softmax(query @ key.transpose(2, 3) * (width // NUM_HEADS)**-0.5, dim=-1)


def _reweight(tokens, weights):
    """Scale every token by its weight, then all of a sample so that their mean keeps its energy."""
    weighted = tokens * weights[..., None]
    energy_before, energy_after = (values.mean(dim=1).square().sum(dim=1) for values in (tokens, weighted))
    return weighted * (energy_before / energy_after).sqrt()[:, None, None]
