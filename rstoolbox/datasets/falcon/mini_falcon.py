"""The embedded records: all 14 tasks over drawn scenes, made on first use."""

import zlib
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image
from rich.progress import track

from rstoolbox.registry import DATASETS
from rstoolbox.structures import Answer

from ..embedded import make_embedded
from .converters.objects import AnnotatedImage, AnnotatedObject, ObjectConverter
from .falcon_sft import FalconSFT
from .mini_falcon_scenes import GROUNDS, OBJECTS, SIZE, draw_objects, draw_scene, draw_site
from .record_files import write_records

VERSION = 6  # of the generator: a folder written by another one is made anew
SPLITS = dict(train=1., val=0.1, test=0.1)  # scenes, as a share of those of the training split
DATES = 5  # later than that of the scene
PLACES = ('upper left', 'upper right', 'lower left', 'lower right')


@DATASETS.register_module()
class MiniFalcon(FalconSFT):
    """The embedded records, made on first use.

    Scenes of 96 x 96 pixels, four grounds with one to three objects of four classes, small or large, at any angle; the
    same scene on five later dates: with a building site, with an object more or less, or as it was. Splits share no
    scene.

    ::

        data_root/
            train.jsonl  val.jsonl  test.jsonl
            images/train_0001.png  images/train_0001_after1.png  ...

    Args:
        data_root (str): Folder of the data set; written there if it is absent.
        split (str): 'train', 'val' or 'test'.
        scenes (int): Scenes of the training split.
        data_seed (int): Seed of the scenes.
        **kwargs: See :class:`FalconSFT`.

    Raises:
        ValueError: If there is no such split, or the folder holds something else, another making or other records.
    """

    def __init__(self, data_root='data/mini_falcon', split='train', scenes=1000, data_seed=0, **kwargs):
        if split not in SPLITS:
            raise ValueError(f"MiniFalcon has no split '{split}'; expected one of {', '.join(SPLITS)}.")
        counts = make_mini_falcon(data_root, data_seed, scenes)['records']
        super().__init__(Path(data_root) / f'{split}.jsonl', Path(data_root) / 'images', **kwargs)
        if len(self.records) != counts[split]:
            raise ValueError(f"'{self.path}' holds {len(self.records)} records and was written with {counts[split]}. "
                             f'Make it anew: tools/dataset_converters/make_mini_falcon.py --out {data_root} '
                             f'--seed {data_seed} --scenes {scenes} --force')


def make_mini_falcon(out, seed=0, scenes=1000, force=False):
    """Write the data set to ``out`` unless it is there, as :func:`~rstoolbox.datasets.embedded.make_embedded` does.

    Args:
        out (str | Path): The folder.
        seed (int): The same seed gives the same bytes.
        scenes (int): Scenes of the training split, at least 8.
        force (bool): Write anew even if it is there.

    Returns:
        dict: The content of ``dataset.json``.

    Raises:
        ValueError: If ``scenes`` is below 8, or ``out`` holds something else or another making.
    """
    if scenes < 8:
        raise ValueError(f'mini_falcon needs at least 8 scenes, got scenes={scenes}.')
    wanted = dict(name='mini_falcon', version=VERSION, seed=seed, scenes=scenes)
    return make_embedded(out, wanted, _write, _places, force)


class _SceneRecords(ObjectConverter):
    """Records of drawn scenes; ``drawn`` is for each its name, ground, objects and what changed until later dates."""

    tasks = ('REG_DET_HBB', 'REG_DET_OBB', 'PIX_SEG', 'IMG_CT', 'REG_CLS_HBB', 'REG_CLS_OBB', 'PIX_CLS', 'REG_VG',
             'REG_CAP')
    folder = True

    def __init__(self, folder, drawn, seed):
        super().__init__(folder, folder, absent=1, seed=seed)
        self.drawn = drawn

    def classes(self):
        return sorted(OBJECTS)

    def scenes(self):
        for name, _, objects, _ in self.drawn:
            texts = [_phrase(thing) for thing in objects]
            yield AnnotatedImage(name, [
                # Grounding needs a description that fits one object alone.
                AnnotatedObject(thing.category, thing.bbox, thing.quad.ravel(), [thing.polygon],
                                text if texts.count(text) == 1 else '')
                for thing, text in zip(objects, texts)])

    def records(self):
        yield from super().records()
        rng = np.random.default_rng(self.seed + 1)
        for name, ground, objects, changes in self.drawn:
            image, size = self.images / name, (SIZE, SIZE)
            yield self.record('IMG_CLS', [image], size, Answer(labels=[ground]))
            yield self.record('IMG_CAP', [image], size, Answer(text=_caption(ground, objects)))
            yield self.record('IMG_CAP_DETAILED', [image], size, Answer(text=_describe(ground, objects)))
            for question, answer in _questions(ground, objects, rng):
                yield self.record('IMG_VQA', [image], size, Answer(text=answer), question=question)
            for after, changed in zip(_later(image.name), changes, strict=True):
                answer = Answer(polygons=[[thing.polygon] for thing in changed])
                yield self.record('PIX_CHG', [image, self.images / after], size, answer)


