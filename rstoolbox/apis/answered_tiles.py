"""Answers about the tiles of a scene, kept beside its map until that is whole."""

import json
from pathlib import Path

import numpy as np
from mmengine.logging import print_log


class AnsweredTiles:
    """What was answered so far, in ``<out>.part``: a line of JSON for each tile, so that an interrupted map goes on.

    Args:
        out (str | Path): The map.
        key (str): Of everything that the answers depend on; those of another key are left aside.
        head (TaskHead): Reads the answers.
    """

    def __init__(self, out, key, head):
        self.path, self.head = Path(f'{out}.part'), head
        self._answers = self._read(key)
        if self._answers:
            print_log(f'{len(self._answers)} tiles were answered before ({self.path})', 'current')
        lines = [dict(key=key), *(dict(line, tile=tile) for tile, line in self._answers.items())]
        self.path.write_text(''.join(f'{json.dumps(line, ensure_ascii=False)}\n' for line in lines), encoding='utf-8')

    def __contains__(self, tile):
        return tile in self._answers

    def get(self, tile, size):
        """The answer about the tile of that number, of a (width, height) in pixels."""
        line = self._answers[tile]
        answer = self.head.decode(line['text'], size)
        answer.scores = None if line['scores'] is None else np.array(line['scores'])
        return answer

    def add(self, tile, answer):
        """Keep an answer."""
        scores = None if answer.scores is None else answer.scores.tolist()
        with self.path.open('a', encoding='utf-8') as file:
            file.write(json.dumps(dict(tile=tile, text=answer.text, scores=scores), ensure_ascii=False) + '\n')

    def remove(self):
        """The map is whole."""
        self.path.unlink()

    def _read(self, key):
        if not self.path.is_file():
            return {}
        first, *lines = self.path.read_text(encoding='utf-8').splitlines() or ['']
        if first != json.dumps(dict(key=key)):
            return {}
        answers = {}
        for line in lines:
            try:
                line = json.loads(line)
            except ValueError:  # what was being written when the map was interrupted
                break
            answers[line.pop('tile')] = line
        return answers
