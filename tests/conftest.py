"""Fixtures that several rooms of the tests share."""

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[1].parent / 'shared'


@pytest.fixture
def shared():
    """A function: path below the folder ``shared`` beside the checkout -> full path; skips where it is absent."""

    def find(relative):
        path = SHARED / relative
        if not path.exists():
            pytest.skip(f'needs {relative} in a folder named "shared" beside the checkout')
        return path

    return find
