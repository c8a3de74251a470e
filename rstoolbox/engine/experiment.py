"""An experiment from raw folders to a tested student: stages, the rows that are compared, one test at the end."""

import copy
import gc
from pathlib import Path

from mmengine.dist import is_main_process
from mmengine.logging import print_log

from rstoolbox.structures import content_hash, write_json

from .config import ConfigError, resolve, runner_config
from .preflight import PENDING, located
from .report import write_report
from .runner import build_runner, runner_class, starting_point
from .same_run import settings_of
from .sharded_runner import ShardedRunner
from .stages import build_stage
from .testing import test_once
from .train_stage import RUN_KEYS, TrainStage


class Experiment:
    """Runs what is missing of an experiment and reuses what is there.

    A config describes an experiment by three keys beside those of a runner: ``stages``, what must be trained or
    computed first, in this order (:class:`~rstoolbox.engine.stages.Stage`); ``rows``, the runs it is compared with,
    each a dict of overrides; and ``row``, the name of the main run. Results of stages are referred to as
    ``'${artifacts.<stage>}'``.

    Args:
        cfg (mmengine.config.Config): The unresolved config.
        work_dir (str | Path): The main run goes here, the stages to ``stages/`` and the other rows to ``<row>/``
            below it. A config's ``stage_root`` puts the stages elsewhere, so that experiments can share them.
        resume (bool): Go on with the run that was interrupted.
        load_from (str, optional): A checkpoint of the main run: with ``resume`` to go on from, else to start with its
            weights. The config's own ``load_from`` always means the latter.
        values: Further keys of the runner for every run, e.g. ``launcher``.
    """

    def __init__(self, cfg, work_dir, resume=False, load_from=None, **values):
        self.cfg, self.work_dir, self.resume = copy.deepcopy(cfg), Path(work_dir), resume
        self.resume_from, self.load_from = checkpoints(cfg, self.work_dir, resume, load_from)
        self.cfg.merge_from_dict(dict(values, load_from=None))
        self.root = cfg.get('stage_root') or self.work_dir / 'stages'
        self.stages, self.rows, self.upstream = {}, {}, {}
        self.given = {name: str(path) for name, path in (resolve(cfg).get('artifacts') or {}).items()
                      if path is not None}

    def run(self):
        """Run everything.

        Returns:
            dict[str, dict[str, float]]: For each row accuracy, precision, recall and F1 on the test split, in percent.
        """
        self.check()
        self._record()
        self.prepare()
        self._record()  # with the results of the stages
        names = self._row_names()
        for number, name in enumerate(names, 1):
            print_log(f'Student {number} of {len(names)}: {name}', logger='current')
            self.rows[name] = self._row(name, self.cfg)
            self.rows[name].ensure(self.resume)
        return self._report()

    def check(self):
        """Find, before hours of training, whatever would end the experiment later.

        Raises:
            ConfigError: With stage or row and the key of the config.
        """
        if issubclass(runner_class(self.cfg), ShardedRunner):
            raise ConfigError('runner_type: an experiment of stages, which run parts of models by themselves, cannot '
                              "be sharded. Use runner_type='Runner'.")
        gc.freeze()  # mmengine collects garbage for each data set, and need not look through all the modules each time
        try:
            self._check(copy.deepcopy(self.cfg))
            if self.resume:
                self._check_resumed(copy.deepcopy(self.cfg))
        finally:
            gc.unfreeze()

    def prepare(self):
        """Run the stages alone; ``cfg.artifacts`` then names their results. One that is given is taken as it is."""
        names = list(self.cfg.get('stages') or {})
        for number, name in enumerate(names, 1):
            print_log(f'Stage {number} of {len(names)}: {name}', logger='current')
            if not self._is_given(name):
                self._add_stage(name).ensure(self.resume)

    def open(self):
        """Open what a finished run left, without running anything: its ``stages``, and its main run in ``rows``.

        Raises:
            FileNotFoundError: If something was not run to its end with the same settings.
        """
        for name in self.cfg.get('stages') or {}:
            if not self._is_given(name):
                self._check_finished(self._add_stage(name))
        name = self._row_names()[-1]
        self.rows[name] = self._row(name, self.cfg)
        self._check_finished(self.rows[name])

    def _is_given(self, name):
        if name not in self.given:
            return False
        print_log(f'[{name}] skipped, its result is given: {self.given[name]}', logger='current')
        self.upstream[self.given[name]] = content_hash(self.given[name])
        return True

    def _add_stage(self, name):
        stage = self.stages[name] = build_stage(name, self.cfg, root=self.root, upstream=self.upstream)
        self.cfg.artifacts[name] = str(stage.artifact)
        self.upstream[str(stage.artifact)] = stage.fingerprint
        return stage

    def _given_stage(self, name):
        path = self.given[name]
        values = dict(given=path) if self.cfg.stages[name].type == 'TrainStage' else {}
        return build_stage(name, self.cfg, root=self.root, upstream=self.upstream,
                           folder=Path(self.root) / f'{name}-given-{content_hash(path)[:8]}', **values)

    def _check_finished(self, stage):
        if not stage.finished:
            raise FileNotFoundError(
                f"'{stage.name}' of {self.cfg.filename} was not run to its end with these settings: there is no result "
                f'of them in {stage.folder}. Run first, with the same --cfg-options: python tools/train.py '
                f'{self.cfg.filename} --work-dir {self.work_dir}')

    def _check(self, cfg):
        pending = {name: PENDING.format(name) for name in cfg.get('stages') or {} if name not in self.given}
        cfg.merge_from_dict(dict(artifacts=pending))
        for name in cfg.get('stages') or {}:
            with located(f'artifacts.{name}' if name in self.given else f"stage '{name}'"):
                stage = build_stage(name, cfg, root=self.root, upstream={})
                if name in self.given:
                    stage.check_given(self.given[name])
                else:
                    stage.check()
        for name in self._row_names():
            with located(f"row '{name}'"):
                self._row(name, cfg).check()

    def _check_resumed(self, cfg):
        upstream = {path: content_hash(path) for path in self.given.values()}
        for name in cfg.get('stages') or {}:
            if name not in self.given:
                stage = build_stage(name, cfg, root=self.root, upstream=upstream)
                cfg.artifacts[name] = str(stage.artifact)
                upstream[str(stage.artifact)] = stage.fingerprint
        for name in self._row_names():
            self._row(name, cfg, upstream).check_resumed()

    def _record(self):
        """Write what is run, references resolved; each run's own folder says more of it."""
        if is_main_process():
            resolved = resolve(self.cfg).to_dict()
            keys = ('row', 'randomness', 'stage_seed', 'artifacts', 'stages', 'rows')
            write_json({key: resolved.get(key) for key in keys}, self.work_dir / 'resolved_experiment.json')

    def _row_names(self):
        return [*(self.cfg.get('rows') or {}), self.cfg.get('row', 'student')]

    def _row(self, name, cfg, upstream=None):
        main = name == self._row_names()[-1]
        return TrainStage(
            settings={} if main else dict(cfg.rows[name]), name=name, cfg=cfg, root=None,
            upstream=self.upstream if upstream is None else upstream,
            folder=self.work_dir if main else self.work_dir / name, load_from=self.load_from if main else None,
            resume_from=self.resume_from if main else None)

    def _report(self):
        stages = [self._given_stage(name) if name in self.given else self.stages[name]
                  for name in self.cfg.get('stages') or {}]
        tested = {stage.name: stage for stage in stages
                  if isinstance(stage, TrainStage) and stage.config().get('test_dataloader') is not None} | self.rows
        results = {name: test_once(stage) for name, stage in tested.items()}
        summary = {name: result['metrics'] for name, result in results.items()}
        if is_main_process():
            write_report(self, results)
        return summary


