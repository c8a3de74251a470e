"""Runs of a benchmark, each in a process of its own, none of them twice."""

import fcntl
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import torch

from rstoolbox.structures.files import read_record, write_json, write_whole

from ..config_text import config_text
from .results import RECORD, read_result

PACKAGE = Path(__file__).resolve().parents[2]
TOOLS = PACKAGE / '.mim' / 'tools'
POLL = 0.2  # seconds
PATIENCE = 10  # seconds that a process has to end before it is killed
TAIL = 12  # lines of a failed run's log
WAITING, RUNNING, ELSEWHERE, DONE, FAILED = 'waiting', 'running', 'elsewhere', 'done', 'failed'


class Cell:
    """A run, where it stands and what came out."""

    def __init__(self, run, folder):
        self.run, self.folder = run, folder
        self.lock = _Lock(folder / '.benchmark.lock')
        self.state, self.result, self.process, self.begin, self.end, self.why = WAITING, None, None, None, None, ''

    @property
    def log(self):
        return self.folder / 'run.log'

    @property
    def seconds(self):
        """Seconds since the run was started by this command; None where it was not."""
        return None if self.begin is None else (self.end or time.time()) - self.begin

    @property
    def tail(self):
        """The last lines of the log; none where it cannot be read."""
        try:
            lines = self.log.read_text(errors='replace').rstrip().splitlines()
        except OSError:
            return ''
        return '\n'.join(lines[-TAIL:])

    @property
    def earlier(self):
        """The key of the settings that its folder holds a run of; its own, where it holds none."""
        return read_record(self.folder / RECORD, ('key',)).get('key', self.run.key)

    @property
    def has_stages(self):
        """Whether all that its students share is there: its own training has begun."""
        return (self.folder / 'stage.json').is_file()


