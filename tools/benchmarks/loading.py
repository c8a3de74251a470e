"""How much of a training epoch the trainer spends waiting for data.

    python tools/benchmarks/loading.py configs/sembridge/r18_ms2rgb.py --json

It trains on the images of the config's own data_root: without options a shipped config takes the embedded set, which it
makes on first use, and says nothing of other files. The student of the config is trained alone, which is the least work
per batch that its loader has to keep up with: whatever a transfer method adds makes the share smaller. Where the config
needs a match that is not there, one is drawn at random. The first epoch, in which workers start and files come into the
cache, is reported apart.
"""

import argparse
import contextlib
import json
import sys
import time

import torch
from mmengine.logging import MMLogger
from mmengine.optim import build_optim_wrapper

from rstoolbox.engine.config import resolve
from rstoolbox.engine.errors import OptionAction, count, read_config, readable_errors
from rstoolbox.engine.runner import Runner
from rstoolbox.registry import DATASETS, MODELS


def main():
    args = parse_args()
    # What is logged goes where it does not mix with the result.
    with contextlib.redirect_stdout(sys.stderr):
        MMLogger.get_instance('loading', log_level='ERROR')
        result = measure(args)
    if args.json:
        print(json.dumps(result))
        return
    print(f'{100 * result["wait_share"]:.2f} % of an epoch is spent waiting for data ({result["wait_seconds"]:.2f} of '
          f'{result["epoch_seconds"]:.2f} s; {100 * result["first_epoch_wait_share"]:.1f} % in the first epoch). The '
          f'loader alone gives {result["images_per_second_loader"]:.0f} images/s, training takes '
          f'{result["images_per_second_training"]:.0f}.')


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', nargs='?', default='configs/sembridge/r18_ms2rgb.py')
    parser.add_argument('--epochs', type=count, default=3, help='measured epochs, after the first')
    parser.add_argument('--json', action='store_true', help='print one JSON object and nothing else')
    parser.add_argument('--cfg-options', nargs='+', action=OptionAction, default={}, metavar='KEY=VALUE',
                        help='override the config')
    return parser.parse_args()


def measure(args):
    """Return shares and seconds, see the module's text."""
    cfg = resolve(read_config(args.config, args.cfg_options))
    loader = build_loader(cfg)
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    student = MODELS.build(cfg.model.get('student', cfg.model)).to(device).train()
    wrapper = build_optim_wrapper(student, cfg.optim_wrapper)
    epochs = [train_epoch(student, wrapper, loader, epoch) for epoch in range(args.epochs + 1)]
    wait, total = (sum(values) / args.epochs for values in zip(*epochs[1:]))
    begin = time.perf_counter()
    images = sum(len(batch['data_samples']) for batch in loader)
    alone = time.perf_counter() - begin
    return dict(wait_share=wait / total, first_epoch_wait_share=epochs[0][0] / epochs[0][1], wait_seconds=wait,
                epoch_seconds=total, images=images, images_per_second_training=images / (total - wait),
                images_per_second_loader=images / alone, batch_size=loader.batch_size, num_workers=loader.num_workers,
                device=device, config=str(args.config))


def build_loader(cfg):
    loader = cfg.train_dataloader
    if loader.dataset.type == 'UnpairedSceneDataset' and loader.dataset.get('match_table') is None:
        loader.dataset.match = 'random'
    return Runner.build_dataloader(dict(loader, dataset=DATASETS.build(loader.dataset)), seed=0)


def train_epoch(student, wrapper, loader, epoch):
    """Train for one epoch; return the seconds waited for data and the seconds altogether."""
    if hasattr(loader.dataset, 'set_epoch'):
        loader.dataset.set_epoch(epoch)
    wait, begin = 0., time.perf_counter()
    batches = iter(loader)
    while True:
        asked = time.perf_counter()
        batch = next(batches, None)
        wait += time.perf_counter() - asked
        if batch is None:
            return wait, time.perf_counter() - begin
        if isinstance(batch['inputs'], dict):
            batch = dict(batch, inputs=batch['inputs']['student'])
        student.train_step(batch, wrapper)
        # Otherwise work still queued on an accelerator would look like waiting for data.
        if next(student.parameters()).is_cuda:
            torch.cuda.synchronize()


if __name__ == '__main__':
    with readable_errors():
        main()
