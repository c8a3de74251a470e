"""A Falcon from records to answers, as a user would type it."""

import json
import re

import pytest
import torch

from commands import ROOT, run_command
from rstoolbox.datasets.falcon import Record, write_records
from rstoolbox.datasets.falcon.mini_falcon import make_mini_falcon
from rstoolbox.models.falcon import Falcon, load_tokenizer


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    """Embedded records of few scenes, and a few of them as records of one's own."""
    root = tmp_path_factory.mktemp('falcon') / 'mini'
    make_mini_falcon(root, scenes=8)
    return root


@pytest.fixture(scope='module')
def small(data):
    return [f'data_root={data}', 'num_workers=0', 'warmup_iters=2',
            *(f'{split}_dataset.scenes=8' for split in ('train', 'val', 'test'))]


def test_train_test_dump_score_and_predict(data, small, run_tool, tmp_path):
    work_dir = tmp_path / 'run'
    run_tool('train.py', 'configs/falcon/tiny_mini.py', '--work-dir', work_dir, '--cfg-options', *small, 'max_epochs=2')
    log = [json.loads(line) for file in work_dir.glob('*/vis_data/scalars.json') for line in file.open()]
    losses = [entry['loss'] for entry in log if 'loss' in entry]
    assert losses[-1] < losses[0]
    run_tool('test.py', 'configs/falcon/tiny_mini.py', work_dir / 'falcon.pth', '--out', tmp_path / 'out.json',
             '--dump', tmp_path / 'answers.jsonl', '--show-dir', tmp_path / 'show', '--cfg-options', *small)
    metrics = json.loads((tmp_path / 'out.json').read_text())['metrics']
    assert {key.partition('/')[0] for key in metrics} >= {'IMG_CLS', 'REG_DET_OBB', 'PIX_CHG', 'IMG_CAP'}
    lines = (tmp_path / 'answers.jsonl').read_text().splitlines()
    assert len(lines) == len((data / 'test.jsonl').read_text().splitlines()) == len(list((tmp_path / 'show').iterdir()))
    # A dump scored later gives the scores of the test.
    run_tool('analysis/score_predictions.py', tmp_path / 'answers.jsonl', '--out', tmp_path / 'again.json')
    again = json.loads((tmp_path / 'again.json').read_text())
    assert {name: again[name] for name in metrics} == pytest.approx(metrics, abs=0.01)
    done = run_tool('predict.py', data / 'images/test_0001.png', '--model', 'configs/falcon/tiny_mini.py',
                    '--checkpoint', work_dir / 'falcon.pth', '--task', 'IMG_CT', '--prompt', 'ship', '--beams', '1')
    assert json.loads(done.stdout)['count'] >= 0


def test_low_rank_fine_tuning_of_a_folder_goes_on_in_the_middle_of_an_epoch(data, run_tool, tmp_path):
    Falcon('tiny', tokenizer=load_tokenizer(ROOT / 'configs/_base_/models/falcon_tiny_tokenizer'), image_size=32,
           max_positions=256).save_pretrained(tmp_path / 'model')
    write_records([Record([f'train_{number:04d}.png'], [], 'IMG_CLS', 'Classify the image.\nUse one or a few words.',
                          'sea.') for number in range(1, 9)], tmp_path / 'records.jsonl')
    options = [f'records.{split}={tmp_path / "records.jsonl"}' for split in ('train', 'val', 'test')]
    options += [f'image_root={data / "images"}', f'pretrained={tmp_path / "model"}', 'image_size=32', 'num_workers=0',
                'batch_size=2', 'checkpoint_interval=3', 'warmup_iters=1', 'reword=False']
    config = tmp_path / 'cpu.py'
    config.write_text(f"_base_ = '{ROOT}/configs/falcon/large_lora_sft.py'\n"
                      "optim_wrapper = dict(_delete_=True, type='OptimWrapper', optimizer=dict(type='AdamW'))\n")
    train = ('train.py', config)
    # Wordings are drawn anew and are not part of what a checkpoint restores.
    run_tool(*train, '--work-dir', tmp_path / 'whole', '--cfg-options', *options, 'max_iters=6')
    run_tool(*train, '--work-dir', tmp_path / 'cut', '--cfg-options', *options, 'max_iters=6')
    (tmp_path / 'cut/iter_6.pth').unlink()
    for other, told in (('reword=True', 'reword was False and is True'), ('max_iters=9', 'max_iters was 6 and is 9')):
        refused = run_command(*train, '--work-dir', tmp_path / 'cut', '--resume', '--cfg-options', *options,
                              'max_iters=6', other)
        assert refused.returncode == 1 and re.search(f'other settings, so it cannot be resumed.*{told}', refused.stderr)
    # How it validates may change: that is where the memory may have run out.
    run_tool(*train, '--work-dir', tmp_path / 'cut', '--resume', '--cfg-options', *options, 'max_iters=6',
             'val_dataloader.batch_size=2', 'model.generation.num_beams=1')
    whole, cut = (torch.load(tmp_path / name / 'falcon.pth', weights_only=True)['state_dict']
                  for name in ('whole', 'cut'))
    assert all('lora_' in name or name in ('vocabulary', 'base', 'scalings') for name in whole)
    assert whole.keys() == cut.keys() and all(torch.allclose(whole[name], cut[name]) for name in whole)


def test_a_mixture_for_a_gpu_says_on_a_cpu_what_to_do_and_trains_there_with_amp(data, small, tmp_path):
    if torch.cuda.is_available():
        pytest.skip('what is said where there is no GPU')
    options = [*(option for option in small if not option.startswith('train_')), f'records.train={data}/val.jsonl',
               f'image_root={data}/images', 'model.geometry=tiny', 'model.max_positions=256', 'image_size=96',
               'max_iters=4', 'train_dataset.parts.0.scenes=8', 'val_dataset.indices=4']
    command = ('train.py', 'configs/falcon/base_mixed.py', '--work-dir', tmp_path)
    refused = run_command(*command, '--cfg-options', *options)
    assert refused.returncode and 'AmpOptimWrapper trains on a GPU' in refused.stderr and '--amp' in refused.stderr
    done = run_command(*command, '--amp', '--cfg-options', *options)
    assert done.returncode == 0 and (tmp_path / 'falcon.pth').is_file(), done.stderr
    # The learning rate of each single weight is no news.
    assert 'paramwise_options' not in done.stdout + done.stderr