class Scheduler:
    """Runs what is missing of a benchmark, some runs at a time.

    Each run is a process of ``tools/train.py``, so that it can be started by hand too, and one that crashes takes no
    other along. A lock, which the process itself holds too, keeps a second command off the runs of the first, also off
    one that goes on after the first was killed; what that one finishes counts here too. Of the runs that share teacher
    and matcher one goes ahead until these are there.

    Args:
        runs (list[Run]): In the order in which they are started.
        root (str | Path): Each run goes to ``<root>/<name of the run>``.
        stages (str | Path): Where runs share their stages, unless the spec says so itself.
        jobs (int): How many run at a time.
        partition (str, optional): Partition of a Slurm cluster on which each run is started with ``srun``; else they
            run on this machine.
        changed (callable): Called with the cell whose state has changed.
    """

    def __init__(self, runs, root, stages, jobs=1, partition=None, changed=lambda cell: None):
        self.cells = [Cell(run, Path(root) / run.name) for run in runs]
        self.stages, self.jobs, self.partition, self.changed = Path(stages), jobs, partition, changed
        self.slots = list(range(jobs))

    def run(self, tick=lambda: None):
        """Run until every cell is done or failed; ``tick`` is called several times a second.

        A ``KeyboardInterrupt`` stops the processes before it goes on its way.
        """
        self.look()
        try:
            while True:
                for cell in self.cells:
                    if cell.state == RUNNING:
                        self._look_after(cell)
                for cell in self.cells:
                    if self.slots and cell.state in (WAITING, ELSEWHERE):
                        self._take(cell)
                tick()
                if all(cell.state in (DONE, FAILED) for cell in self.cells):
                    return
                time.sleep(POLL)
        finally:
            self._stop()

    def look(self):
        """Read what is finished, and start nothing."""
        for cell in self.cells:  # all before the first is announced, as a report then is of all
            cell.result = read_result(cell.run, cell.folder)
        for cell in self.cells:
            self._set(cell, result=cell.result)

    def _set(self, cell, state=None, result=None):
        if result is not None:
            state, cell.result = DONE, result
        if state not in (None, cell.state):
            cell.state = state
            self.changed(cell)

    def _take(self, cell):
        shared = (cell.run.dataset, cell.run.pair)
        if any(other.state == RUNNING and not other.has_stages and (other.run.dataset, other.run.pair) == shared
               for other in self.cells):
            return
        state, result = ELSEWHERE, None
        try:
            cell.folder.mkdir(parents=True, exist_ok=True)
            if cell.lock.acquire():
                try:
                    result = read_result(cell.run, cell.folder)
                    if result is None:
                        self._start(cell)
                        state = RUNNING
                finally:
                    if state != RUNNING:
                        cell.lock.release()
        except OSError as error:  # a full disk or a folder of somebody else's is no matter of the other runs
            cell.why, state = f'could not be started: {error}', FAILED
        self._set(cell, state, result)

    def _start(self, cell):
        run, config = cell.run, cell.folder / 'config.py'
        earlier = cell.earlier
        # What an earlier version of the spec left is set aside by the run itself.
        resume = earlier == run.key
        tested = cell.folder / 'test.json'
        if not resume and tested.is_file():
            # Should this run end before it sets the rest aside, the score would count as one of the new settings.
            tested.replace(cell.folder / f'test-{earlier}.json')
        write_json(dict(key=run.key, dataset=run.dataset, pair=run.pair, method=run.method, sembridge=run.sembridge,
                        seed=run.seed), cell.folder / RECORD)
        cfg = run.cfg.to_dict()
        cfg['stage_root'] = cfg.get('stage_root') or str(self.stages)
        write_whole(config_text(cfg).encode(), config)
        arguments = [*(['--resume'] if resume else []), *(['--amp'] if run.amp else [])]
        slot = self.slots[0]
        command = self._command(cell, config, arguments)
        with cell.log.open('ab') as log:
            log.write(f'$ {shlex.join(command)}\n'.encode())
            log.flush()
            # In a session of its own, so that Ctrl-C reaches this command alone, which then stops it in order.
            cell.process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                                            env=self._environment(slot), start_new_session=True,
                                            pass_fds=[cell.lock.descriptor])
        cell.slot, cell.begin = self.slots.pop(0), time.time()

    def _command(self, cell, config, arguments):
        if self.partition:
            return [str(TOOLS / 'slurm_train.sh'), self.partition, cell.run.name.replace('/', '-'), str(config),
                    str(cell.folder), *arguments]
        return [sys.executable, '-u', str(TOOLS / 'train.py'), str(config), '--work-dir', str(cell.folder), *arguments]

    def _environment(self, slot):
        # Works from a checkout that is not installed, too.
        path = os.pathsep.join(filter(None, [str(PACKAGE.parent), os.environ.get('PYTHONPATH')]))
        values = dict(os.environ, PYTHONPATH=path, PYTHON=sys.executable)
        if self.partition:
            values.setdefault('GPUS', '1')
            return dict(values, PORT=str(int(values.get('PORT', 29500)) + slot))
        values.setdefault('OMP_NUM_THREADS', str(max(len(os.sched_getaffinity(0)) // self.jobs, 1)))
        if torch.cuda.device_count() > 1:
            known = os.environ.get('CUDA_VISIBLE_DEVICES')
            devices = known.split(',') if known else list(map(str, range(torch.cuda.device_count())))
            values['CUDA_VISIBLE_DEVICES'] = devices[slot % len(devices)]
        return values

    def _look_after(self, cell):
        code = cell.process.poll()
        if code is None:
            return
        cell.end = time.time()
        result = read_result(cell.run, cell.folder) if code == 0 else None
        if code < 0:
            cell.why = f'killed by {signal.Signals(-code).name}'
        elif result is None:
            cell.why = f'ended with exit code {code}' if code else 'ended without a result'
        self._free(cell)
        self._set(cell, FAILED, result)

    def _free(self, cell):
        cell.lock.release()
        self.slots.append(cell.slot)

    def _stop(self):
        """End the processes that still run, with those that load their data."""
        running = [cell for cell in self.cells if cell.state == RUNNING]
        for sign in (signal.SIGTERM, signal.SIGKILL):
            for cell in running:
                if cell.process.poll() is None:
                    os.killpg(cell.process.pid, sign)
            deadline = time.time() + PATIENCE
            while any(cell.process.poll() is None for cell in running) and time.time() < deadline:
                time.sleep(POLL / 4)
        for cell in running:
            self._free(cell)
            self._set(cell, WAITING)


class _Lock:
    """A lock by a file that processes can share: it lasts until one of them releases it or the last of them ends."""

    def __init__(self, path):
        self.path, self.descriptor = path, None

    def acquire(self):
        """Return whether nobody else has it."""
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            if isinstance(error, BlockingIOError):
                return False
            raise
        self.descriptor = descriptor
        return True

    def release(self):
        fcntl.flock(self.descriptor, fcntl.LOCK_UN)
        os.close(self.descriptor)
        self.descriptor = None
