"""The gallery: what the frozen teacher puts out for its training images, computed once and kept on disk."""

import hashlib
import json
import logging
import os
import shutil
import zlib
from pathlib import Path

import numpy as np
import torch
from mmengine.logging import print_log

from rstoolbox.structures.files import write_json

from .gallery_writer import GalleryWriter

INDEX = 'gallery.json'
OUTPUTS = ('logits', 'embedding', 'tokens')


class GalleryError(ValueError):
    """A gallery that cannot be used as it is."""


class Gallery:
    """Outputs of a teacher, row by row: a folder of memory-mapped float32 ``.npy`` files, ``labels.npy`` and an index.

    ``gallery['logits']`` is the memory-mapped array (G, C) of one output; ``len(gallery)`` is G. Made by :meth:`build`,
    opened by :meth:`open`.

    Attributes:
        ids (list[str]): Sample ids, one for each row.
        labels (ndarray): (G,) class indices or (G, K) multi-hot.
        key (str): What the outputs depend on: weights, split and pipeline.
        names (tuple[str]): The outputs that are kept.
        taps (dict[str, str]): Where they were tapped, as far as that is not where a plain classifier has them.
    """

    def __init__(self, folder, index):
        self.folder, self.ids, self.key = Path(folder), index['ids'], index['key']
        self.taps = index.get('taps') or {}
        self.names = tuple(name for name in index['files'] if name != 'labels')
        self._arrays = {name: np.load(_array_path(self.folder, name), mmap_mode='r') for name in index['files']}
        self.labels = np.array(self._arrays.pop('labels'))

    def __len__(self):
        return len(self.ids)

    def __getitem__(self, name):
        if name not in self._arrays:
            raise KeyError(f"The gallery {self.folder} keeps {', '.join(self.names)}, but not '{name}'.")
        return self._arrays[name]

    def rows(self, indices, names=None):
        """Read some rows of the outputs.

        Args:
            indices (Tensor | ndarray | list): (B,) rows, in any order, repeats allowed.
            names (Sequence[str], optional): Which outputs. Default: all.

        Returns:
            dict[str, Tensor]: Output -> (B, ...) float32 on the CPU.

        Raises:
            IndexError: For a row outside of the gallery.
        """
        indices = np.asarray(indices, dtype=np.int64)
        outside = (indices < 0) | (indices >= len(self))
        if outside.any():
            raise IndexError(f'Row {int(indices[outside][0])} is outside of the gallery {self.folder}, which has '
                             f'{len(self)} rows: the match table is of another gallery.')
        return {name: torch.from_numpy(self[name][indices]) for name in names or self.names}

    @classmethod
    def open(cls, folder, expected_key=None):
        """Open a finished gallery after checking that it is whole.

        Args:
            folder (str | Path): Where :meth:`build` put it.
            expected_key (str, optional): The key it must have been built with.

        Raises:
            FileNotFoundError: If there is no finished gallery.
            GalleryError: If a file is missing, truncated or altered, or the key is another.
        """
        folder = Path(folder)
        if not (folder / INDEX).is_file():
            raise FileNotFoundError(f'There is no gallery of teacher outputs in {folder} (no {INDEX}); run the gallery '
                                    'stage, or name the folder that it made.')
        index = _read_index(folder)
        for name, entry in index['files'].items():
            _check_array(folder, name, entry, len(index['ids']))
        if expected_key is not None and index['key'] != expected_key:
            raise GalleryError(f"The gallery {folder} was made with key '{index['key']}', expected '{expected_key}': "
                               "the teacher's weights, split or pipeline changed since. Delete the folder; it is built "
                               'anew.')
        return cls(folder, index)

    @classmethod
    @torch.no_grad()
    def build(cls, folder, model, dataloader, key, ids, labels, taps=None, outputs=OUTPUTS, progress=None):
        """Run the teacher over its samples and keep what it puts out; a finished gallery of the same key is reused.

        The arrays grow in ``<folder>.partial``, which is renamed when everything is on disk. A build that was stopped
        at any point, by ``kill -9`` or a full disk too, goes on from its last batch when called with the same key.

        Args:
            folder (str | Path): The gallery's folder. One with another key is replaced once the new one is complete.
            model (nn.Module): A classifier with a ``data_preprocessor``; used in evaluation mode.
            dataloader (DataLoader): Its data set, batch size, workers and collating are used; the order is that of the
                data set, whatever its sampler says.
            key (str): Hash of all that the outputs depend on.
            ids (Sequence[str]): Sample ids in the order of the data set.
            labels (ndarray | Tensor | list): (G,) class indices or (G, K) multi-hot.
            taps (Mapping[str, str], optional): Module paths of outputs, see :class:`~rstoolbox.models.FeatureTaps`.
            outputs (Sequence[str]): What to keep.
            progress (Callable[[int, int], None], optional): Called with rows done and in all after every batch.

        Returns:
            Gallery: The finished gallery.

        Raises:
            GalleryError: If ids, labels and data set do not fit together or the teacher gives NaN.
            OSError: If the disk is full; nothing of the gallery is valid then, and a further call goes on.
        """
        folder, ids, labels, taps = Path(folder), list(ids), _labels(labels), dict(taps or {})
        dataset = dataloader.dataset
        if not len(ids) == len(labels) == len(dataset) > 0:
            raise GalleryError('A gallery needs one id and one label for every sample of the data set, at least one; '
                               f'got {len(ids)} ids, {len(labels)} labels and {len(dataset)} samples.')
        if (folder / INDEX).is_file():
            try:
                gallery = cls.open(folder, expected_key=key)
                if gallery.ids == ids and gallery.taps == taps and set(outputs) <= set(gallery.names):
                    return gallery
            except GalleryError as error:  # it stays until the new one is complete
                print_log(f'{error} It is being built anew.', logger='current', level=logging.WARNING)
        elif folder.exists() and any(folder.iterdir()):
            raise GalleryError(f'{folder} holds other files than a gallery; name a folder that is free.')
        partial = folder.with_name(f'{folder.name}.partial')
        writer = GalleryWriter(partial, f'{key}-{json.dumps(taps, sort_keys=True)}' if taps else key, ids)
        _fill(writer, model, dataloader, ids, outputs, taps, progress)
        np.save(_array_path(partial, 'labels'), labels)
        _finish(partial, folder, dict(key=key, taps=taps), ids, (*outputs, 'labels'))
        return cls.open(folder, expected_key=key)


