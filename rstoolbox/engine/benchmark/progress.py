"""How a benchmark stands: a table that follows it on a terminal, plain lines elsewhere."""

from collections import Counter

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from .scheduler import DONE, ELSEWHERE, FAILED, RUNNING, WAITING

COLOURS = {RUNNING: 'cyan', FAILED: 'red', ELSEWHERE: 'yellow', WAITING: 'dim', DONE: 'green'}


class Progress:
    """Shows the cells of a scheduler while it runs.

    Args:
        cells (list[Cell]): All of them.
        console (rich.console.Console, optional): Where to. Default: the standard output.
    """

    def __init__(self, cells, console=None):
        self.cells = cells
        self.console = console or Console(highlight=False, soft_wrap=True)
        self.live = Live(console=self.console, auto_refresh=False) if self.console.is_terminal else None

    def __enter__(self):
        if self.live:
            self.live.start()
        return self

    def __exit__(self, *error):
        if self.live:
            self.tick()
            self.live.stop()

    def changed(self, cell):
        """Say what became of a cell."""
        if not self.live:
            done = sum(other.state == DONE for other in self.cells)
            text = [f'[{done}/{len(self.cells)}]', f'{cell.state:9}', cell.run.name, *filter(None, _columns(cell)[2:])]
            self.console.print('  '.join(text), markup=False)
        if cell.state == FAILED:
            self.console.print(failure(cell), markup=False)

    def tick(self):
        """Draw the table anew."""
        if self.live:
            self.live.update(self._table(), refresh=True)

    def _table(self):
        counts = Counter(cell.state for cell in self.cells)
        table = Table('run', 'state', 'seconds', 'accuracy',
                      caption=', '.join(f'{counts[state]} {state}' for state in COLOURS if counts[state]))
        order = list(COLOURS)
        # What goes on first: a long list is cut at the bottom of the terminal.
        for cell in sorted(self.cells, key=lambda cell: order.index(cell.state)):
            # As text: square brackets of a name are its own, no markup.
            table.add_row(*map(Text, _columns(cell)), style=COLOURS[cell.state])
        return table


def failure(cell):
    """Why a run failed, with the end of its log and where that lies."""
    log = '\n'.join(f'    {line}' for line in cell.tail.splitlines())
    return f'{cell.run.name} {cell.why}. The end of {cell.log}:\n{log}'


def _columns(cell):
    seconds = '' if cell.seconds is None else f'{cell.seconds:.0f} s'
    accuracy = f'{cell.result["accuracy"]:.2f} %' if cell.result and cell.result['accuracy'] is not None else ''
    return cell.run.name, cell.state, seconds, accuracy
