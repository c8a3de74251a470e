"""Answers about images from Python, for all 14 tasks."""

import copy
import hashlib
import tempfile
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from mmengine.logging import print_log
from PIL import Image

from rstoolbox.datasets.falcon.images import SUFFIXES, image_size, load_image
from rstoolbox.engine.config import resolve
from rstoolbox.engine.errors import check_output, read_config
from rstoolbox.heads import compose_canvas, head_for
from rstoolbox.models.falcon import Falcon
from rstoolbox.models.falcon.generation import check_rules
from rstoolbox.models.falcon.lora import weights_fingerprint
from rstoolbox.registry import INFERENCERS, MODELS
from rstoolbox.structures import FalconDataSample
from rstoolbox.structures.files import write_json
from rstoolbox.visualization.answer import draw_answer

from .device import usable_device
from .falcon_map import map_answers
from .outputs import free_name

CONFIGS = ('.py', '.json', '.yaml', '.yml')


@INFERENCERS.register_module()
class FalconInferencer:
    """Ask a Falcon about images.

    ::

        ask = FalconInferencer('work_dirs/falcon')
        ask('harbor.png', task='REG_DET_OBB', category='ship')[0].pred_answer.quads
        ask([('before.png', 'after.png')], task='PIX_CHG', out_dir='answers')
        ask('tiles', task='IMG_CLS', classes=['harbor', 'river'])               # every image of a folder
        ask.map('scene.tif', 'REG_DET_OBB', 'ships.geojson', category='ship')   # a large georeferenced raster

    Args:
        model (str | Path | Falcon): A folder as :meth:`Falcon.from_pretrained` reads it, a config of a Falcon (with
            ``checkpoint``), or the model, whose own rules stay as they are.
        checkpoint (str | Path, optional): Weights of a config's model.
        device (str, optional): ``cuda`` where there is one, else ``cpu``.
        constrain (bool): Hold answers to the grammar of the task, so that each can be read. Of a model that is
            given as such, its own setting counts.
        **generation: Rules of generation, e.g. ``num_beams=1``.

    Raises:
        FileNotFoundError, ValueError, CheckpointError: If the model cannot be built or loaded.
    """

    def __init__(self, model, checkpoint=None, device=None, constrain=True, **generation):
        check_rules(generation)  # before gigabytes are read
        self.device = usable_device(device)
        self.model = copy.copy(_load(model, checkpoint, constrain).to(self.device).eval())
        self.model.generation = {**self.model.generation, **generation}

    def __call__(self, *arguments, **options):
        """Answer one task about every image; arguments and errors as those of :meth:`answers`.

        Returns:
            list[FalconDataSample]: In the order of the images, each with ``prompt`` and ``pred_answer``.
        """
        return list(self.answers(*arguments, **options))

    def answers(self, images, task, out_dir=None, show=False, batch_size=8, paraphrase=0, classes=None, **slots):
        """Answer one task about every image, and give each answer as soon as its batch is done.

        Args:
            images (str | Path | np.ndarray | PIL.Image.Image | tuple | Sequence): An image or several: files, pictures
                or (H, W, 3) uint8 arrays; for a pair of dates a tuple (before, after) of them. A folder stands for the
                images in it, a pair of folders for the pairs of one name.
            task (str): A task tag, e.g. ``REG_DET_HBB``.
            out_dir (str | Path, optional): Writes ``<name>_<task>.png`` and ``.json`` for every image there; the second
                of one name is ``<name>_2_<task>``. Of a pair the name is that of the later date.
            show (bool): Open the pictures in the desktop's viewer.
            batch_size (int): How many are read and answered at once; then theirs are written.
            paraphrase (int): Which wording of the task.
            classes (Sequence[str], optional): The only class names that may be answered, for tasks that answer with
                such (IMG_CLS, REG_CLS_*, PIX_CLS) and a model that is held to their grammar.
            **slots: What the task's prompt has to be told, e.g. ``category='ship'`` or ``bbox=[x1, y1, x2, y2]`` in
                pixels.

        Yields:
            FalconDataSample: In the order of the images, each with ``prompt`` and ``pred_answer``.

        Raises:
            ValueError, FileNotFoundError, UnknownTypeError: An image that cannot be read, a pair where one image is
                expected or of unequal sizes, an unknown task, a slot that is missing or unknown, a region outside the
                image, classes of a task that names none, a folder that cannot be written to.
        """
        head = head_for(task)
        single = isinstance(images, (str, Path, np.ndarray, Image.Image, tuple))
        entries = [part for entry in ([images] if single else images) for part in _expanded(entry)]
        check_output('out_dir', out_dir, folder=True)
        if classes is not None:
            _check_classes(classes, head, self.model)
        if batch_size < 1:
            raise ValueError(f'batch_size is how many images are answered at once, 1 or more, got {batch_size}.')
        folder = Path(tempfile.mkdtemp() if out_dir is None else out_dir) if out_dir is not None or show else None
        if show:  # a machine without a viewer shows nothing, and says nothing
            print_log(f'The pictures that are shown are in {folder}', 'current')
        for entry in entries:
            _check_entry(entry, head)
        taken = set()
        for start in range(0, len(entries), batch_size):
            loaded = [_load_entry(entry) for entry in entries[start:start + batch_size]]
            samples = [_sample(name, number, arrays, head, paraphrase, classes, slots)
                       for number, (name, arrays) in enumerate(loaded, start + 1)]
            inputs = [torch.from_numpy(np.array(arrays[0] if len(arrays) == 1 else compose_canvas(*arrays)))
                      for _, arrays in loaded]
            for sample, (_, arrays) in zip(self.model.answer(inputs, samples, batch_size), loaded):
                stem = free_name(Path(sample.img_path).stem or sample.sample_id.replace(' ', '_'), taken)
                if folder is not None:
                    _write(sample, arrays, folder / f'{stem}_{task}', _region(head, slots),
                           str(slots.get('category', '')), show)
                yield sample

    @property
    def fingerprint(self):
        """str: 16 hex digits that change with the model's weights and how it answers."""
        settings = sorted(self.model.generation.items()), self.model.constraint is None, self.model.image_size
        return hashlib.sha256(f'{self._weights} {settings}'.encode()).hexdigest()[:16]

    @cached_property
    def _weights(self):
        return weights_fingerprint(self.model.network).tolist()

    def map(self, scene, task, out=None, later=None, tile=None, stride=None, batch_size=8, classes=None, **slots):
        """Ask about a large georeferenced scene tile by tile, and put the answers on a map.

        Objects that several tiles found are kept once: the one that no edge has cut, else the surest. Areas (PIX_SEG,
        PIX_CHG) that touch become one. Tasks about the image (IMG_*) give a feature for each tile; of REG_VG the surest
        box counts. A tile without a measured pixel is left out. Until the map is whole its answers are kept in
        ``<out>.part``, and the same call goes on with them.

        Args:
            scene (str | Path): A raster with coordinates that GDAL reads. Rasters of more than eight bits are stretched
                between the 2nd and the 98th percentile of the whole.
            task (str): A task tag; not one about a region (REG_CLS_*, REG_CAP, PIX_CLS).
            out (str | Path, optional): ``.geojson`` (longitude and latitude) or ``.gpkg`` (the scene's coordinates).
            later (str | Path, optional): PIX_CHG: the later date, on the same grid.
            tile (int, optional): Side of a tile in pixels; by default what the network sees pixel by pixel.
            stride (int, optional): Pixels from one tile to the next, by default 3/4 of a tile, so that what is smaller
                than a quarter lies in one as a whole; a tile for tasks about the image.
            batch_size (int): How many tiles are read and answered at once.
            classes (Sequence[str], optional): As in :meth:`answers`.
            **slots: As in :meth:`answers`.

        Returns:
            geopandas.GeoDataFrame: Features in the scene's coordinate system, with ``task``, the slots, ``score`` and,
            for each tile, ``text``, ``label`` and ``count``.

        Raises:
            ValueError: For a scene without coordinates, dates of different grids, a task about a region, and as in
                :meth:`answers`.
        """
        return map_answers(self, scene, task, out, later, tile, stride, batch_size, classes, **slots)


