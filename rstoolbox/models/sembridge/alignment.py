"""SKA: semantic-aware knowledge alignment, the transport of teacher tokens to the student's positions."""

import torch
import torch.nn.functional as F
from torch import nn

from rstoolbox.models.transfer.base import TransferLoss, check_not_negative, check_positive, full_precision
from rstoolbox.registry import TRANSFER_LOSSES

from ..ranks import of_all_ranks
from .coral import coral_loss
from .released import NUM_HEADS, ReleasedPlanner
from .transport import sinkhorn

# (token_weight, pooled_weight)
DEFAULT_WEIGHTS = dict(sound=(0.05, 0.05), as_released=(0.01, 0.01))


@TRANSFER_LOSSES.register_module()
class SKA(TransferLoss):
    """Align second-order statistics of student and teacher after carrying teacher tokens to the student's positions.

    From SemBridge (arXiv 2511.08901). In the sound variant tokens of both sides are projected to one width: the
    student's by a learned projection, the teacher's by none or, where its width differs, by a fixed orthonormal one, so
    that the target cannot move towards the student. Between them stands a cost, the cosine distance of every student
    token to every teacher token; the masses are what each side's own attention gives its tokens. The plan of
    :func:`sinkhorn` for these carries to every student position a mean of teacher tokens (the barycentric map), and
    CORAL compares the carried tokens with the student's, and the pooled features of both sides.

    The CORAL is its unbiased ``relative`` form, at most about 1 for any network, over the batches of all processes.
    Deep CORAL's own form is divided by the squared width, so that it needs another weight for every network. The pooled
    CORAL depends on which teacher samples are in the batch, not on who is matched with whom; the match is in the
    tokens.

    ``variant='as_released'`` is the published planner (see :class:`ReleasedPlanner`) with its CORAL of scatter matrices
    and its factors of 0.01; it takes only equal token widths and counts.

    Args:
        width (int, optional): The common width. Default: the teacher's.
        token_weight (float, optional): Factor on the CORAL of tokens. Default: 0.05 (``as_released``: 0.01).
        pooled_weight (float, optional): Factor on the CORAL of pooled features. Default: 0.05
            (``as_released``: 0.01).
        epsilon (float): Weight of the plan's entropy in units of the cosine distance, above 0.
        num_iters (int): The most Sinkhorn iterations.
        tol (float): Sinkhorn stops when no column mass is further off.
        variant (str): ``sound`` or ``as_released``.
        loss_weight (float): Factor on the sum.
    """

    needs = ('tokens', 'embedding')

    def __init__(self, width=None, token_weight=None, pooled_weight=None, epsilon=0.1, num_iters=20, tol=1e-3,
                 variant='sound', loss_weight=1.):
        super().__init__(loss_weight)
        if variant not in DEFAULT_WEIGHTS:
            raise ValueError(f"SKA has no variant '{variant}'; it has {', '.join(DEFAULT_WEIGHTS)}.")
        check_positive(self, epsilon=epsilon)
        check_not_negative(self, tol=tol)
        if not isinstance(num_iters, int) or num_iters < 1:
            raise ValueError(f'num_iters of SKA is a whole number of at least 1, got {num_iters!r}')
        token_default, pooled_default = DEFAULT_WEIGHTS[variant]
        self.token_weight = token_default if token_weight is None else token_weight
        self.pooled_weight = pooled_default if pooled_weight is None else pooled_weight
        self.width, self.epsilon, self.num_iters, self.tol, self.variant = width, epsilon, num_iters, tol, variant

    def build(self, student, teacher):
        for side, outputs in (('student', student), ('teacher', teacher)):
            if outputs['tokens'].ndim != 3 or outputs['embedding'].ndim != 2:
                raise ValueError(f'SKA needs tokens (B, N, D) and an embedding (B, D) of the {side}, got '
                                 f'{tuple(outputs["tokens"].shape)} and {tuple(outputs["embedding"].shape)}.')
        student_width, teacher_width = student['tokens'].shape[2], teacher['tokens'].shape[2]
        if self.variant == 'as_released':
            self._check_released(student, teacher)
            self.planner = ReleasedPlanner(student_width)
            return
        width = self.width or teacher_width
        self.student_projection = _near_identity(student_width, width)
        fixed = None if width == teacher_width else _orthonormal(teacher_width, width)
        self.register_buffer('teacher_projection', fixed)
        self.pooled_projection = _near_identity(student['embedding'].shape[1], teacher['embedding'].shape[1])

    def compare(self, student, teacher, labels, progress):
        device = student['tokens'].device.type
        # Fourth powers of features and sums of exponentials leave the range of half precision.
        with torch.autocast(device, enabled=False):
            student = {name: full_precision(values) for name, values in student.items()}
            teacher = {name: full_precision(values) for name, values in teacher.items()}
            if self.variant == 'as_released':
                tokens, pooled = self.planner.coral(student, teacher)
            else:
                tokens, pooled = self._coral(student, teacher)
        return self.token_weight * tokens + self.pooled_weight * pooled

    def plan(self, student_tokens, teacher_tokens):
        """The transport plan between tokens of a batch.

        Args:
            student_tokens (Tensor): (B, N_s, D_s), as tapped.
            teacher_tokens (Tensor): (B, N_t, D_t), as tapped.

        Returns:
            Tensor: (B, N_s, N_t); every item sums to 1, its row and column sums are the attention of either side.
        """
        return self._plan(*self._project(student_tokens, teacher_tokens))

    def _coral(self, student, teacher):
        student_tokens, teacher_tokens = self._project(student['tokens'], teacher['tokens'])
        # The plan says where tokens go. Through it the carried target would move with the student.
        with torch.no_grad():
            plan = self._plan(student_tokens, teacher_tokens)
            carried = (plan / plan.sum(dim=2, keepdim=True)) @ teacher_tokens
        pooled = self.pooled_projection(student['embedding'])
        return (_coral_of_all_ranks(student_tokens.flatten(1), carried.flatten(1)),
                _coral_of_all_ranks(pooled, teacher['embedding']))

    def _project(self, student_tokens, teacher_tokens):
        if self.teacher_projection is not None:
            teacher_tokens = teacher_tokens @ self.teacher_projection
        return self.student_projection(student_tokens), teacher_tokens

    def _plan(self, student_tokens, teacher_tokens):
        cost = 1 - F.normalize(student_tokens, dim=2) @ F.normalize(teacher_tokens, dim=2).transpose(1, 2)
        return sinkhorn(cost, attention_received(student_tokens), attention_received(teacher_tokens), self.epsilon,
                        self.num_iters, self.tol)

    def _check_released(self, student, teacher):
        student_shape, teacher_shape = student['tokens'].shape[1:], teacher['tokens'].shape[1:]
        pooled = student['embedding'].shape[1], teacher['embedding'].shape[1]
        if student_shape != teacher_shape or pooled[0] != pooled[1] or student_shape[1] % NUM_HEADS:
            raise ValueError("SKA with variant='as_released' takes tokens of the same count and width (a multiple of "
                             f'{NUM_HEADS}) and pooled features of the same width on both sides; got (N, D) = '
                             f'{tuple(student_shape)} and {tuple(teacher_shape)}, pooled {pooled[0]} and {pooled[1]}. '
                             "variant='sound' takes any.")