def train(cfg, work_dir, resume=False, load_from=None, **values):
    """Train what a config describes: a whole experiment where it has ``stages``, else the one model.

    Args:
        cfg (mmengine.config.Config): The unresolved config.
        work_dir (str | Path): Where everything is written.
        resume (bool): Go on with an interrupted run.
        load_from (str, optional): A checkpoint of the main run: with ``resume`` to go on from, else to start with its
            weights. The config's own ``load_from`` always means the latter.
        values: Further keys of the runner, e.g. ``launcher``.

    Raises:
        FileNotFoundError: If ``load_from`` does not exist.
        ConfigError: If a run is to go on that was begun with other settings.
    """
    if load_from is not None and not Path(load_from).is_file():
        raise FileNotFoundError(f"There is no checkpoint '{load_from}' to resume from.")
    if cfg.get('stages'):
        return Experiment(cfg, work_dir, resume, load_from, **values).run()
    start = starting_point(work_dir, resume, *checkpoints(cfg, work_dir, resume, load_from))
    config = runner_config(cfg, work_dir=str(work_dir), **start, **values)
    runner = build_runner(config)
    runner.settings = settings_of(config, RUN_KEYS)
    return runner.train()


def checkpoints(cfg, work_dir, resume, load_from):
    """The checkpoint to resume from and the one to start with, either of which may be None."""
    resume_from = load_from if resume else None
    start = cfg.get('load_from') if resume else load_from or cfg.get('load_from')
    TrainStage.check_load_from(start, work_dir)
    return resume_from, start
