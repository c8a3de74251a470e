"""A measure of agreement that chance cannot earn."""

import numpy as np
from mmengine.evaluator import BaseMetric
from sklearn.metrics import cohen_kappa_score

from rstoolbox.registry import METRICS


@METRICS.register_module()
class CohenKappa(BaseMetric):
    r"""Cohen's kappa, :math:`(p_o - p_e) / (1 - p_e)`, in percent.

    :math:`p_o` is the share of right answers and :math:`p_e` the share that guessing with the same class frequencies
    would get right. 100 is perfect, 0 as good as guessing.

    Args:
        collect_device (str): 'cpu' or 'gpu', where the results of several processes are gathered.
        prefix (str, optional): Stands before the name in the log, with a slash.
    """

    def process(self, data_batch, data_samples):
        """Keep label and answer of each sample."""
        self.results += [(int(sample['gt_label']), int(sample['pred_score'].argmax())) for sample in data_samples]

    def compute_metrics(self, results):
        """Return ``{'kappa': percent}``."""
        truth, answer = np.array(results).T
        if len(np.unique([truth, answer])) == 1:  # one class throughout: guessing is always right, kappa is 0 / 0
            return dict(kappa=0.)
        return dict(kappa=100 * float(cohen_kappa_score(truth, answer)))
