"""Answers about the tiles of a scene so far."""

import json

import numpy as np


class AnsweredTiles:
    """A line of JSON for each answered tile in a file.

    Args:
        part (PartFile, optional): The file; without one nothing is kept.
        head (TaskHead): Reads the answers.
    """

    def __init__(self, part, head):
        self._part, self.head, self._answers, sound = part, head, {}, 0
        for line in part.read().split(b'\n')[:-1] if part else ():
            try:
                content = json.loads(line)
                self._answers[content['tile']] = content['text'], content['scores']
            except (ValueError, KeyError, TypeError):
                break
            sound += len(line) + 1
        if part:
            part.truncate(sound)  # what was being written when the map was interrupted is no answer

    def __contains__(self, tile):
        return tile in self._answers

    def __len__(self):
        return len(self._answers)

    def get(self, tile, size):
        """The answer about the tile of that number, of a (width, height) in pixels."""
        text, scores = self._answers[tile]
        answer = self.head.decode(text, size)
        answer.scores = None if scores is None else np.array(scores)
        return answer

    def add(self, tile, answer):
        """Keep an answer."""
        if not self._part:
            return
        scores = None if answer.scores is None else answer.scores.tolist()
        self._part.append(json.dumps(dict(tile=tile, text=answer.text, scores=scores)).encode() + b'\n')
