"""Stages of an experiment: what must be trained or computed before what, each done once and reused."""

import logging
import time
from abc import ABC, abstractmethod
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

from mmengine.dist import barrier, is_main_process
from mmengine.logging import print_log

from rstoolbox.registry import STAGES
from rstoolbox.structures import content_hash, locked, read_record, write_json

from .config import resolve
from .fingerprints import fingerprint_of


class Stage(ABC):
    """One step of an experiment. Its result is reused as long as its fingerprint stays the same.

    Args:
        name (str): Key of the stage in ``stages``.
        cfg (mmengine.config.Config): The unresolved experiment, in which ``artifacts`` holds the results of the
            stages before.
        root (str | Path): Folder below which ``<name>-<fingerprint>`` is made.
        upstream (dict[str, str]): Fingerprints of the stages before, by artifact path.
        folder (str | Path, optional): A folder to use instead of one below ``root``.
    """

    leftovers = ()  # patterns of files
    is_folder = False  # what the artifact is

    def __init__(self, name, cfg, root, upstream, folder=None):
        self.name, self.cfg, self.upstream, self._root = name, cfg, upstream, root
        if folder:
            self.folder = Path(folder)

    @cached_property
    def fingerprint(self):
        """str: 16 hex digits that change with whatever the result depends on."""
        return fingerprint_of(self.settings_for_fingerprint(), self.upstream)

    @cached_property
    def folder(self):
        """Path: Where the stage works."""
        return Path(self._root) / f'{self.name}-{self.fingerprint[:8]}'

    @property
    @abstractmethod
    def artifact(self):
        """Path: What the later stages use."""

    @abstractmethod
    def settings_for_fingerprint(self):
        """Everything the result depends on, as a tree of plain values."""

    @abstractmethod
    def run(self, resume):
        """Do the work; leaves :attr:`artifact` behind."""

    def check(self):  # noqa: B027, a stage may have nothing to check
        """Raise what would end :meth:`run`, as far as that can be known before the stages before it have run.

        Their results are :data:`~rstoolbox.engine.preflight.PENDING` in the config then.
        """

    def check_given(self, path):
        """Raise unless ``path`` can take the place of the artifact; the stage itself is skipped then."""
        path, kind = Path(path), 'folder' if self.is_folder else 'file'
        if not (path.is_dir() if self.is_folder else path.is_file()):
            raise FileNotFoundError(f"'{path}' is not a {kind}." if path.exists() else f"There is no {kind} '{path}'.")

    def check_resumed(self):
        """Raise if the folder holds a run of other settings, which cannot go on."""
        state = self.state()
        if state and state['fingerprint'] != self.fingerprint:
            raise ValueError(f'{self.folder} holds a run of {self.name} with other settings, so it cannot be resumed. '
                             f'{self.advice(state)}Run without --resume to start anew, or choose another --work-dir.')

    def record(self):
        """What :meth:`advice` may want to know of this run later; goes into ``stage.json``."""
        return {}

    def advice(self, state):
        """A sentence on why a run that left ``state`` cannot be resumed with the settings of now, or nothing."""
        return ''

    def clear(self):
        """Remove what an unfinished run left in the folder."""
        for path in self._leftovers():
            path.unlink()

    def set_aside(self):
        """Move what an earlier run left in the folder to ``replaced-<time>``, with its state."""
        old = [*self._leftovers(), *filter(Path.is_file, [self._state_file])]  # last: until then it tells what this is
        if not old:
            return
        aside = self.folder / time.strftime('replaced-%Y%m%d-%H%M%S')
        for path in old:
            target = aside / path.relative_to(self.folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            path.rename(target)
        print_log(f'[{self.name}] {self.folder} held results of other settings or without a record of them; they are '
                  f'now in {aside}', 'current', logging.WARNING)

    def ensure(self, resume=False):
        """Run the stage unless its result is there already.

        Args:
            resume (bool): Go on with an interrupted run of the same settings.

        Returns:
            Path: The artifact.
        """
        with self.locked():
            return self._ensure(resume)

    def _ensure(self, resume):
        state = self.state()
        if self.finished:
            print_log(f'[{self.name}] done before with the same settings, reused: {self.artifact} (delete its '
                      'stage.json to do it anew)', 'current')
            return self.artifact
        same = state.get('fingerprint') == self.fingerprint
        if resume:
            self.check_resumed()
        if state and same and not resume:
            print_log(f'[{self.name}] starts anew; --resume would go on with what is in {self.folder}', 'current')
        print_log(f'[{self.name}] runs in {self.folder}', logger='current')
        begin = time.time()
        if is_main_process():
            # before the state is written: killed in between, nothing old can pass for new
            if same and not state['finished'] and not resume:
                self.clear()
            elif not (same and resume):
                self.set_aside()
            write_json(dict(self.record(), fingerprint=self.fingerprint, finished=False), self._state_file)
        barrier()
        self.run(resume and same)
        if is_main_process():
            content = content_hash(self.artifact) if self.artifact.is_file() else None  # a gallery checks itself
            write_json(dict(self.record(), fingerprint=self.fingerprint, finished=True, artifact=str(self.artifact),
                            content=content, seconds=round(time.time() - begin, 1)), self._state_file)
        barrier()
        print_log(f'[{self.name}] finished in {time.time() - begin:.0f} s: {self.artifact}', logger='current')
        return self.artifact

    @contextmanager
    def locked(self):
        """Keep other runs that share the stage out while it runs or is tested; they then find its result."""
        if is_main_process():
            self.folder.mkdir(parents=True, exist_ok=True)
            with locked(self.folder / '.lock'):
                barrier()
                yield
        else:
            barrier()
            yield

    @property
    def finished(self):
        """bool: Whether the artifact is there, made with the same settings."""
        state = self.state()
        if not state.get('finished') or state['fingerprint'] != self.fingerprint or not self.artifact.exists():
            return False
        if state.get('content') is None or state['content'] == content_hash(self.artifact):
            return True
        print_log(f'{self.artifact} is not what [{self.name}] left: it is made anew', 'current', logging.WARNING)
        return False

    def state(self):
        """What an earlier run left in the folder; empty if there was none."""
        return read_record(self._state_file, ('fingerprint', 'finished'))

    def _leftovers(self):
        return sorted({path for pattern in self.leftovers for path in self.folder.glob(pattern) if path.is_file()})

    @property
    def _state_file(self):
        return self.folder / 'stage.json'


def build_stage(name, cfg, **kwargs):
    """Build the stage ``cfg.stages[name]`` with its references resolved; ``kwargs`` as in :class:`Stage`."""
    stage = dict(cfg.stages[name])
    if stage['type'] != 'TrainStage':  # a train stage applies its settings before it resolves
        stage = resolve(cfg).stages[name].to_dict()
    return STAGES.build(dict(stage, name=name, cfg=cfg, **kwargs))
