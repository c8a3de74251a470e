"""What tests of several converters read."""

import pytest
from PIL import Image


@pytest.fixture
def image(tmp_path):
    (tmp_path / 'images').mkdir()
    Image.new('RGB', (80, 60)).save(tmp_path / 'images/a.png')
    return tmp_path / 'images'
