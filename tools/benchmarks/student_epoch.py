"""What an epoch of SemBridge costs beside plain student training, and what the gallery saves.

    python tools/benchmarks/student_epoch.py --json

Three students are trained in turn for a few epochs: without transfer ("plain"), SemBridge with the teacher's outputs
from the gallery ("gallery"), and SemBridge that opens the multispectral images and runs the teacher ("in_the_loop").
Times are medians over epochs after the first; re-matching is spread over the epochs of the config's schedule.
"""

import argparse
import contextlib
import json
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from mmengine.hooks import Hook

from rstoolbox.engine import Experiment, Runner, matching_epochs, resolve, runner_config
from rstoolbox.engine.config import ConfigError
from rstoolbox.engine.errors import OptionAction, count, read_config, readable_errors

MODES = dict(
    plain=None,  # the row "none" of the experiment
    gallery={},
    in_the_loop={'train_dataset.read_teacher': True, 'model.gallery': None,
                 'model.teacher_checkpoint': '${artifacts.teacher}', 'custom_hooks.0.gallery': '${artifacts.gallery}'})


class EpochTimer(Hook):
    """Seconds of each epoch, from before its first hook to after its last step."""

    priority = 'HIGHEST'

    def __init__(self):
        self.seconds = []

    def before_train_epoch(self, runner):
        self.begin = time.perf_counter()

    def after_train_epoch(self, runner):
        self.seconds.append(time.perf_counter() - self.begin)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--config', default='configs/sembridge/r18_ms2rgb.py')
    parser.add_argument('--epochs', type=count, default=4, help='epochs of each student in each round, at least 3: the '
                        'first starts the workers, the last begins with a re-matching, those between are timed')
    parser.add_argument('--rounds', type=count, default=2, help='how often the three take turns')
    parser.add_argument('--json', action='store_true', help='print one JSON object and nothing else')
    parser.add_argument('--cfg-options', nargs='+', action=OptionAction, default={}, metavar='KEY=VALUE')
    args = parser.parse_args()
    if args.epochs < 3:
        parser.error(f'--epochs {args.epochs}: at least 3 are needed to have one to time.')
    # The log of the trainings goes where it does not mix with the result.
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):
        result = measure(read_experiment(args), Path(folder), args.epochs, args.rounds)
    if args.json:
        print(json.dumps(result))
        return
    print(f'An epoch of SemBridge from the gallery takes {result["gallery_over_plain"]:.2f}x that of plain training, '
          f're-matching included; with the teacher in the loop it takes {result["in_the_loop_over_gallery"]:.2f}x that '
          f'from the gallery.')
    print(json.dumps(result, indent=1))


def read_experiment(args):
    """The config, with one epoch for each network that the students need."""
    cfg = read_config(args.config, args.cfg_options)
    if 'stages' not in cfg or 'matching' not in cfg or 'none' not in cfg.get('rows', ()):
        raise ConfigError(f"'{args.config}' is no SemBridge experiment (stages, matching and a row 'none' to compare "
                          'with); name one such as configs/sembridge/r18_ms2rgb.py.')
    cfg.merge_from_dict(dict(teacher_epochs=1, matcher_epochs=1))
    return cfg


def measure(cfg, folder, epochs, rounds):
    """Train the three students in turn and compare their epochs."""
    schedule = resolve(cfg)
    epochs_of_matching = matching_epochs(**schedule.matching, num=schedule.max_epochs)
    rematches = sum(epoch < schedule.max_epochs for epoch in epochs_of_matching)
    experiment = Experiment(cfg, folder)
    experiment.prepare()
    seconds = {mode: [] for mode in MODES}
    matching = []
    for number in range(rounds):
        for mode, settings in MODES.items():
            settings = dict(cfg.rows['none']) if settings is None else dict(settings)
            settings |= {'max_epochs': epochs, 'matching': dict(start=epochs - 1, interval=epochs, growth=0),
                         'val_dataloader': None, 'val_cfg': None, 'val_evaluator': None,
                         'default_hooks.checkpoint.save_best': None}
            timer = EpochTimer()
            runner = Runner.from_cfg(runner_config(experiment.cfg, settings, work_dir=str(folder / f'{mode}_{number}'),
                                                   experiment_name=f'{mode}_{number}'))
            runner.register_hook(timer)
            runner.train()
            # The first epoch starts the workers; the last one of a SemBridge run begins with a re-matching.
            seconds[mode] += timer.seconds[1:-1]
            if mode == 'gallery':
                matching.append(timer.seconds[-1] - median(timer.seconds[1:-1]))
    plain, gallery, loop = (median(seconds[mode]) for mode in MODES)
    rematch = max(median(matching), 0.)
    share = rematches / schedule.max_epochs
    return dict(seconds_per_epoch=dict(plain=plain, gallery=gallery, in_the_loop=loop), seconds_per_rematch=rematch,
                rematches=rematches, epochs_of_schedule=schedule.max_epochs,
                gallery_over_plain=(gallery + share * rematch) / plain,
                in_the_loop_over_gallery=(loop + share * rematch) / (gallery + share * rematch))


if __name__ == '__main__':
    with readable_errors():
        main()
