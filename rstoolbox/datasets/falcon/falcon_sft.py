"""Instruction records with their images, as a vision-language model learns from them and is tested on them."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
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
        records (str | Path): The file or the store. A file is read into memory as a whole.
        image_root (str | Path): The folder that image paths begin in.
        tasks (Sequence[str], optional): Take the records of these tasks only.
        indices (int | Sequence[int], optional): Take the first so many, or those at these places (after ``tasks``).
        reword (bool): Draw one of the wordings of the task for each prompt, anew each time and from torch's random
            numbers (dynamic prompt training); otherwise prompts are as recorded.

    Each item is ``dict(inputs=Tensor, data_samples=FalconDataSample)``: an image (H, W, 3) uint8, of a pair the canvas
    with both, and ``prompt``, ``answer``, ``gt_answer``, ``references``, ``task``, ``category``, ``image_size`` (of the
    crop; of a single image of a pair) and ``sample_id``, the number of the record from 1 on.

    Raises:
        FileNotFoundError, ValueError: A record or image that is missing or unsound, by number and name; no record left.
    """

    def __init__(self, records, image_root='', tasks=None, indices=None, reword=False):
        self.path, self.image_root = Path(records), Path(image_root)
        self.reword = reword
        store = RecordStore(records) if self.path.suffix == '.arrow' else list(read_records(records))
        self.records = store
        places = np.arange(len(store))
        if tasks is not None:
            known = {task: head_for(task).tag for task in tasks}
            named = store.column('task').to_numpy() if isinstance(store, RecordStore) else np.array(
                [record.task for record in store], dtype=object)
            places = np.flatnonzero(np.isin(named.astype(str), list(known)))
        if indices is not None:
            places = places[:indices] if isinstance(indices, int) else places[np.asarray(indices)]
        if not len(places):
            raise ValueError(f"'{records}' holds no record" + (f' of {", ".join(tasks)}.' if tasks else '.'))
        self.places = places

    def __len__(self):
        return len(self.places)

    @property
    def image_keys(self):
        """np.ndarray: A number for each item; those of one image, or pair, have the same."""
        if isinstance(self.records, RecordStore):
            paths = self.records.column('images').combine_chunks()
            names = pc.binary_join(paths, '\n')
        else:
            names = pa.array(['\n'.join(record.images) for record in self.records])
        return names.dictionary_encode().indices.to_numpy()[self.places]

    @property
    def answer_lengths(self):
        """np.ndarray: Length in bytes of each item's answer, which its number of tokens goes with."""
        if isinstance(self.records, RecordStore):
            answers = self.records.column('answer')
        else:
            answers = pa.array([record.answer for record in self.records])
        return pc.binary_length(answers).to_numpy()[self.places]

    def __getitem__(self, index):
        number = int(self.places[index])
        record = self.records[number]
        where = f'{self.path}, record {number + 1}'
        image, size = self._image(record, where)
        paths = ' '.join(record.images)
        sample = FalconDataSample(metainfo=dict(
            sample_id=str(number + 1), img_path=paths, image_id=f'{paths} {record.crop or ""}'.strip(), image_size=size,
            category=record.category or None, task=record.task or None))
        sample.prompt, sample.answer, sample.references = record.prompt, record.answer, record.references
        if record.task:
            try:
                head = head_for(record.task)
            except KeyError as error:
                raise ValueError(f'{where}: {error}') from None
            sample.gt_answer = head.decode(record.answer, size)
            asked = (head.read_prompt(record.prompt) or {}).get('category')
            sample.set_metainfo(dict(category=record.category or asked))
            if self.reword:
                sample.prompt = head.reword(record.prompt, int(torch.randint(len(head.prompts), ())))
        return dict(inputs=torch.from_numpy(image), data_samples=sample)

    def _image(self, record, where):
        if not record.images:
            raise ValueError(f'{where} has no image; the model answers about images. Leave such records out, e.g. by '
                             'tasks=[...]')
        try:
            images = [load_image(self.image_root / path, record.crop) for path in record.images]
            size = images[0].shape[1], images[0].shape[0]
            return (images[0].copy() if len(images) == 1 else compose_canvas(*images)), size
        except (OSError, ValueError) as error:
            raise type(error)(f'{where}: {error}') from None
