"""A transfer loss that compares what the two sides find alike, whatever their widths."""

import torch

from rstoolbox.models.transfer import TransferLoss
from rstoolbox.registry import TRANSFER_LOSSES


@TRANSFER_LOSSES.register_module()
class LinearCKA(TransferLoss):
    r"""One minus the linear centred kernel alignment of both sides' embeddings over the batch.

    Kornblith et al., "Similarity of Neural Network Representations Revisited", 2019. With the Gram matrices
    :math:`K = X_s X_s^\top` and :math:`L = X_t X_t^\top` of embeddings centred over the batch,

    .. math:: \mathcal{L} = 1 - \frac{\langle K, L \rangle_F}{\lVert K \rVert_F \, \lVert L \rVert_F}

    It lies between 0 (the same similarities up to scale) and 1. Embeddings may be of different widths.

    Args:
        loss_weight (float): Factor on the loss.
    """

    needs = ('embedding',)

    def compare(self, student, teacher, labels, progress):
        """Return the loss of embeddings (B, D_s) and (B, D_t)."""
        # Sums of squared products leave the range of half precision, into which autocast would put them.
        with torch.autocast(student['embedding'].device.type, enabled=False):
            student, teacher = (_centred_gram(side['embedding'].float()) for side in (student, teacher))
            norms = student.norm() * teacher.norm()
            # A batch without any difference between samples has no similarities to compare.
            return 1 - (student * teacher).sum() / norms.clamp(min=1e-12)


def _centred_gram(embedding):
    centred = embedding - embedding.mean(0)
    return centred @ centred.T
