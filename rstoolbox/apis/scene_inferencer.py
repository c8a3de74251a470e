"""Scene classes from Python: of single images, and of a large raster as a map."""

import hashlib
import json
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from mmengine.dataset import Compose
from PIL import Image

from rstoolbox.datasets import LoadRaster
from rstoolbox.datasets.bands import get_sensor
from rstoolbox.datasets.transforms.loading import fill_invalid, valid_mask
from rstoolbox.datasets.transforms.readers import SUFFIXES
from rstoolbox.engine.config import runner_config
from rstoolbox.engine.errors import check_output, read_config
from rstoolbox.engine.testing import student_config
from rstoolbox.models import SceneClassifier
from rstoolbox.models.loading import load_classifier
from rstoolbox.registry import INFERENCERS, MODELS, TRANSFORMS
from rstoolbox.structures import with_contents
from rstoolbox.structures.files import write_json
from rstoolbox.visualization import draw_prediction

from .device import usable_device
from .outputs import free_name
from .scene_map import map_classes


@INFERENCERS.register_module()
class SceneInferencer:
    """Classify images, or map a large raster, with a trained scene classifier or distilled student.

    ::

        classify = SceneInferencer('configs/sembridge/r18_ms2rgb.py', 'work_dirs/r18_ms2rgb/best_student.pth')
        classify('harbor.jpg')[0]['pred_class']
        classify('tiles')                                    # every image of a folder
        classify.map('scene.tif', 'landcover.tif', tile=64)

    Images are read and scaled as in the config's test.

    Args:
        config (str | Path): A config as ``tools/test.py`` takes it.
        checkpoint (str | Path): Weights, which say what their classes are called.
        device (str, optional): ``cuda`` where there is one, else ``cpu``.
        sensor (str, optional): Whose bands the images have (:mod:`rstoolbox.datasets.bands`); by default what the data
            set of the config names, and 'rgb' for a model of the bands R, G, B.
        file_bands (Sequence[str], optional): Names of the bands in the files, in their order; by default, for images,
            those that the data set of the config names, else those that a GeoTIFF describes, else all of the sensor's.
        options (dict, optional): Overrides of the config, from dotted path to value.

    Attributes:
        classes (tuple[str]): Their names, in the order of the scores.
        fingerprint (str): 16 hex digits that change with the weights and how images are read.

    Raises:
        ConfigError, FileNotFoundError, ValueError, CheckpointError: If the config describes no classifier, its test
            does not read images by :class:`LoadRaster`, or the weights are others or do not name their classes.
    """

    def __init__(self, config, checkpoint, device=None, sensor=None, file_bands=None, options=None):
        self.device = usable_device(device)
        run = student_config(runner_config(read_config(str(config), options)))
        self.model = MODELS.build(run.model)
        if not isinstance(self.model, SceneClassifier):
            raise ValueError(f"'{config}' describes a {type(self.model).__name__}, expected a SceneClassifier.")
        self.classes = load_classifier(self.model, checkpoint, 'model')
        if not self.classes:
            raise ValueError(f"'{checkpoint}' does not say what its classes are called ('classes' in its 'meta', as "
                             'the checkpoints of tools/train.py have it).')
        self.model.to(self.device).eval()
        dataset = run.test_dataloader.dataset
        steps = [TRANSFORMS.build(step) for step in dataset.get('pipeline') or ()]
        if not steps or not isinstance(steps[0], LoadRaster):
            raise ValueError(f"The test of '{config}' does not read images by LoadRaster, the first transform of its "
                             'pipeline, so nothing else can be read as it does.')
        self._load, self._prepare = steps[0], Compose(steps[1:])
        settings = with_contents([str(checkpoint), run.model.to_dict(), list(dataset.pipeline)])
        self.fingerprint = hashlib.sha256(json.dumps(settings, default=repr).encode()).hexdigest()[:16]
        self.sensor = sensor or dataset.get('sensor') or ('rgb' if set(self.model.bands) == set('RGB') else None)
        if self.sensor is None:
            raise ValueError(f"The data set of '{config}' does not name the sensor of the bands "
                             f'{", ".join(self.model.bands)}: give it as sensor, such as sentinel2_l2a.')
        self.file_bands, self._image_bands = file_bands, file_bands or dataset.get('file_bands')

    def __call__(self, *arguments, **options):
        """Classify images; arguments, results and errors as those of :meth:`predictions`, as a list."""
        return list(self.predictions(*arguments, **options))

    def predictions(self, images, out_dir=None, show=False, batch_size=32):
        """Classify images, and give each result as soon as its batch is done.

        Args:
            images (str | Path | np.ndarray | PIL.Image.Image | Sequence): An image or several: files of any kind that
                the data sets read, folders of such, pictures, or (H, W, bands) arrays in the numbers of files.
            out_dir (str | Path, optional): Writes ``<name>.json`` and ``.png`` for every image there.
            show (bool): Open the pictures in the desktop's viewer.
            batch_size (int): How many are classified at once.

        Yields:
            dict: In the order of the images ``image``, its path or number, ``pred_label``, ``pred_class``,
            ``pred_score``, the probability of that class, and ``pred_scores``, that of each class by its name. Of a
            classifier of several labels an image, the first three are lists.

        Raises:
            FileNotFoundError, ValueError: For an image that cannot be read, with its name.
        """
        if batch_size < 1:
            raise ValueError(f'batch_size is how many images are classified at once, 1 or more, got {batch_size}.')
        check_output('out_dir', out_dir, folder=True)
        folder = Path(tempfile.mkdtemp() if out_dir is None else out_dir) if out_dir is not None or show else None
        single = isinstance(images, (str, Path, np.ndarray, Image.Image))
        entries = [part for entry in ([images] if single else images) for part in _expanded(entry)]
        taken = set()
        for start in range(0, len(entries), batch_size):
            loaded = [self._loaded(entry, number)
                      for number, entry in enumerate(entries[start:start + batch_size], start + 1)]
            for sample, seen in zip(*self.classify(loaded)):
                result = self._result(sample)
                if folder is not None:
                    name = free_name(Path(sample.img_path).stem.replace(' ', '_'), taken)
                    self._write(result, seen, folder / name, show)
                yield result

    def map(self, scene, out, tile, stride=None, probabilities=None, batch_size=64):
        """Map a large raster: classify overlapping tiles, and average in each cell what those that cover it say.

        A tile has no say where less than half of it is measured; a cell without a measured pixel has no class. Until
        the map is whole its rows are kept in ``<out>.part``, and the same call goes on with them.

        Args:
            scene (str | Path): A raster that GDAL reads, with the bands that the model was trained on.
            out (str | Path): The map, a GeoTIFF with a pixel for each cell: the number of its class, in its colour and
                with its name, 255 where there is none. A picture with a legend is written beside it (.png).
            tile (int): Side of a tile in pixels of the scene. A tile should show as much ground as an image of the
                training: 64 pixels of 10 m call for tiles of 640 m.
            stride (int, optional): Side of a cell, a divisor of ``tile``; about a quarter of it by default.
            probabilities (str | Path, optional): A GeoTIFF of the averaged probabilities, a band for each class.
            batch_size (int): How many tiles are classified at once.

        Returns:
            dict[str, float]: The share of each class in percent of what has one.

        Raises:
            FileNotFoundError, ValueError: If the scene cannot be read, has other bands or holds nothing measured.
        """
        return map_classes(self, scene, out, tile, stride, probabilities, batch_size)

    def classify(self, loaded):
        """Run the pipeline behind its first transform, and the model.

        Args:
            loaded (Sequence[dict]): What the first transform gives of each image.

        Returns:
            tuple[list[DataSample], list[Tensor]]: With ``pred_label`` and ``pred_score``; and what the model has seen.
        """
        packed = [self._prepare(results) for results in loaded]
        groups = defaultdict(list)  # of one size each: in a batch of several, the padding of the smaller ones is seen
        for place, item in enumerate(packed):
            groups[item['inputs'].shape].append(place)
        samples = {}
        for places in groups.values():
            batch = {key: [packed[place][key] for place in places] for key in ('inputs', 'data_samples')}
            with torch.inference_mode():
                samples.update(zip(places, self.model.test_step(batch)))
        return [samples[place] for place in range(len(packed))], [item['inputs'] for item in packed]

    def unpacked(self, image, mask, name):
        """What the pipeline's first transform would give of an array in the numbers of files.

        Args:
            image (np.ndarray): (H, W, bands).
            mask (np.ndarray | None): Of the same shape, bool: what is measured; None where all is.
            name (str): For messages.
        """
        image = image.copy() if mask is None else fill_invalid(image, mask, self.model.bands, name)
        return dict(img=image, img_path=name, sample_id=name, img_shape=image.shape[:2], ori_shape=image.shape[:2],
                    bands=list(self.model.bands), sensor=self.sensor, crs=None, geotransform=None, valid_mask=mask,
                    unit='stored')

    def _loaded(self, entry, number):
        """What the pipeline's first transform gives, of a file or an array."""
        if not isinstance(entry, np.ndarray):
            return self._load.transform(dict(img_path=str(entry), sample_id=str(entry), sensor=self.sensor,
                                             bands=list(self.model.bands), file_bands=self._image_bands))
        name = f'image {number}'
        if entry.ndim != 3 or entry.shape[2] != len(self.model.bands):
            raise ValueError(f'{name} is an array of the shape {entry.shape}; expected (height, width, '
                             f'{len(self.model.bands)}): {", ".join(self.model.bands)}.')
        return self.unpacked(entry, valid_mask(entry, [], get_sensor(self.sensor).nodata), name)

    def _result(self, sample):
        labels, scores = sample.pred_label.tolist(), sample.pred_score.tolist()
        found = labels, [self.classes[label] for label in labels], [scores[label] for label in labels]
        if not self.model.multi_label:
            found = [value for value, in found]
        return dict(zip(('image', 'pred_label', 'pred_class', 'pred_score', 'pred_scores'),
                        (sample.img_path, *found, dict(zip(self.classes, scores)))))

    def _write(self, result, image, stem, show):
        write_json(result, f'{stem}.json')
        names, scores = (np.atleast_1d(result[key]) for key in ('pred_class', 'pred_score'))
        draw_prediction(image.permute(1, 2, 0).numpy(), self.model.bands, None, ', '.join(names) or 'none',
                        scores.min() if len(scores) else None, f'{stem}.png')
        if show:
            Image.open(f'{stem}.png').show()


def _expanded(entry):
    """A file or an array as it is, a picture as an array, a folder as the images in it."""
    if isinstance(entry, Image.Image):
        return [np.asarray(entry.convert('RGB'))]
    if isinstance(entry, np.ndarray) or not Path(entry).is_dir():
        return [entry]
    found = sorted(path for path in Path(entry).iterdir() if path.suffix.lower() in SUFFIXES)
    if not found:
        raise ValueError(f"The folder '{entry}' holds no image ({', '.join(SUFFIXES)}).")
    return found
