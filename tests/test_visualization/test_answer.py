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


def test_parts_of_one_object_are_all_filled(tmp_path):
    rings = [np.array([[low, 8.], [low + 16, 8.], [low + 16, 24.], [low, 24.]]) for low in (8., 40.)]
    picture = drawn(Answer(polygons=[rings]), tmp_path)
    assert all((picture[16 * 8, column * 8] != 120).any() for column in (16, 48))
    assert (picture[16 * 8, 32 * 8] == 120).all()


def test_quads_and_boxes_are_rings_too():
    answer = Answer(bboxes=np.array([[0., 0., 2., 1.]]), quads=np.arange(8.)[None])
    assert [rings[0].tolist() for rings in outlines(answer)] == [
        [[0, 0], [2, 0], [2, 1], [0, 1]], [[0, 1], [2, 3], [4, 5], [6, 7]]]


def test_a_pair_is_drawn_side_by_side_with_text_below(tmp_path):
    picture = drawn(Answer(text='The object does not exist.'), tmp_path, (GREY, GREY), prompt='Find changes.')
    assert picture.shape[1] == 2 * 512 + 8 and picture.shape[0] > 512
    assert (picture[520:] < 50).any()  # letters


def test_text_ends_within_the_picture(tmp_path):
    prompt = f'Classify the region of <poly>{"<1000>" * 60}</poly>. ' + 'Use one or a few words. ' * 9
    picture = drawn(Answer(text='A ship lies ' * 90), tmp_path, prompt=prompt)
    assert (picture[520:, -5:] == 255).all() and (picture[520:] < 50).any()


def test_shapes_are_counted_below_and_not_spelt_out(tmp_path):
    answer = Answer(bboxes=np.tile([[4., 4., 9., 9.]], (40, 1)), text='<box><1><2><3><4></box>' * 40)
    assert len(drawn(answer, tmp_path)) == len(drawn(Answer(text='40 objects'), tmp_path))


def test_of_labels_that_cover_one_another_the_surest_is_written(tmp_path):
    first, second = (0, 114, 178), (230, 159, 0)  # of the palette
    boxes = np.tile([[40., 16., 63., 48.]], (2, 1))
    for scores, seen, hidden in (((0.3, 0.9), second, first), ((0.9, 0.3), first, second)):
        picture = drawn(Answer(bboxes=boxes, scores=np.array(scores)), tmp_path, category='ship')[:16 * 8 - 4, :512]
        assert (picture == seen).all(2).any() and not (picture == hidden).all(2).any()


def test_a_label_at_the_edge_stays_in_the_picture(tmp_path):
    picture = drawn(Answer(bboxes=np.array([[60., 0., 64., 9.]])), tmp_path, category='a ship')
    letters = (picture[:20, :512] == 255).all(2).any(0).nonzero()[0]
    assert letters.min() < 480  # moved to the left of its object


def test_lines_are_thicker_in_large_images(tmp_path):
    answer = Answer(bboxes=np.array([[100., 100., 400., 400.]]))
    small, large = (drawn(answer, tmp_path, [np.full((side, side, 3), 120, np.uint8)]) for side in (512, 4096))
    width = [(picture[250, 60:140] != 120).any(1).sum() for picture in (small, large)]
    assert width[1] >= 3 * width[0] > 0


def test_the_region_that_is_asked_about_is_marked(tmp_path):
    region = [np.array([[8., 8.], [56., 8.], [56., 56.], [8., 56.]])]
    picture = drawn(Answer(text='ship'), tmp_path, region=region)
    edge = picture[64, 80:440]
    assert (edge > 240).any() and (edge < 20).any()


def test_the_truth_is_drawn_beside_the_answer(tmp_path):
    answer, truth = Answer(bboxes=np.array([[8., 8., 24., 24.]])), Answer(bboxes=np.array([[32., 32., 56., 56.]]))
    picture = drawn(answer, tmp_path, truth=truth)
    green = (picture == (0, 200, 83)).all(2)
    rows, columns = green[:512].nonzero()
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == pytest.approx((256, 448, 256, 448), abs=3)
    assert not green[260:440, 260:440].any()
    assert (picture[520:] == (0, 126, 51)).all(2).any()  # what it says
    assert len(picture) > len(drawn(answer, tmp_path))


def test_an_answer_that_is_right_is_seen_under_the_truth(tmp_path):
    answer = Answer(bboxes=np.array([[8., 8., 24., 24.]]))
    picture = drawn(answer, tmp_path, truth=answer)
    blue, green = ((picture[:512] == shade).all(2).sum() for shade in ((0, 114, 178), (0, 200, 83)))
    assert blue > 400 < green


def test_of_endless_texts_some_lines_are_written(tmp_path):
    endless = '<poly>' + '<500>' * 1600 + '</poly>'
    picture = drawn(Answer(text=endless), tmp_path, prompt=endless, truth=Answer(text=endless))
    assert len(picture) < 2 * 512


def test_letters_beyond_ascii_are_drawn_as_they_are(tmp_path):
    pictures = [drawn(Answer(text=text), tmp_path)[512:].tobytes() for text in ('Größe', 'Gräße', 'αβγ', 'где')]
    assert len(set(pictures)) == 4


def test_other_formats_are_refused(tmp_path):
    with pytest.raises(ValueError, match='PNG'):
        draw_answer([GREY], Answer(), tmp_path / 'out.jpg')
