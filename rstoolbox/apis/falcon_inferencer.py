"""Answers about images from Python, for all 14 tasks."""

import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from rstoolbox.datasets.falcon.images import load_image
from rstoolbox.engine.config import load_config, resolve
from rstoolbox.heads import compose_canvas, head_for
from rstoolbox.models.falcon import Falcon
from rstoolbox.registry import INFERENCERS, MODELS
from rstoolbox.structures import FalconDataSample
from rstoolbox.structures.files import write_json
from rstoolbox.visualization.answer import draw_answer


@INFERENCERS.register_module()
class FalconInferencer:
    """Ask a Falcon about images.

    ::

        ask = FalconInferencer('work_dirs/falcon')
        ask('harbor.png', task='REG_DET_OBB', category='ship')[0].pred_answer.quads
        ask([('before.png', 'after.png')], task='PIX_CHG', out_dir='answers')

    Args:
        model (str | Path | Falcon): A folder as :meth:`Falcon.from_pretrained` reads it, a config of a Falcon (with
            ``checkpoint``), or the model.
        checkpoint (str | Path, optional): Weights of a config's model.
        device (str, optional): ``cuda`` where there is one, else ``cpu``.
        constrain (bool): Hold answers to the grammar of the task, so that each can be read. Of a model that is
            given as such, its own setting counts.
        **generation: Rules of generation, e.g. ``num_beams=1``.

    Raises:
        FileNotFoundError, ValueError, CheckpointError: If the model cannot be built or loaded.
    """

    def __init__(self, model, checkpoint=None, device=None, constrain=True, **generation):
        self.device = device or ('cuda' if torch.cuda.is_available() else 'cpu')
        self.model = _load(model, checkpoint, constrain).to(self.device).eval()
        self.model.generation.update(generation)

    def __call__(self, images, task, out_dir=None, show=False, batch_size=8, paraphrase=0, **slots):
        """Answer one task about every image.

        Args:
            images (str | Path | np.ndarray | tuple | Sequence): An image or several: files or (H, W, 3) uint8 arrays;
                for a pair of dates a tuple (before, after) of them.
            task (str): A task tag, e.g. ``REG_DET_HBB``.
            out_dir (str | Path, optional): Writes ``<name>_<task>.png`` and ``.json`` for every image there; the second
                of one name is ``<name>_2_<task>``. Of a pair the name is that of the later date.
            show (bool): Open the pictures in the desktop's viewer.
            batch_size (int): How many at once.
            paraphrase (int): Which wording of the task.
            **slots: What the task's prompt has to be told, e.g. ``category='ship'`` or ``bbox=[x1, y1, x2, y2]`` in
                pixels.

        Returns:
            list[FalconDataSample]: In the order of the images, each with ``prompt`` and ``pred_answer``.

        Raises:
            ValueError, FileNotFoundError, UnknownTypeError: An image that cannot be read, a pair where one image is
                expected or of unequal sizes, an unknown task, a slot that is missing or unknown.
        """
        head = head_for(task)
        entries = [images] if isinstance(images, (str, Path, np.ndarray, tuple)) else list(images)
        loaded = [_load_entry(entry, task) for entry in entries]
        inputs, samples = [], []
        for number, (name, arrays) in enumerate(loaded):
            size = arrays[0].shape[1], arrays[0].shape[0]
            sample = FalconDataSample(metainfo=dict(sample_id=name or f'image {number + 1}', task=task, image_size=size,
                                                    img_path=name, category=slots.get('category')))
            sample.prompt = head.prompt(image_size=size, paraphrase=paraphrase, **slots)
            picture = arrays[0] if len(arrays) == 1 else compose_canvas(*arrays)
            inputs.append(torch.from_numpy(np.array(picture)))
            samples.append(sample)
        answered = self.model.answer(inputs, samples, batch_size)
        if out_dir is not None or show:
            folder = Path(out_dir or tempfile.mkdtemp())
            stems = [Path(name).stem or f'image_{number}' for number, (name, _) in enumerate(loaded, 1)]
            for number, (sample, (_, arrays)) in enumerate(zip(answered, loaded)):
                twin = stems[:number].count(stems[number])  # of the same name in another folder
                stem = f'{stems[number]}{f"_{twin + 1}" if twin else ""}_{task}'
                write_json(as_dict(sample), folder / f'{stem}.json')
                path = draw_answer(arrays, sample.pred_answer, folder / f'{stem}.png', sample.prompt, _region(slots),
                                   str(slots.get('category', '')))
                if show:
                    Image.open(path).show()
        return answered


def as_dict(sample):
    """An answered sample as what JSON can hold: coordinates in pixels, rounded to hundredths."""
    answer = sample.pred_answer
    return dict(image=sample.img_path, task=sample.task, size=list(sample.image_size), prompt=sample.prompt,
                text=answer.text, labels=list(answer.labels), count=answer.count,
                bboxes=np.round(answer.bboxes, 2).tolist(), quads=np.round(answer.quads, 2).tolist(),
                polygons=[[np.round(ring, 2).tolist() for ring in rings] for rings in answer.polygons],
                scores=None if answer.scores is None else np.round(answer.scores, 4).tolist(),
                failures=answer.failures)


def _load(model, checkpoint, constrain):
    if isinstance(model, Falcon):
        return model
    if Path(model).is_dir():
        if checkpoint is not None:
            raise ValueError(f"'{model}' is a folder that holds its own weights; give either it or a config with a "
                             'checkpoint.')
        return Falcon.from_pretrained(model, constrain=constrain)
    cfg = resolve(load_config(str(model)))
    if checkpoint is None:
        raise ValueError(f"The config '{model}' describes a model without weights: give a checkpoint too.")
    if not issubclass(MODELS.get(cfg.model.type), Falcon):
        raise ValueError(f"'{model}' describes a {cfg.model.type}, expected a Falcon.")
    falcon = MODELS.build(dict(cfg.model, constrain=constrain))
    falcon.load_weights(checkpoint)
    return falcon


def _load_entry(entry, task):
    pair = isinstance(entry, tuple)
    if pair != (task == 'PIX_CHG') or (pair and len(entry) != 2):
        wanted = 'a pair of images (before, after)' if task == 'PIX_CHG' else 'one image'
        raise ValueError(f'{task} is about {wanted}, got {len(entry) if pair else 1}.')
    parts = entry if pair else (entry,)
    name = ' '.join(str(part) for part in parts if isinstance(part, (str, Path)))
    arrays = [load_image(part) if isinstance(part, (str, Path)) else np.asarray(part) for part in parts]
    for array in arrays:
        if array.ndim != 3 or array.shape[2] != 3 or array.dtype != np.uint8:
            raise ValueError(f'An image as an array is (H, W, 3) uint8, got {array.shape} {array.dtype}.')
    return name, arrays


def _region(slots):
    if 'bbox' in slots:
        x1, y1, x2, y2 = slots['bbox']
        return [np.array([(x1, y1), (x2, y1), (x2, y2), (x1, y2)])]
    for name in ('quad', 'polygon'):
        if name in slots:
            return [np.reshape(slots[name], (-1, 2))]
    return None
