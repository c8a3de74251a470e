"""Tiny models, records and batches for the tests of Falcon."""

import numpy as np
import pytest
import torch

from rstoolbox.models.falcon import Falcon, train_tokenizer
from rstoolbox.structures import FalconDataSample

RECORDS = (
    ('REG_DET_HBB', 'Detect all ship in the image.\nUse horizontal bounding boxes.',
     '<box><100><200><300><400></box><box><500><200><700><400></box>'),
    ('IMG_CT', 'Count the number of ship.', '2'),
    ('PIX_SEG', 'Segment out water in the image.', '<poly><10><10><900><20><500><800></poly>'))


@pytest.fixture(scope='session')
def tokenizer():
    return train_tokenizer([text for _, *texts in RECORDS for text in texts], vocab_size=400)


@pytest.fixture
def build(tokenizer):
    """A function to a tiny Falcon for 32-pixel images; the same weights each time."""

    def build(**arguments):
        torch.manual_seed(0)
        options = dict(image_size=32, generation=dict(num_beams=1, max_new_tokens=12))
        if 'pretrained' not in arguments:
            options.update(geometry='tiny', tokenizer=tokenizer, max_positions=64)
        return Falcon(**{**options, **arguments}).eval()

    return build


@pytest.fixture
def batch():
    """A function from rows of RECORDS to a batch as a data loader gives it, with images of different sizes."""

    def batch(rows=(0, 1, 2), **changes):
        images, samples = [], []
        for row in rows:
            task, prompt, answer = RECORDS[row]
            random = np.random.default_rng(row)
            images.append(torch.from_numpy(random.integers(0, 256, (40 + row, 32 + 8 * row, 3), dtype=np.uint8)))
            samples.append(FalconDataSample(metainfo=dict(sample_id=f'r{row}', task=task, image_size=(320, 400))))
            samples[-1].set_data({**dict(prompt=prompt, answer=answer), **changes})
        return dict(inputs=images, data_samples=samples)

    return batch
