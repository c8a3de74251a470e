"""Instruction records with their images, as a vision-language model learns from them and is tested on them."""

import logging
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from mmengine.logging import print_log
from torch.utils.data import Dataset

from rstoolbox.heads import compose_canvas, head_for
from rstoolbox.registry import DATASETS
from rstoolbox.structures import FalconDataSample

from .images import load_image
from .record_files import read_records
from .record_store import RecordStore


@DATASETS.register_module()
class FalconSFT(Dataset):
    """Records in the form of Falcon_SFT.

    ::

        image_root/
            FCD/...png        images, at the paths that the records name
        train.json            or .jsonl, .parquet (:func:`~rstoolbox.datasets.falcon.read_records`)
        train.arrow           or, to open millions at once, a store (tools/dataset_converters/make_record_store.py)

    Args:
        records (str | Path): The file or the store. A file is read as a whole and kept in memory.
        image_root (str | Path): The folder that image paths begin in.
        tasks (str | Sequence[str], optional): Take the records of these tasks only.
        indices (int | Sequence[int], optional): Take the first so many, or those at these places (after ``tasks``).
        reword (bool): Draw one of the wordings of the task for each prompt, anew each time and from torch's random
            numbers (dynamic prompt training); otherwise prompts are as recorded.
        classes (Sequence[str], optional): The only names that a model which is held to the grammar may answer with, in
            tasks whose answers are class names (IMG_CLS, REG_CLS_*, PIX_CLS).

    Each item is ``dict(inputs=Tensor, data_samples=FalconDataSample)``: an image (H, W, 3) uint8, of a pair the canvas
    with both, and ``prompt``, ``answer``, ``gt_answer``, ``references``, ``task``, ``category``, ``image_size`` (of the
    crop; of a single image of a pair) and ``sample_id``, the number of the record from 1 on.

    An answer that cannot be read, such as coordinates over 1000, is learnt as it stands; the log names the first.

    Raises:
        FileNotFoundError, ValueError: A record or image that is missing or unsound, by number and name; no record left.
    """

    metainfo = {}  # mmengine warns of a data set that has none

    def __init__(self, records, image_root='', tasks=None, indices=None, reword=False, classes=None):
        self.path, self.image_root = Path(records), Path(image_root)
        self.reword, self.classes = reword, classes
        if classes is not None:
            head_for('IMG_CLS').pattern(classes)  # refuses what is no list of names
        tasks = [tasks] if isinstance(tasks, str) else tasks
        if isinstance(indices, int) and indices < 1:
            raise ValueError(f'indices is how many records are taken, 1 or more, or their places; got {indices}.')
        known = None if tasks is None else [head_for(task).tag for task in tasks]
        self.records = (RecordStore(records) if self.path.suffix == '.arrow'
                        else RecordStore.in_memory(read_records(records), records))
        places = np.arange(len(self.records))
        if known is not None:
            places = places[pc.is_in(self.records.column('task'), pa.array(known, pa.string())).to_numpy()]
        if indices is not None:
            places = places[:indices] if isinstance(indices, int) else places[self._within(indices, len(places))]
        if not len(places):
            raise ValueError(f"'{records}' holds no record" + (f' of {", ".join(tasks)}.' if tasks else '.'))
        self.places = places
        self._last, self._warned = (None, None), False

    def _within(self, indices, count):
        indices = np.asarray(indices, np.int64)
        outside = indices[(indices < -count) | (indices >= count)]
        if len(outside):
            raise ValueError(f"'{self.path}' has {count} records to choose from; indices name place {outside[0]}.")
        return indices

    def __len__(self):
        return len(self.places)

    @property
    def image_keys(self):
        """np.ndarray: A number for each item; those of one image, or pair, have the same."""
        # Chunk by chunk: the names of all records together may be more than one array of texts holds.
        names = pa.chunked_array([pc.binary_join(paths, '\n') for paths in self.records.column('images').chunks])
        return np.concatenate([chunk.indices for chunk in names.dictionary_encode().chunks])[self.places]

    @property
    def answer_lengths(self):
        """np.ndarray: Length in bytes of each item's answer, which its number of tokens goes with."""
        return self.records.lengths('answer').to_numpy()[self.places]

    def __getitem__(self, index):
        number = int(self.places[index])
        record = self.records[number]
        where = f'{self.path}, record {number + 1}'
        head = self._head(record, where)
        image, size = self._image(record, where)
        paths = ' '.join(record.images)
        sample = FalconDataSample(metainfo=dict(
            sample_id=str(number + 1), img_path=paths, image_id=f'{paths} {record.crop or ""}'.strip(), image_size=size,
            category=record.category or None, task=record.task or None))
        sample.prompt, sample.answer, sample.references = record.prompt, record.answer, record.references
        if head is not None:
            sample.gt_answer = head.decode(record.answer, size)
            if sample.gt_answer.failures and not self._warned:
                self._warned = True
                print_log(f'{where}: its answer cannot be read as one of {record.task}: {record.answer!r:.80}. '
                          'tools/dataset_converters/verify_records.py names all of them.', 'current', logging.WARNING)
            asked = (head.read_prompt(record.prompt) or {}).get('category')
            sample.set_metainfo(dict(category=record.category or asked))
            if head.names_classes:
                sample.set_metainfo(dict(classes=self.classes))
            if self.reword:
                sample.prompt = head.reword(record.prompt, int(torch.randint(len(head.prompts), ())))
        return dict(inputs=torch.from_numpy(image), data_samples=sample)

    def _head(self, record, where):
        if not record.images:
            raise ValueError(f'{where} has no image; the model answers about images. Leave such records out, e.g. by '
                             'tasks=[...]')
        if not record.task:
            return None
        try:
            head = head_for(record.task)
        except KeyError as error:
            raise ValueError(f'{where}: {error}') from None
        # Coordinates of a pair count on the canvas of both images, so those of any other number would be misplaced.
        if len(record.images) != head.num_images:
            raise ValueError(f'{where} has {len(record.images)} image(s), and {record.task} is about '
                             f'{head.num_images}.')
        return head

    def _image(self, record, where):
        # Records of an image often follow one another, as ImageGroupSampler puts them: it is read once for them all.
        key = tuple(record.images), tuple(record.crop)
        last, images = self._last
        if last != key:
            try:
                images = [load_image(self.image_root / path, record.crop) for path in record.images]
            except (OSError, ValueError) as error:
                raise type(error)(f'{where}: {error}') from None
            self._last = key, images
        size = images[0].shape[1], images[0].shape[0]
        try:
            return (images[0].copy() if len(images) == 1 else compose_canvas(*images)), size
        except ValueError as error:
            raise ValueError(f'{where}: {error}') from None
