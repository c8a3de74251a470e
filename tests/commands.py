"""Commands as a user types them, without waiting each time for what they all import.

A process that has imported it forks for every command, which then runs as from a shell: with a folder, arguments and
variables of its own and its output in files.
"""

import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FORKS = multiprocessing.get_context('forkserver')
FORKS.set_forkserver_preload(['rstoolbox.engine', 'rstoolbox.apis'])


def run_command(tool, *arguments, cwd=ROOT, timeout=900, **environment):
    """Run a tool to its end.

    Args:
        tool (str): Its path below ``tools/``.
        arguments: As on the command line.
        cwd (str | Path): Folder that it runs in.
        timeout (float): Seconds after which it is killed and the test fails.
        environment: Variables in addition to those of the tests; they count from the tool's first line on, too late for
            the interpreter and what is imported by then.

    Returns:
        subprocess.CompletedProcess: With ``returncode``, ``stdout`` and ``stderr``, the latter two as text.
    """
    with tempfile.TemporaryDirectory() as folder:
        return _Fork([ROOT / 'tools' / tool, *arguments], folder, cwd, environment).finish(timeout)


def start_command(tool, *arguments, log):
    """Start a tool, and go on.

    Args:
        tool (str): Its path below ``tools/``.
        arguments: As on the command line.
        log (str | Path): Its output goes to the end of this file.

    Returns:
        Like ``subprocess.Popen``: with ``pid``, ``poll()`` and ``wait()``.
    """
    return _Fork([ROOT / 'tools' / tool, *arguments], streams=[log, log])


def run_ranks(code, *arguments, timeout=300):
    """Run a script in two processes at once, whose ``sys.argv[1]`` is 0 and 1, and return what each printed."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder, 'rank.py')
        script.write_text(code)
        for _ in range(2):
            ranks = [_Fork([script, rank, *arguments], tempfile.mkdtemp(dir=folder)) for rank in range(2)]
            done = [rank.finish(timeout) for rank in ranks]
            # Now and then a thread of gloo crashes (pt_gloo_runloop), which nothing in Python can do or help.
            if all(rank.returncode != -signal.SIGSEGV for rank in done):
                break
    assert not any(rank.returncode for rank in done), '\n'.join(
        f'rank {number} ended with {rank.returncode}: {rank.stderr}' for number, rank in enumerate(done))
    return [rank.stdout for rank in done]


class _Fork:
    def __init__(self, command, folder=None, cwd=ROOT, environment=None, streams=None):
        os.environ.setdefault('OMP_NUM_THREADS', '1')  # other tests run beside it
        self.command = [str(argument) for argument in command]
        self.streams = list(map(Path, streams or (f'{folder}/stdout', f'{folder}/stderr')))
        for path in self.streams:
            path.touch()
        self.process = FORKS.Process(target=_become, args=(self.command, self.streams, cwd, environment or {}))
        self.process.start()

    @property
    def pid(self):
        return self.process.pid

    def poll(self):
        return self.process.exitcode

    def wait(self):
        self.process.join()
        return self.process.exitcode

    def finish(self, timeout):
        self.process.join(timeout)
        late = self.process.exitcode is None
        if late:
            self.process.kill()
            self.process.join()
        output = [path.read_text() for path in self.streams]
        if late:
            raise subprocess.TimeoutExpired(self.command, timeout, *output)
        return subprocess.CompletedProcess(self.command, self.process.exitcode, *output)


def _become(command, streams, cwd, environment):
    for number, path in enumerate(streams, 1):
        file = os.open(path, os.O_WRONLY | os.O_APPEND)
        os.dup2(file, number)
        os.close(file)
    os.chdir(cwd)
    os.environ.update(environment)
    sys.argv = command
    sys.path.insert(0, os.path.dirname(command[0]))
    runpy.run_path(command[0], run_name='__main__')
