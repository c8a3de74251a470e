"""Training by the runner: what a config switches on."""

import pytest
import torch
from mmengine.hooks import EMAHook
from torch.utils.data import Dataset

from rstoolbox.engine.runner import Runner


class Records(Dataset):
    def __init__(self, batch):
        self.batch = batch

    def __len__(self):
        return len(self.batch['inputs'])

    def __getitem__(self, row):
        return {key: value[row] for key, value in self.batch.items()}


@pytest.fixture
def train(batch, tmp_path):
    def train(model, name, **options):
        data = dict(dataset=Records(batch()), batch_size=3, num_workers=0, collate_fn=dict(type='pseudo_collate'),
                    sampler=dict(type='DefaultSampler', shuffle=False))
        runner = Runner(model=model, work_dir=str(tmp_path / name), train_dataloader=data,
                        default_scope='rstoolbox', train_cfg=dict(by_epoch=False, max_iters=2),
                        experiment_name=f'{name}{tmp_path.name}',
                        default_hooks=dict(checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=2)),
                        optim_wrapper=dict(optimizer=dict(type='AdamW', lr=1e-3), **options.pop('optim_wrapper', {})),
                        **options)
        runner.train()
        return runner

    return train


def test_ema_keeps_an_average_that_a_checkpoint_holds(build, train, tmp_path):
    model = build()
    start = model.network.lm_head.weight.detach().clone()
    runner = train(model, 'ema', custom_hooks=[dict(type='EMAHook', momentum=0.25)])
    hook = next(hook for hook in runner.hooks if isinstance(hook, EMAHook))
    average = hook.ema_model.module.network.lm_head.weight
    trained = model.network.lm_head.weight
    assert 0 < (average - start).norm() < (trained - start).norm()
    saved = torch.load(tmp_path / 'ema' / 'iter_2.pth', weights_only=False)
    assert torch.equal(saved['state_dict']['network.lm_head.weight'], average)


def test_a_run_goes_on_from_its_small_lora_checkpoint(build, train, tmp_path):
    build().save_pretrained(tmp_path / 'base')
    options = dict(pretrained=tmp_path / 'base', lora=dict(r=2), gradient_checkpointing=True)
    model = build(**options)
    train(model, 'lora', optim_wrapper=dict(type='CPUAmpOptimWrapper'))
    checkpoint = tmp_path / 'lora' / 'iter_2.pth'
    assert checkpoint.stat().st_size < (tmp_path / 'base' / 'model.safetensors').stat().st_size / 10
    again = build(**options)
    runner = train(again, 'again', load_from=str(checkpoint), resume=True,
                   optim_wrapper=dict(type='CPUAmpOptimWrapper'))
    assert runner.iter == 2
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in model.state_dict().items())
