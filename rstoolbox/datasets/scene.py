"""Scene classification from folders: one folder per class, any kind of image."""

import hashlib
import json
import os
from pathlib import Path

import numpy as np
from mmengine.logging import MMLogger
from mmpretrain.datasets import BaseDataset

from rstoolbox.registry import DATASETS, TRANSFORMS
from rstoolbox.structures import content_hash, nearest, with_contents

from .bands import band_indices, get_sensor
from .multilabel import common_combinations, read_label_sets
from .readable import check_readable
from .seeding import seeded
from .shared import SharedInts
from .splits import PARTS, Split, ids_hash, make_split
from .transforms.loading import read_band_names
from .transforms.readers import SUFFIXES

LABEL_KINDS = ('single', 'multi')


@DATASETS.register_module()
class SceneDataset(BaseDataset):
    """Images in ``<data_root>/<data_prefix>/<class>/``, of any format that :class:`LoadRaster` reads.

    Samples are sorted by id, the posix path relative to the data root, so that every machine sees the same order.
    Nothing but file names is read when the data set is built (and, for multi-label ``.mat`` files, their labels).

    In training (``test_mode=False``), once :meth:`set_epoch` was called, the random numbers of a sample's pipeline
    depend on seed, epoch and sample only: a resumed run sees the same images as an unbroken one, with any number of
    workers. Before that they come from the process's own generators.

    Args:
        data_root (str): The data set's folder.
        data_prefix (str): Sub-folder that holds the class folders.
        classes (Sequence[str], optional): Class names in the order of their labels. Defaults to ``METAINFO``, else to
            the names of the folders, sorted.
        sensor (str): See :mod:`rstoolbox.datasets.bands`.
        bands (Sequence[str], optional): Names of the bands to read, in channel order. Defaults to all.
        file_bands (Sequence[str], optional): Names of the bands in the files, in the files' order. Defaults to the
            band descriptions in a GeoTIFF, else to the sensor's order.
        split (str): 'train', 'val', 'test' or 'all'.
        split_file (str, optional): A saved :class:`Split`. Otherwise one is made from ratio and seed, balanced by
            class.
        split_ratio (Sequence[float]): Shares of train, val and test.
        split_seed (int): Seed of the split.
        class_map (dict[str, str], optional): Folder name -> class name, for folders called otherwise. Several folders
            may go to one class. A class name of None leaves the folder out.
        label_kind (str): 'single' (the folder is the class) or 'multi' (several classes per image).
        label_file (str, optional): For 'multi': JSON file of sample id -> list of class names. Defaults to the variable
            ``label`` in each ``.mat`` file.
        suffixes (Sequence[str], optional): File endings that count as images. Defaults to all readable ones.
        pipeline (Sequence[dict]): Transforms, built in rstoolbox's registry.
        test_mode (bool): No randomness is set up, as for validation and test.
        seed (int): Of the pipeline's random numbers.

    Raises:
        FileNotFoundError: If a folder or file is missing.
        ValueError: For anything wrong with classes, folders, labels, bands or the split, with names.
    """

    METAINFO = {}

    def __init__(self, data_root, data_prefix='', classes=None, sensor='rgb', bands=None, file_bands=None, split='all',
                 split_file=None, split_ratio=(0.6, 0.2, 0.2), split_seed=0, class_map=None, label_kind='single',
                 label_file=None, suffixes=None, pipeline=(), test_mode=False, seed=0, **kwargs):
        self._check_wiring(sensor, bands, file_bands, split, label_kind, label_file, suffixes)
        self.sensor = get_sensor(sensor)
        self.file_bands = tuple(file_bands) if file_bands else None
        self._bands = tuple(bands) if bands else self.file_bands
        if self._bands is None and self.sensor.name == 'rgb':
            self._bands = self.sensor.band_names
        self.split, self.split_file, self.split_ratio, self.split_seed = split, split_file, split_ratio, split_seed
        self.class_map, self.label_kind, self.label_file = dict(class_map or {}), label_kind, label_file
        self.suffixes = tuple(suffix.lower() for suffix in suffixes or SUFFIXES)
        self.seed = int(seed)
        self._epoch = SharedInts([-1])
        self.made_split = None  # a Split, where none was read from a file
        self._classes_are_folders = False
        self._pipeline_key = json.dumps(with_contents(pipeline), sort_keys=True, default=repr)
        pipeline = [TRANSFORMS.build(step) if isinstance(step, dict) else step for step in pipeline]
        super().__init__(ann_file='', data_root=str(data_root), data_prefix=data_prefix, classes=classes,
                         pipeline=pipeline, test_mode=test_mode, **kwargs)

    @property
    def bands(self):
        """tuple[str]: Names of the bands read, in channel order; where nobody named them, those of the first file."""
        if self._bands is None:
            first = Path(self.data_root, self.sample_ids[0])
            self._bands = read_band_names(first, self.sensor)
        return self._bands

    @property
    def sample_ids(self):
        """list[str]: Posix paths relative to the data root, in the order of the samples."""
        self.full_init()
        return list(self._sample_ids)

    @property
    def gt_labels(self):
        """np.ndarray: (N,) int64 labels, or (N, classes) int64 of 0 and 1 for multi-label."""
        self.full_init()
        return self._gt_labels.copy()

    @property
    def split_hash(self):
        """str: 16 hex digits over the ids of this part of the split."""
        return ids_hash(self.sample_ids)

    def fingerprint(self):
        """Return 16 hex digits that change with the samples, what their files hold, labels, bands or the pipeline."""
        files = [content_hash(Path(self.data_root, name)) for name in self.sample_ids]
        content = json.dumps([self.split_hash, files, self._gt_labels.tolist(), self.metainfo['classes'], self.bands,
                              self.file_bands, self.sensor.name, self._pipeline_key])
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    def check_files(self):
        """Read every image, in a process once, so that a bad one is known before hours of training.

        Raises:
            ValueError: For all that cannot be read.
        """
        check_readable(self.pipeline.transforms[0], [self.get_data_info(row) for row in range(len(self))])

    def set_epoch(self, epoch):
        """Choose the random numbers of all samples for this epoch; persistent workers see it too."""
        self._epoch.write([int(epoch)])

    def prepare_data(self, idx):
        """Run the pipeline on a sample, with random numbers of its own in training."""
        info, epoch = self.get_data_info(idx), self._epoch[0]
        if self.test_mode or epoch < 0:
            return self.pipeline(info)
        with seeded(self.seed, epoch, info['sample_idx']):
            return self.pipeline(info)

    def get_data_info(self, idx):
        """Return what the pipeline starts from."""
        info = super().get_data_info(idx)
        info.update(img_path=os.path.join(self.data_root, info['sample_id']), sensor=self.sensor.name,
                    bands=list(self.bands), file_bands=self.file_bands)
        return info

    def get_gt_labels(self):
        """Return :attr:`gt_labels`, under mmpretrain's name."""
        return self.gt_labels

    def get_cat_ids(self, idx):
        """Return the classes of a sample as a list of int."""
        label = self._gt_labels[idx]
        return np.flatnonzero(label).tolist() if self.label_kind == 'multi' else [int(label)]

    def full_init(self):
        """List the samples, if that was not done yet."""
        if self._fully_initialized:
            return
        super().full_init()
        if self._indices is not None:
            self._sample_ids = [BaseDataset.get_data_info(self, place)['sample_id'] for place in range(len(self))]
            self._gt_labels = self._label_array(
                [BaseDataset.get_data_info(self, place)['gt_label'] for place in range(len(self))])

    def load_data_list(self):
        """List the files, find their labels and keep those of the split."""
        names, folders = self._scan()
        if self.label_kind == 'multi':
            labels = read_label_sets(Path(self.data_root), names, self.metainfo['classes'], self.label_file)
            strata = common_combinations(labels)
        else:
            index = {name: place for place, name in enumerate(self.metainfo['classes'])}
            labels = strata = [index[self._class_of(folder)] for folder in folders]
        chosen = set(self._choose(names, strata))
        data = [dict(sample_id=name, gt_label=label) for name, label in zip(names, labels) if name in chosen]
        self._sample_ids = [item['sample_id'] for item in data]
        self._gt_labels = self._label_array([item['gt_label'] for item in data])
        return data

    def extra_repr(self):
        """Lines of the data set's description."""
        return [f'Folder: \t{Path(self.data_root, self.img_prefix)}', f'Split: \t{self.split} ({self.split_hash})',
                f'Bands: \t{", ".join(self.bands)} of {self.sensor.name}']

    def _choose(self, names, strata):
        if self.split_file:
            split = Split.load(self.split_file)
            # A data set of some of the classes may use the split of all: folders left out by the user's wish do not
            # count, those that are gone do.
            split = split.without({path for path in split.folders if self._is_left_out(path.rpartition('/')[2])})
            split.check_fits(names, self.split_file)
        elif self.split == 'all':
            return names
        else:
            split = self.made_split = make_split(names, strata, self.split_ratio, self.split_seed)
        chosen = split.part(self.split)
        if not chosen:
            raise ValueError(f"Split '{self.split}' of {self.data_root} is empty (train, val, test: "
                             f'{", ".join(str(len(split.part(part))) for part in PARTS)} samples).')
        return chosen

    def _label_array(self, labels):
        if self.label_kind == 'single':
            return np.array(labels, np.int64)
        array = np.zeros((len(labels), len(self.metainfo['classes'])), np.int64)
        for row, label in zip(array, labels):
            row[label] = 1
        return array

    def _scan(self):
        """Return sorted sample ids and the class folder of each, and settle the classes."""
        root = Path(self.data_root)
        folder = Path(self.img_prefix)
        if not folder.is_dir():
            raise FileNotFoundError(f'There is no folder {folder} (data_root {root}). It should hold one folder of '
                                    'images per class.')
        folders = sorted(entry.name for entry in os.scandir(folder)
                         if entry.is_dir() and not entry.name.startswith('.'))
        folders = self._settle_classes(folder, folders)
        base = folder.relative_to(root).as_posix()
        found = []
        for name in folders:
            files = sorted(entry.name for entry in os.scandir(folder / name)
                           if entry.name.lower().endswith(self.suffixes) and not entry.name.startswith('.'))
            if not files and self.label_kind == 'single':
                raise ValueError(f"Class folder '{folder / name}' holds no image (endings looked for: "
                                 f'{", ".join(self.suffixes)}).')
            found += [(f'{name}/{file}' if base == '.' else f'{base}/{name}/{file}', name) for file in files]
        if not found:
            raise ValueError(f'{folder} holds no image (endings looked for: {", ".join(self.suffixes)}).')
        found.sort()
        return [name for name, _ in found], [name for _, name in found]

    def _settle_classes(self, folder, folders):
        """Return the folders to use; every class must have one, and other folders are left out with a word."""
        unknown = [name for name in self.class_map if name not in folders]
        if unknown:
            raise ValueError(f"class_map names the folder '{unknown[0]}', which is not in {folder}"
                             f'{nearest(unknown[0], folders)}.')
        if not self._metainfo.get('classes'):
            self._classes_are_folders = True
            mapped = {self._class_of(name) for name in folders} - {None}
            if not mapped:
                raise ValueError(f'{folder} holds no class folders.')
            self._metainfo['classes'] = tuple(sorted(mapped))
        classes = self._metainfo['classes'] = tuple(self._metainfo['classes'])
        for name, target in self.class_map.items():
            if target is not None and target not in classes:
                raise ValueError(f"class_map sends the folder '{name}' to '{target}', which is no class"
                                 f'{nearest(target, classes)}. Classes: {", ".join(classes)}.')
        if self.label_kind == 'multi':
            return folders
        used = [name for name in folders if self._class_of(name) in classes]
        for name in classes:
            if name not in {self._class_of(folder_name) for folder_name in used}:
                raise ValueError(f"Class '{name}' has no folder in {folder}{nearest(name, folders)}. Folders: "
                                 f'{", ".join(folders)}. A folder of another name is given its class with class_map.')
        left_out = [name for name in folders if name not in used]
        if left_out:
            MMLogger.get_current_instance().info(f'{folder}: {len(left_out)} folders are none of the '
                                                 f'{len(classes)} classes and are left out: {", ".join(left_out)}.')
        return used

    def _class_of(self, folder):
        return self.class_map.get(folder, folder)

    def _is_left_out(self, folder):
        if self.label_kind == 'multi':
            return False
        name = self._class_of(folder)
        return name is None or (not self._classes_are_folders and name not in self.metainfo['classes'])

    def _check_wiring(self, sensor, bands, file_bands, split, label_kind, label_file, suffixes):
        source = get_sensor(sensor)
        if file_bands:
            band_indices(file_bands, source.band_names, f"sensor '{source.name}'")
        if bands:
            band_indices(bands, source.band_names, f"sensor '{source.name}'")
            if file_bands:
                band_indices(bands, file_bands, 'file_bands')
        for key, value, known in (('split', split, (*PARTS, 'all')), ('label_kind', label_kind, LABEL_KINDS)):
            if value not in known:
                raise ValueError(f"{type(self).__name__}: {key}='{value}' is unknown, expected one of "
                                 f'{", ".join(known)}.')
        if label_file and label_kind != 'multi':
            raise ValueError("label_file is for label_kind='multi'; with 'single' the folder is the class.")
        unreadable = [suffix for suffix in suffixes or () if suffix.lower() not in SUFFIXES]
        if unreadable:
            raise ValueError(f"No reader for files ending in '{unreadable[0]}', expected {', '.join(SUFFIXES)}.")