def hash_of_weights(state_dict):
    """A short hash of all tensors of a state dict, their names, types and shapes; the same on every device.

    Args:
        state_dict (Mapping[str, Tensor]): Weights and buffers.

    Returns:
        str: 16 hexadecimal digits.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(state_dict.items()):
        tensor = tensor.detach().cpu().contiguous()
        digest.update(f'{name} {tensor.dtype} {tuple(tensor.shape)}\n'.encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def _fill(writer, model, dataloader, ids, outputs, taps, progress):
    # Here, because the distillers' teacher reads galleries.
    from ..distillers.taps import FeatureTaps
    training = model.training
    model.eval()
    taps = FeatureTaps(model, outputs, taps, 'teacher')
    with writer:
        remaining = torch.utils.data.Subset(dataloader.dataset, range(writer.done, len(ids)))
        for batch in torch.utils.data.DataLoader(remaining, dataloader.batch_size, collate_fn=dataloader.collate_fn,
                                                 num_workers=dataloader.num_workers):
            samples = batch.get('data_samples')
            data = model.data_preprocessor(batch, False)
            with taps.recording() as recorded:
                model(data['inputs'], mode='tensor')
            rows = {name: recorded[name].float().cpu().numpy() for name in outputs}
            _check_batch(rows, samples, ids[writer.done:writer.done + len(rows[outputs[0]])])
            writer.append(rows)
            if progress is not None:
                progress(writer.done, len(ids))
    model.train(training)


def _check_batch(rows, samples, ids):
    for sample, expected in zip(samples or (), ids, strict=False):
        found = sample.get('sample_id')
        if found is not None and found != expected:
            raise GalleryError(f"The data set gives sample '{found}' where the ids name '{expected}': both must be in "
                               'the same order.')
    for name, values in rows.items():
        finite = np.isfinite(values).reshape(len(values), -1).all(axis=1)
        if not finite.all():
            raise GalleryError(f"The teacher's {name} of sample '{ids[int(np.flatnonzero(~finite)[0])]}' hold NaN or "
                               'infinity: check its checkpoint, and the image.')


def _finish(partial, folder, origin, ids, names):
    files = {}
    for name in names:
        path = _array_path(partial, name)
        array = np.load(path, mmap_mode='r')
        files[name] = dict(shape=list(array.shape), bytes=path.stat().st_size, crc32=_checksum(path))
        with open(path, 'rb') as file:
            os.fsync(file.fileno())
    write_json(dict(origin, files=files, ids=ids), partial / INDEX)
    if folder.exists():
        replaced = folder.with_name(f'{folder.name}.replaced')
        shutil.rmtree(replaced, ignore_errors=True)
        os.replace(folder, replaced)
        os.replace(partial, folder)
        shutil.rmtree(replaced)
    else:
        os.replace(partial, folder)
    # Last: until the folder has its name, a stopped build finds its marker and goes on.
    GalleryWriter.forget(folder)


def _read_index(folder):
    try:
        index = json.loads((folder / INDEX).read_text(encoding='utf-8'))
        missing = [key for key in ('key', 'files', 'ids') if key not in index]
    except (ValueError, TypeError) as error:
        raise GalleryError(f'{folder / INDEX} cannot be read ({error}). Delete the folder; it is built anew.') from None
    if missing or 'labels' not in index['files']:
        raise GalleryError(f'{folder / INDEX} is not the index of a gallery. Delete the folder; it is built anew.')
    return index


def _check_array(folder, name, entry, rows):
    path = _array_path(folder, name)
    if not path.is_file():
        fault = 'is missing'
    elif path.stat().st_size != entry['bytes']:
        fault = f"has {path.stat().st_size} bytes instead of {entry['bytes']}"
    elif _checksum(path) != entry['crc32']:
        fault = 'was altered: its checksum is another'
    elif entry['shape'][0] != rows:
        fault = f"has {entry['shape'][0]} rows for {rows} ids"
    else:
        return
    raise GalleryError(f'The gallery {folder} is damaged: {path.name} {fault}. Delete the folder; it is built anew.')


def _checksum(path):
    value = 0
    with open(path, 'rb') as file:
        while chunk := file.read(2**24):
            value = zlib.crc32(chunk, value)
    return value


def _array_path(folder, name):
    return folder / f'{name}.npy'


def _labels(labels):
    labels = labels.cpu().numpy() if isinstance(labels, torch.Tensor) else np.asarray(labels)
    return labels.astype(np.int64)