def _coral_of_all_ranks(student, teacher):
    return coral_loss(of_all_ranks(student), of_all_ranks(teacher), variant='relative')


def attention_received(tokens):
    """The share of attention that every token of a sample gets from all of them: (B, N, D) -> (B, N), rows sum to 1.

    Multi-head scaled dot products of the tokens themselves, brought to unit mean square by sample and head, so that
    what is strong or shared gets more. No weights: on the teacher's side there would be nothing to train them but the
    student, and on the student's they would learn the masses that hide a difference.
    """
    batch, count, width = tokens.shape
    heads = NUM_HEADS if width % NUM_HEADS == 0 else 1
    views = tokens.reshape(batch, count, heads, width // heads).transpose(1, 2)
    mean_square = views.square().mean(dim=(2, 3), keepdim=True).clamp(min=torch.finfo(tokens.dtype).tiny)
    logits = views @ views.transpose(2, 3) / (mean_square * (width // heads)**0.5)
    return torch.softmax(logits, dim=3).mean(dim=(1, 2))


def _near_identity(width_in, width_out):
    """A linear map that starts as the identity, or as an orthonormal one where the widths differ."""
    layer = nn.Linear(width_in, width_out, bias=False)
    nn.init.eye_(layer.weight) if width_in == width_out else nn.init.orthogonal_(layer.weight)
    return layer


def _orthonormal(width_in, width_out):
    """A fixed matrix (width_in, width_out) with orthonormal columns, or rows where it widens."""
    generator = torch.Generator().manual_seed(0)
    square = torch.randn(max(width_in, width_out), min(width_in, width_out), generator=generator, dtype=torch.float64)
    basis = torch.linalg.qr(square).Q.float()
    return basis if width_in >= width_out else basis.T.contiguous()
