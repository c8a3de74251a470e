"""What a vision-language model answers in a test: as pictures, and as lines that can be scored later."""

from pathlib import Path

from mmengine.dist import collect_results, is_main_process
from mmengine.hooks import Hook

from rstoolbox.evaluation import write_dump
from rstoolbox.heads import split_canvas
from rstoolbox.registry import HOOKS
from rstoolbox.visualization.answer import draw_answer


@HOOKS.register_module()
class ShowAnswersHook(Hook):
    """Draws every tested image, or pair, with what the model answers.

    Args:
        folder (str): Pictures go to ``<folder>/<number of the record>_<task>.png``.
    """

    def __init__(self, folder):
        self.folder = Path(folder)

    def after_test_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        for image, sample in zip(data_batch['inputs'], outputs, strict=True):
            pixels = image.cpu().numpy()
            images = split_canvas(pixels) if sample.task == 'PIX_CHG' else (pixels,)
            draw_answer(images, sample.pred_answer, self.folder / f'{sample.sample_id}_{sample.task}.png',
                        f'{sample.prompt} ({sample.answer})', category=sample.get('category') or '')


@HOOKS.register_module()
class DumpAnswersHook(Hook):
    """Writes every tested record and what the model answered as JSON lines (:mod:`rstoolbox.evaluation.dump`).

    Args:
        path (str): The file.
    """

    def __init__(self, path):
        self.path, self._lines = path, []

    def after_test_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        for sample in outputs:
            scores = sample.pred_answer.scores
            self._lines.append(dict(
                task=sample.task, image=sample.image_id, size=list(sample.image_size), category=sample.get('category'),
                question=sample.prompt, answer=sample.pred_answer.text, gt=sample.answer,
                references=sample.get('references') or [],
                scores=None if scores is None else [float(score) for score in scores]))
        # Before they are scored: where that fails, hours of answers are there to be scored again.
        if batch_idx + 1 == len(runner.test_dataloader):
            lines = collect_results(self._lines, len(runner.test_dataloader.dataset))
            if is_main_process():
                write_dump(lines, self.path)
