"""How well the matcher brings both views of a scene together."""

import torch
import torch.nn.functional as F
from mmengine.evaluator import BaseMetric

from rstoolbox.registry import METRICS

COMPARED = 128  # scenes that the loss tells apart, whatever the batch size: more of them make every loss larger


@METRICS.register_module()
class MatcherMetric(BaseMetric):
    """The matcher's loss over the whole validation split, and how often the nearest scene is the right one.

    Reads ``matcher_scale``, ``ms_embedding`` and ``rgb_embedding`` of the samples that
    :class:`~rstoolbox.models.SceneMatcher` gives in mode ``predict``.

    Metrics: ``loss``, the mean over samples of the symmetric InfoNCE loss within each 128 scenes that follow one
    another in the split, the same for any batch size and number of processes; ``recall_ms_to_rgb`` and
    ``recall_rgb_to_ms``, in percent: among all scenes of the split the most similar one is the other view.

    Args:
        collect_device (str): ``cpu`` or ``gpu``, where ranks exchange results.
        prefix (str, optional): In front of the names.
    """

    default_prefix = ''  # None would have mmengine warn at every start

    def __init__(self, collect_device='cpu', prefix=None):
        super().__init__(collect_device=collect_device, prefix=prefix)

    def process(self, data_batch, data_samples):
        """Keep scale and embeddings of one batch of samples, given as dicts."""
        for sample in data_samples:
            if 'matcher_scale' not in sample:
                raise ValueError('MatcherMetric scores a SceneMatcher; this model gives samples with '
                                 f'{", ".join(sorted(sample))} only.')
            self.results.append((sample['matcher_scale'], sample['ms_embedding'].cpu(), sample['rgb_embedding'].cpu()))

    def compute_metrics(self, results):
        """Return the metrics of all samples."""
        scales, ms, rgb = zip(*results, strict=True)
        ms, rgb = torch.stack(ms), torch.stack(rgb)
        return dict(loss=_loss(ms, rgb, scales[0]), recall_ms_to_rgb=_recall(ms, rgb),
                    recall_rgb_to_ms=_recall(rgb, ms))


def _loss(ms, rgb, scale):
    total = 0.
    for queries, candidates in zip(ms.split(COMPARED), rgb.split(COMPARED), strict=True):
        logits, target = scale * queries @ candidates.T, torch.arange(len(queries))
        total += sum(float(F.cross_entropy(side, target, reduction='sum')) for side in (logits, logits.T)) / 2
    return total / len(ms)


def _recall(queries, candidates, block=1024):
    hits = sum(int(((queries[start:start + block] @ candidates.T).argmax(dim=1).cpu()
                    == torch.arange(start, min(start + block, len(queries)))).sum())
               for start in range(0, len(queries), block))
    return 100 * hits / len(queries)