def _places(settings):
    for split, share in SPLITS.items():
        yield f'{split}.jsonl'
        for number in range(1, round(share * settings['scenes']) + 1):
            name = f'{split}_{number:04d}.png'
            yield from (f'images/{file}' for file in (name, *_later(name)))


def _write(folder, wanted):
    counts = {}
    for split, share in SPLITS.items():
        drawn = []
        for number in track(range(1, round(share * wanted['scenes']) + 1), f'mini_falcon {split}'):
            name = f'{split}_{number:04d}.png'
            # Each scene has its own stream, so that more scenes leave the first ones as they were.
            stream = wanted['seed'], zlib.crc32(split.encode()), number
            rng = np.random.default_rng(stream)
            ground, objects = str(rng.choice(list(GROUNDS))), draw_objects(rng)
            later, changes = zip(*(_change(objects, rng) for _ in range(DATES)))
            (folder / 'images').mkdir(parents=True, exist_ok=True)
            # All dates of one place: the same ground and texture.
            for file, things in zip((name, *_later(name)), (objects, *later), strict=True):
                picture = draw_scene(ground, things, np.random.default_rng((*stream, 1)))
                Image.fromarray(picture).save(folder / 'images' / file)
            drawn.append((name, ground, objects, changes))
        records = _SceneRecords(folder / 'images', drawn, wanted['seed'])
        counts[split] = write_records(records, folder / f'{split}.jsonl')
    return dict(records=counts)


def _later(name):
    return [name.replace('.png', f'_after{date}.png') for date in range(1, DATES + 1)]


def _change(objects, rng):
    """The objects of the later date, and what has come or gone."""
    kind = rng.choice(['nothing', 'object', 'site', 'site'])
    if kind == 'site':
        site = draw_site(rng)
        return [*objects, site], [site]
    if kind == 'object':
        if len(objects) > 1 and rng.random() < 0.5:
            return objects[1:], objects[:1]
        for _ in range(50):
            thing = draw_objects(rng)[0]
            if all(thing.is_clear_of(other) for other in objects):
                return [*objects, thing], [thing]
    return objects, []


def _phrase(thing):
    return f'the {thing.extent} {thing.category} at the {thing.place}'


def _caption(ground, objects):
    words = ('', 'a', 'two', 'three')
    counts = Counter(thing.category for thing in objects)
    parts = [f'{words[count]} {name}{"s" * (count > 1)}' for name, count in sorted(counts.items())]
    return f'{" and ".join(parts)} on the {ground}.'.capitalize()


def _describe(ground, objects):
    order = sorted(objects, key=lambda thing: (PLACES.index(thing.place), thing.category, thing.extent))
    return ' '.join([f'The image shows the {ground}.',
                     *(f'There is a {thing.extent} {thing.category} at the {thing.place}.' for thing in order)])


def _questions(ground, objects, rng):
    present = {thing.category for thing in objects}
    asked = str(rng.choice(sorted(present if rng.random() < 0.5 else set(OBJECTS) - present)))
    yield f'Is there a {asked} in the image?', 'yes' if asked in present else 'no'
    place = str(rng.choice(PLACES))
    yield (f'Is there anything at the {place} of the image?',
           'yes' if any(thing.place == place for thing in objects) else 'no')
    yield 'What is the ground?', ground
