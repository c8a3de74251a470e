"""Test a trained classifier, distilled student or vision-language model.

python tools/test.py configs/sembridge/r18_ms2rgb.py work_dirs/r18_ms2rgb/best_student.pth --out results.json
python tools/test.py configs/falcon/large_sft.py work_dirs/falcon_large --dump answers.jsonl
"""

import argparse
from pathlib import Path

from mmengine.dist import is_main_process

from rstoolbox.engine.config import ConfigError, default_work_dir, runner_config
from rstoolbox.engine.errors import OptionAction, check_output, read_config, readable_errors
from rstoolbox.engine.launch import add_launcher, leave_launcher, setup_launcher
from rstoolbox.engine.testing import test
from rstoolbox.models.falcon import Falcon
from rstoolbox.registry import MODELS
from rstoolbox.structures import write_json


def parse_args():
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help="a config file, or 'rstoolbox::path' for one that came with the package")
    parser.add_argument('checkpoint', help='best_student.pth, or any checkpoint of the training; the '
                        'folder of a vision-language model')
    parser.add_argument('--work-dir', help='where the log goes (default: test/ in the work dir of the training)')
    parser.add_argument('--out', metavar='JSON', help='write metrics and what stands behind them here')
    parser.add_argument('--dump', metavar='FILE',
                        help='write the predictions of all samples here: *.pkl, of a vision-language model *.jsonl')
    parser.add_argument('--show-dir', metavar='DIR', help='draw every test image with truth and prediction here')
    parser.add_argument('--cfg-options', nargs='+', action=OptionAction, default={}, metavar='KEY=VALUE',
                        help='override settings of the config')
    add_launcher(parser)
    return parser.parse_args()


def main():
    """Run the command."""
    args = parse_args()
    cfg = read_config(args.config, args.cfg_options)
    work_dir = args.work_dir or str(Path(cfg.get('work_dir') or default_work_dir(cfg)) / 'test')
    check_output('--work-dir', work_dir, folder=True)
    check_output('--show-dir', args.show_dir, folder=True)
    check_output('--out', args.out)
    check_output('--dump', args.dump)
    values = setup_launcher(args.launcher)
    config = runner_config(cfg, work_dir=work_dir, **values)
    answers = issubclass(MODELS.get(config.model.type), Falcon)
    if args.dump and answers:
        if not args.dump.endswith('.jsonl'):
            raise ConfigError(f"--dump writes answers as JSON lines; name it *.jsonl instead of '{args.dump}'.")
        config.default_hooks.dump = dict(type='DumpAnswersHook', path=args.dump)
    elif args.dump:
        if not args.dump.endswith(('.pkl', '.pickle')):
            raise ConfigError(f"--dump writes a pickle; name it *.pkl instead of '{args.dump}'.")
        evaluators = config.test_evaluator if isinstance(config.test_evaluator, list) else [config.test_evaluator]
        config.test_evaluator = [*evaluators, dict(type='DumpResults', out_file_path=args.dump)]
    if args.show_dir:
        config.default_hooks.show = dict(type='ShowAnswersHook' if answers else 'ShowPredictionsHook',
                                         folder=args.show_dir)
    metrics, report = test(config, args.checkpoint)
    if args.out and is_main_process():
        write_json(dict(report, metrics=metrics), args.out)
    leave_launcher()


if __name__ == '__main__':
    with readable_errors():
        main()
