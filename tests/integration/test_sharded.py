"""A model shared out among two processes (gloo) learns what it learns as two copies."""

import json
import socket

import pytest
import torch

from commands import ROOT, run_ranks
from rstoolbox.datasets.falcon import Record, write_records
from rstoolbox.datasets.falcon.mini_falcon import make_mini_falcon
from rstoolbox.models import load_state
from rstoolbox.models.falcon import Falcon, load_tokenizer

RANK = """
import os, runpy, sys
rank, port, tool, *arguments = sys.argv[1:]
os.environ.update(RANK=rank, LOCAL_RANK=rank, WORLD_SIZE='2', MASTER_ADDR='127.0.0.1', MASTER_PORT=port)
sys.argv = [tool, *arguments, '--launcher', 'pytorch']
runpy.run_path(tool, run_name='__main__')
"""


@pytest.fixture(scope='module')
def options(tmp_path_factory):
    """Of a fine-tuning by six iterations with four records each, validated once."""
    root = tmp_path_factory.mktemp('sharded')
    make_mini_falcon(root / 'mini', scenes=8)
    torch.manual_seed(0)
    Falcon('tiny', tokenizer=load_tokenizer(ROOT / 'configs/_base_/models/falcon_tiny_tokenizer'), image_size=32,
           max_positions=256).save_pretrained(root / 'model')
    write_records([Record([f'train_{number:04d}.png'], [], 'IMG_CLS', 'Classify the image.\nUse one or a few words.',
                          'sea.' if number % 2 else 'a meadow.') for number in range(1, 9)], root / 'records.jsonl')
    config = root / 'cpu.py'
    config.write_text(f"_base_ = '{ROOT}/configs/falcon/large_sft.py'\n"
                      "optim_wrapper = dict(_delete_=True, type='OptimWrapper', clip_grad=dict(max_norm=1.),\n"
                      "                     optimizer=dict(type='AdamW', lr=1e-3, fused=True))\n")
    records = [f'records.{split}={root / "records.jsonl"}' for split in ('train', 'val', 'test')]
    return config, [*records, f'image_root={root / "mini/images"}', f'pretrained={root / "model"}', 'image_size=32',
                    'num_workers=0', 'batch_size=2', 'checkpoint_interval=3', 'warmup_iters=2', 'reword=False',
                    'max_iters=6']


def run_on_two(tool, *arguments):
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    run_ranks(RANK, port, str(ROOT / 'tools' / tool), *map(str, arguments))


def weights(path):
    return load_state(path)['state_dict']


def distance(some, others):
    return sum((value.double() - others[name].double()).square().sum() for name, value in some.items()).sqrt()


def test_shards_learn_what_copies_learn_and_resume(options, run_tool, tmp_path):
    config, options = options
    for kind in ('Runner', 'ShardedRunner'):
        run_on_two('train.py', config, '--work-dir', tmp_path / kind, '--cfg-options', *options, f'runner_type={kind}')
    copies, shards = (weights(tmp_path / kind / 'falcon.pth') for kind in ('Runner', 'ShardedRunner'))
    assert shards.keys() == copies.keys()
    middle = weights(tmp_path / 'ShardedRunner/iter_3.pth')
    moved = distance(middle, shards)
    assert moved > 1e-3
    assert distance(copies, shards) < moved / 100

    # From a checkpoint in the middle, on as many processes and on one alone, sharded no more.
    for processes in (2, 1):
        cut = tmp_path / f'cut_{processes}'
        cut.mkdir()
        (cut / 'iter_3.pth').write_bytes((tmp_path / 'ShardedRunner/iter_3.pth').read_bytes())
        arguments = (config, '--work-dir', cut, '--resume', '--cfg-options', *options, 'runner_type=ShardedRunner')
        if processes == 2:
            run_on_two('train.py', *arguments)
            assert distance(weights(cut / 'falcon.pth'), shards) < moved / 1000
        else:
            done = run_tool('train.py', *arguments)
            assert 'resumed epoch: 0, iter: 3' in done.stdout + done.stderr

    results = []
    for number, test in enumerate((run_on_two, run_tool)):
        out = tmp_path / f'{number}.json'
        test('test.py', config, tmp_path / 'ShardedRunner/falcon.pth', '--work-dir', tmp_path / 'test', '--out', out,
             '--cfg-options', *options, 'runner_type=ShardedRunner')
        results.append(json.loads(out.read_text())['metrics'])
    assert results[0] == pytest.approx(results[1])


def test_low_rank_matrices_are_loaded_beside_the_shards_of_what_is_frozen(options, tmp_path):
    config, options = options
    lora = config.with_name('lora.py')
    lora.write_text(config.read_text().replace('large_sft', 'large_lora_sft'))
    options = [*options, 'runner_type=ShardedRunner']
    run_on_two('train.py', lora, '--work-dir', tmp_path / 'whole', '--cfg-options', *options)
    (tmp_path / 'cut').mkdir()
    (tmp_path / 'cut/iter_3.pth').write_bytes((tmp_path / 'whole/iter_3.pth').read_bytes())
    run_on_two('train.py', lora, '--work-dir', tmp_path / 'cut', '--resume', '--cfg-options', *options)
    whole, cut = (weights(tmp_path / name / 'falcon.pth') for name in ('whole', 'cut'))
    assert all('lora_' in name or name in ('vocabulary', 'base', 'scalings') for name in whole)
    assert distance(whole, weights(tmp_path / 'whole/iter_3.pth')) > 0 and distance(whole, cut) == 0
    run_on_two('test.py', lora, tmp_path / 'whole/falcon.pth', '--work-dir', tmp_path / 'test', '--cfg-options',
               *options)


def test_an_average_of_weights_is_refused(options):
    config, options = options
    text = config.read_text() + "custom_hooks = [dict(type='EMAHook')]\n"
    averaged = config.with_name('averaged.py')
    averaged.write_text(text)
    with pytest.raises(AssertionError, match="EMAHook averages a copy .* runner_type='Runner'"):
        run_on_two('train.py', averaged, '--work-dir', config.parent / 'averaged', '--cfg-options', *options,
                   'runner_type=ShardedRunner')
