"""What is known before a run, by one process or by several."""

from commands import run_ranks

RANK = """
import sys
from pathlib import Path
import torch
import torch.distributed as dist
from mmengine.config import Config
from mmengine.model import BaseModel
from torch.utils.data import Dataset
from rstoolbox.engine import ConfigError
from rstoolbox.engine.preflight import check_run
from rstoolbox.registry import DATASETS, MODELS

rank, folder = int(sys.argv[1]), Path(sys.argv[2])
dist.init_process_group('gloo', init_method=f'file://{folder}/store', rank=rank, world_size=2)

@DATASETS.register_module()
class Points(Dataset):
    def __init__(self, bad):
        self.bad = bad
    def __len__(self):
        return 2
    def __getitem__(self, row):
        return dict(inputs=torch.zeros(1))
    def check_files(self):
        with open(folder / 'readers', 'a') as file:
            file.write(str(rank))
        if self.bad:
            raise ValueError('2 images cannot be read')

@MODELS.register_module()
class Line(BaseModel):
    def forward(self, inputs, data_samples=None, mode='tensor'):
        return inputs

for bad in (False, True):
    loader = dict(batch_size=1, num_workers=0, dataset=dict(type='Points', bad=bad),
                  sampler=dict(type='DefaultSampler', shuffle=False))
    try:
        check_run(Config(dict(model=dict(type='Line'), train_dataloader=loader)))
        (folder / f'passed{rank}').touch()
    except ConfigError as error:
        (folder / f'refused{rank}').write_text(str(error))
dist.destroy_process_group()
"""


def test_of_two_processes_one_reads_the_images_and_both_say_what_is_wrong(tmp_path):
    run_ranks(RANK, tmp_path)
    assert (tmp_path / 'readers').read_text() == '00'
    for rank in range(2):
        assert (tmp_path / f'passed{rank}').exists()
        assert (tmp_path / f'refused{rank}').read_text() == 'train_dataloader.dataset: 2 images cannot be read'
