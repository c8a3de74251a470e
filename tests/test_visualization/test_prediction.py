import numpy as np
import pytest
from PIL import Image

from rstoolbox.visualization import draw_prediction

RIGHT, WRONG = (0, 90, 181), (200, 80, 0)


@pytest.mark.parametrize('prediction, present, absent', [('Forest', RIGHT, WRONG), ('River', WRONG, RIGHT)])
def test_a_picture_is_enlarged_and_its_caption_tells_right_from_wrong(tmp_path, prediction, present, absent):
    image = np.zeros((2, 4, 3))
    image[:, 2:] = 1, 0.5, 0
    draw_prediction(image, 'RGB', 'Forest', prediction, 0.9, tmp_path / 'new/a.png')
    drawn = np.asarray(Image.open(tmp_path / 'new/a.png'))
    height = drawn.shape[1] // 2
    np.testing.assert_array_equal(drawn[0, [0, -1]], [[0, 0, 0], [255, 128, 0]])
    colours = {tuple(map(int, pixel)) for pixel in drawn[height:].reshape(-1, 3)}
    assert present in colours and absent not in colours


def test_only_png_is_written(tmp_path):
    with pytest.raises(ValueError, match=r'should end in \.png'):
        draw_prediction(np.zeros((2, 2, 1)), ['B08'], 'a', 'a', 1., tmp_path / 'a.jpg')
    assert not list(tmp_path.iterdir())