def as_dict(sample):
    """An answered sample as what JSON can hold: coordinates in pixels, rounded to hundredths."""
    answer = sample.pred_answer
    return dict(image=sample.img_path, task=sample.task, size=list(sample.image_size), prompt=sample.prompt,
                text=answer.text, labels=list(answer.labels), count=answer.count,
                bboxes=np.round(answer.bboxes, 2).tolist(), quads=np.round(answer.quads, 2).tolist(),
                polygons=[[np.round(ring, 2).tolist() for ring in rings] for rings in answer.polygons],
                scores=None if answer.scores is None else [float(f'{score:.4g}') for score in answer.scores],
                failures=answer.failures)


def _load(model, checkpoint, constrain):
    if isinstance(model, Falcon):
        return model
    if Path(model).is_dir():
        if checkpoint is not None:
            raise ValueError(f"'{model}' is a folder that holds its own weights; give either it or a config with a "
                             'checkpoint.')
        return Falcon.from_pretrained(model, constrain=constrain)
    if Path(model).suffix not in CONFIGS:
        raise ValueError(f"'{model}' is neither the folder of a model nor a config ({', '.join(CONFIGS)}). Weights "
                         'alone are given as checkpoint, beside the config that they were trained with.')
    cfg = resolve(read_config(str(model)))
    if checkpoint is None:
        raise ValueError(f"The config '{model}' describes a model without weights: give a checkpoint too.")
    if not issubclass(MODELS.get(cfg.model.type), Falcon):
        raise ValueError(f"'{model}' describes a {cfg.model.type}, expected a Falcon.")
    falcon = MODELS.build(dict(cfg.model, constrain=constrain))
    falcon.load_weights(checkpoint)
    return falcon


