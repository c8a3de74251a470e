"""The embedded data set with few labelled images."""

import numpy as np

from rstoolbox.datasets import MiniS2S
from rstoolbox.registry import DATASETS


@DATASETS.register_module()
class FewShotMiniS2S(MiniS2S):
    """The first ``shots`` images of every class in a split of :class:`MiniS2S`.

    Args:
        shots (int): Images a class keeps, at least 1.
        **kwargs: Those of :class:`MiniS2S`.

    Raises:
        ValueError: If a class of the split has fewer images than that.
    """

    def __init__(self, shots, **kwargs):
        if shots < 1:
            raise ValueError(f'FewShotMiniS2S keeps at least one image of each class, got shots={shots}.')
        # Listing reads file names only, so asking for all of them first costs little.
        labels = MiniS2S(**kwargs).gt_labels
        rows = [np.flatnonzero(labels == label)[:shots] for label in range(len(self.METAINFO['classes']))]
        for name, found in zip(self.METAINFO['classes'], rows, strict=True):
            if len(found) < shots:
                raise ValueError(f"Class '{name}' has {len(found)} images in split '{kwargs.get('split', 'all')}', but "
                                 f'shots={shots} asks for more.')
        super().__init__(indices=np.sort(np.concatenate(rows)).tolist(), **kwargs)
