"""Pictures of answers: what is drawn lies where the answer says."""

import numpy as np
import pytest
from PIL import Image

from rstoolbox.structures import Answer
from rstoolbox.visualization.answer import draw_answer, outlines

GREY = np.full((64, 64, 3), 120, np.uint8)


def drawn(answer, tmp_path, images=(GREY,), **kwargs):
    return np.asarray(Image.open(draw_answer(list(images), answer, tmp_path / 'out.png', **kwargs))).astype(int)


def test_a_box_is_drawn_along_its_edges_only(tmp_path):
    picture = drawn(Answer(bboxes=np.array([[16., 16., 48., 48.]])), tmp_path)
    assert np.abs(picture[16 * 8, 200:300] - 120).max() > 60  # along the upper edge, eight times enlarged
    assert (picture[256, 200:300] == 120).all() and (picture[40, :512] == 120).all()


def test_polygons_are_filled_but_for_their_holes(tmp_path):
    rings = [np.array([[low, low], [high, low], [high, high], [low, high]]) for low, high in ((8., 56.), (24., 40.))]
    picture = drawn(Answer(polygons=[rings]), tmp_path)
    assert (picture[15 * 8, 15 * 8] != 120).any() and (picture[32 * 8, 32 * 8] == 120).all()


def test_quads_and_boxes_are_rings_too():
    answer = Answer(bboxes=np.array([[0., 0., 2., 1.]]), quads=np.arange(8.)[None])
    assert [rings[0].tolist() for rings in outlines(answer)] == [
        [[0, 0], [2, 0], [2, 1], [0, 1]], [[0, 1], [2, 3], [4, 5], [6, 7]]]


def test_a_pair_is_drawn_side_by_side_with_text_below(tmp_path):
    picture = drawn(Answer(text='The object does not exist.'), tmp_path, (GREY, GREY), prompt='Find changes.')
    assert picture.shape[1] == 2 * 512 + 8 and picture.shape[0] > 512
    assert (picture[520:] < 50).any()  # letters


def test_the_region_that_is_asked_about_is_marked(tmp_path):
    region = [np.array([[8., 8.], [56., 8.], [56., 56.], [8., 56.]])]
    picture = drawn(Answer(text='ship'), tmp_path, region=region)
    edge = picture[64, 80:440]
    assert (edge > 240).any() and (edge < 20).any()


def test_other_formats_are_refused(tmp_path):
    with pytest.raises(ValueError, match='PNG'):
        draw_answer([GREY], Answer(), tmp_path / 'out.jpg')
