"""Train an experiment: whatever it needs first, then the student, then one test.

python tools/train.py configs/sembridge/r18_ms2rgb.py
python tools/train.py rstoolbox::sembridge/r18_ms2rgb.py --work-dir out --cfg-options data_root=data/mini_s2s
"""

import argparse

from mmengine.device import is_cuda_available

from rstoolbox.engine.config import ConfigError, default_work_dir
from rstoolbox.engine.errors import OptionAction, check_output, read_config, readable_errors, seed_number
from rstoolbox.engine.experiment import train
from rstoolbox.engine.launch import add_launcher, leave_launcher, setup_launcher


def parse_args():
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help="a config file, or 'rstoolbox::path' for one that came with the package")
    parser.add_argument('--work-dir', help='where logs, checkpoints and results go (default: work_dirs/<config name>)')
    parser.add_argument('--resume', nargs='?', const='auto',
                        help='go on with an interrupted run; with a path, from that checkpoint of the main run')
    parser.add_argument('--amp', action='store_true', help='train in mixed precision (on a CPU in bfloat16)')
    parser.add_argument('--seed', type=seed_number, help='random seed (default: the one in the config)')
    parser.add_argument('--cfg-options', nargs='+', action=OptionAction, default={}, metavar='KEY=VALUE',
                        help='override settings of the config, e.g. data_root=data/mine max_epochs=5')
    add_launcher(parser)
    return parser.parse_args()


def main():
    """Run the command."""
    args = parse_args()
    options = dict(args.cfg_options)
    if args.seed is not None:
        options['randomness.seed'] = args.seed
    cfg = read_config(args.config, options)
    if args.amp:
        use_amp(cfg)
    work_dir = args.work_dir or cfg.get('work_dir') or default_work_dir(cfg)
    check_output('--work-dir', work_dir, folder=True)
    values = setup_launcher(args.launcher)
    checkpoint = args.resume if args.resume not in (None, 'auto') else None
    train(cfg, work_dir, resume=args.resume is not None or bool(cfg.get('resume')), load_from=checkpoint, **values)
    leave_launcher()


def use_amp(cfg):
    """Switch the optimizer wrapper to mixed precision, as in mmpretrain; on a CPU to bfloat16."""
    wrapper = cfg.optim_wrapper
    if wrapper.get('type', 'OptimWrapper') not in ('OptimWrapper', 'AmpOptimWrapper'):
        raise ConfigError(f'--amp replaces OptimWrapper, but the config has {wrapper.type}.')
    if is_cuda_available():
        wrapper.type = 'AmpOptimWrapper'
        wrapper.setdefault('loss_scale', 'dynamic')
    else:
        wrapper.type = 'CPUAmpOptimWrapper'
        for key in ('dtype', 'loss_scale', 'use_fsdp'):  # what a config says of a GPU
            wrapper.pop(key, None)


if __name__ == '__main__':
    with readable_errors('Interrupted; the same command with --resume goes on.'):
        main()
