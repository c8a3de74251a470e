"""Pictures of what a model predicts."""

from pathlib import Path

from mmengine.hooks import Hook

from rstoolbox.registry import HOOKS
from rstoolbox.visualization import draw_prediction


@HOOKS.register_module()
class ShowPredictionsHook(Hook):
    """Draws every tested image with its true and its predicted class.

    Args:
        folder (str): Pictures go to ``<folder>/<sample id>.png``.

    Raises:
        ValueError: In a test, if its samples have no class, as those of a detector or segmentor.
    """

    def __init__(self, folder):
        self.folder = Path(folder)

    def after_test_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        classes = runner.test_dataloader.dataset.metainfo['classes']
        for image, sample in zip(data_batch['inputs'], outputs, strict=True):
            if 'pred_label' not in sample or 'gt_label' not in sample:
                raise ValueError(f'Pictures of predictions are drawn of classified scenes; the test gives '
                                 f'{type(sample).__name__}, without class. Leave --show-dir out, and put the hook that '
                                 'draws them into default_hooks, such as mmseg.SegVisualizationHook.')
            truth, prediction = (', '.join(classes[index] for index in label.tolist())
                                 for label in (sample.gt_label, sample.pred_label))
            score = sample.pred_score[sample.pred_label].min().item() if len(sample.pred_label) else 0.
            draw_prediction(image.permute(1, 2, 0).numpy(), sample.bands, truth, prediction, score,
                            (self.folder / sample.sample_id).with_suffix('.png'))