def _expanded(entry):
    """An image or pair as it is; a folder as the images in it, a pair of folders as the pairs of one name."""
    folders = [Path(part) for part in _parts(entry) if isinstance(part, (str, Path)) and Path(part).is_dir()]
    if not folders:
        return [entry]
    if len(folders) < len(_parts(entry)):
        raise ValueError(f"A pair is of two images or of two folders; '{folders[0]}' is a folder, the other is none.")
    images = [{path.name: path for path in sorted(folder.iterdir()) if path.suffix.lower() in SUFFIXES}
              for folder in folders]
    for folder, found in zip(folders, images):
        if not found:
            raise ValueError(f"The folder '{folder}' holds no image ({', '.join(sorted(SUFFIXES))}).")
    lonely = sorted(set().union(*images).difference(set.intersection(*map(set, images))))
    if lonely:
        named = ' and '.join(f"'{folder}'" for folder in folders)
        raise ValueError(f"Not all of the folders {named} have an image '{lonely[0]}' ({len(lonely)} such): the dates "
                         'of a place have one name.')
    return [tuple(found[name] for found in images) if isinstance(entry, tuple) else images[0][name]
            for name in images[0]]


def _check_classes(classes, head, model):
    if not head.names_classes:
        raise ValueError(f'{head.tag} does not answer with class names: leave classes out.')
    if model.constraint is None:
        raise ValueError('Only a model that is held to the grammar of its tasks (constrain=True) keeps to classes.')
    head.pattern(classes)  # refuses what is no list of names


def _check_entry(entry, head):
    """Find an image that is missing or unlike the other of its pair before hours of answers, not behind them."""
    parts = _parts(entry)
    if len(parts) != head.num_images:
        wanted = 'a pair of images (before, after)' if head.num_images == 2 else 'one image'
        raise ValueError(f'{head.tag} is about {wanted}, got {len(parts)}.')
    sizes = {str(part): image_size(part) for part in parts if isinstance(part, (str, Path))}
    if len(set(sizes.values())) > 1:
        raise ValueError('A pair of images has one size, but '
                         + ' and '.join(f"'{path}' is {width} x {height}" for path, (width, height) in sizes.items()))


def _load_entry(entry):
    parts = _parts(entry)
    name = ' '.join(str(part) for part in parts if isinstance(part, (str, Path)))
    arrays = [load_image(part) if isinstance(part, (str, Path)) else _pixels(part) for part in parts]
    for array in arrays:
        if array.ndim != 3 or array.shape[2] != 3 or array.dtype != np.uint8 or not array.size:
            raise ValueError(f'An image as an array is (H, W, 3) uint8, got {array.shape} {array.dtype}.')
    return name, arrays


def _pixels(image):
    """The pixels of an array or a picture; grey and palette pictures become RGB, alpha is left out, as in files."""
    if not isinstance(image, Image.Image):
        return np.asarray(image)
    if image.mode.startswith(('I', 'F')):
        raise ValueError(f"A picture has eight bits a value, got the mode '{image.mode}'. Give the path of its file, "
                         'which is read as a raster.')
    return np.asarray(image.convert('RGB'))


def _parts(entry):
    return entry if isinstance(entry, tuple) else (entry,)


def _sample(name, number, arrays, head, paraphrase, classes, slots):
    size = arrays[0].shape[1], arrays[0].shape[0]
    sample = FalconDataSample(metainfo=dict(sample_id=name or f'image {number}', task=head.tag, image_size=size,
                                            img_path=name, category=slots.get('category'), classes=classes))
    sample.prompt = head.prompt(image_size=size, paraphrase=paraphrase, **slots)
    points = np.concatenate(_region(head, slots) or [np.zeros((1, 2))])
    # Coordinates are clamped to the image, which would leave nothing of it but a corner or an edge.
    if (points.max(0) < 0).any() or (points.min(0) >= size).any():
        raise ValueError(f"The region of the prompt lies outside '{sample.sample_id}' of {size[0]} x {size[1]} pixels: "
                         f'x from {points[:, 0].min():g} to {points[:, 0].max():g}, '
                         f'y from {points[:, 1].min():g} to {points[:, 1].max():g}.')
    return sample


def _write(sample, arrays, stem, region, category, show):
    write_json(as_dict(sample), f'{stem}.json')
    path = draw_answer(arrays, sample.pred_answer, f'{stem}.png', sample.prompt, region, category)
    if show:
        Image.open(path).show()


def _region(head, slots):
    """Rings of the region that the prompt is about, None where it is about the whole image."""
    return next((head.outline(name, slots[name]) for name in getattr(head, 'regions', ()) if name in slots), None)
