"""What a vision-language model answers in a test: as pictures, and as lines that can be scored later."""

import json
from pathlib import Path

from mmengine.dist import barrier, collect_results, get_rank, is_main_process
from mmengine.hooks import Hook

from rstoolbox.evaluation import write_dump
from rstoolbox.heads import head_for, split_canvas
from rstoolbox.heads.shapes import RegionSlot
from rstoolbox.registry import HOOKS
from rstoolbox.structures import Answer
from rstoolbox.visualization.answer import draw_answer


@HOOKS.register_module()
class ShowAnswersHook(Hook):
    """Draws every tested image, or pair, with what the model answers and what was to be answered.

    Args:
        folder (str): Pictures go to ``<folder>/<number of the record>_<task>.png``.
    """

    def __init__(self, folder):
        self.folder = Path(folder)

    def after_test_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        for image, sample in zip(data_batch['inputs'], outputs, strict=True):
            pixels = image.cpu().numpy()
            head = head_for(sample.task) if sample.task is not None else None
            images = split_canvas(pixels) if head is not None and head.num_images == 2 else (pixels,)
            region = head.region(sample.prompt, sample.image_size) if isinstance(head, RegionSlot) else None
            draw_answer(images, sample.pred_answer, self.folder / f'{sample.sample_id}_{sample.task}.png',
                        sample.prompt, region, sample.get('category') or '',
                        sample.get('gt_answer', Answer(text=sample.answer)))


@HOOKS.register_module()
class DumpAnswersHook(Hook):
    """Writes every tested record and what the model answered as JSON lines (:mod:`rstoolbox.evaluation.dump`).

    Until the last is answered they stand in ``<path>.<number of the process>.part``, of the same form: a test that is
    cut short leaves hours of answers.

    Args:
        path (str): The file.
    """

    def __init__(self, path):
        self.path, self._lines = path, []

    def after_test_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        lines, part = [_line(sample) for sample in outputs], Path(f'{self.path}.{get_rank()}.part')
        self._lines += lines
        with part.open('a' if batch_idx else 'w', encoding='utf-8') as file:
            file.writelines(f'{json.dumps(line, ensure_ascii=False)}\n' for line in lines)
        # Before they are scored: where that fails, the answers are there to be scored again.
        if batch_idx + 1 == len(runner.test_dataloader):
            lines = collect_results(self._lines, len(runner.test_dataloader.dataset))
            if is_main_process():
                write_dump(lines, self.path)
            barrier()
            part.unlink()


def _line(sample):
    scores = sample.pred_answer.scores
    return dict(
        task=sample.task, image=sample.image_id, size=list(sample.image_size), category=sample.get('category'),
        question=sample.prompt, answer=sample.pred_answer.text, gt=sample.answer,
        references=sample.get('references') or [],
        scores=None if scores is None else [float(score) for score in scores])
