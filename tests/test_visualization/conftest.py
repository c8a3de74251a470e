import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def look():
    """Opens a picture and checks that something is drawn on it."""
    def open_picture(path):
        with Image.open(path) as image:
            assert image.format == 'PNG'
            pixels = np.asarray(image.convert('RGB'))
        assert pixels.std() > 5 and min(pixels.shape[:2]) > 300
        return pixels
    return open_picture
