"""How well the matcher brings both views of a scene together."""

import torch
from mmengine.evaluator import BaseMetric

from rstoolbox.registry import METRICS


@METRICS.register_module()
class MatcherMetric(BaseMetric):
    """The matcher's loss over the whole validation split, and how often the nearest scene is the right one.

    Reads ``matcher_loss``, ``ms_embedding`` and ``rgb_embedding`` of the samples that
    :class:`~rstoolbox.models.SceneMatcher` gives in mode ``predict``.

    Metrics: ``loss``, the mean over samples of the InfoNCE loss within their validation batch; ``recall_ms_to_rgb`` and
    ``recall_rgb_to_ms``, in percent: among all scenes of the split the most similar one is the other view.

    Args:
        collect_device (str): ``cpu`` or ``gpu``, where ranks exchange results.
        prefix (str, optional): In front of the names.
    """

    default_prefix = ''  # None would have mmengine warn at every start

    def __init__(self, collect_device='cpu', prefix=None):
        super().__init__(collect_device=collect_device, prefix=prefix)

    def process(self, data_batch, data_samples):
        """Keep loss and embeddings of one batch of samples, given as dicts."""
        for sample in data_samples:
            if 'matcher_loss' not in sample:
                raise ValueError('MatcherMetric scores a SceneMatcher; this model gives samples with '
                                 f'{", ".join(sorted(sample))} only.')
            self.results.append((sample['matcher_loss'], sample['ms_embedding'].cpu(), sample['rgb_embedding'].cpu()))

    def compute_metrics(self, results):
        """Return the metrics of all samples."""
        losses, ms, rgb = zip(*results, strict=True)
        ms, rgb = torch.stack(ms), torch.stack(rgb)
        return dict(loss=sum(losses) / len(losses), recall_ms_to_rgb=_recall(ms, rgb),
                    recall_rgb_to_ms=_recall(rgb, ms))


def _recall(queries, candidates, block=1024):
    hits = sum(int(((queries[start:start + block] @ candidates.T).argmax(dim=1).cpu()
                    == torch.arange(start, min(start + block, len(queries)))).sum())
               for start in range(0, len(queries), block))
    return 100 * hits / len(queries)
