"""The 14 heads through their public door: prompts, answers, round trips, what is refused."""

import string

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rstoolbox.heads import head_for
from rstoolbox.registry import HEADS, UnknownTypeError
from rstoolbox.structures import Answer

SIZE = (640, 480)
SLOTS = dict(category='harbor', question='Is there a road?', text='the ship on the left', bbox=[64, 48, 320, 240],
             quad=[64, 48, 320, 48, 320, 240, 64, 240], polygon=[[64, 48], [320, 48], [320, 240]])
PUBLISHED = dict(
    IMG_CLS='Classify the image.\nUse one or a few words.',
    IMG_VQA='Is there a road?',
    IMG_CT='Count the number of harbor.',
    IMG_CAP='Describe the image.',
    IMG_CAP_DETAILED='Describe the image in detail.',
    REG_CLS_HBB='Classify the region of <box><100><100><500><500></box>.\nUse one or a few words.',
    REG_CLS_OBB='Classify the region of <quad><100><100><500><100><500><500><100><500></quad>.\n'
                'Use one or a few words.',
    REG_DET_HBB='Detect all harbor in the image.\nUse horizontal bounding boxes.',
    REG_DET_OBB='Detect all harbor in the image.\nUse oriented bounding boxes.',
    REG_VG='Detect an area that matches the description.\nthe ship on the left\nUse horizontal bounding boxes.',
    REG_CAP='Describe the <box><100><100><500><500></box> in this image.',
    PIX_CLS='Classify the region of <poly><100><100><500><100><500><500></poly>.\nUse one or a few words.',
    PIX_SEG='Segment out harbor in the image.',
    PIX_CHG='Find changes in the two images.',
)
TAGS = list(PUBLISHED)
SHAPES = {'REG_DET_HBB': 'bboxes', 'REG_VG': 'bboxes', 'REG_DET_OBB': 'quads',
          'PIX_SEG': 'polygons', 'PIX_CHG': 'polygons'}

SIZES = st.tuples(st.integers(1, 3000), st.integers(1, 3000))
WORDS = st.text(string.ascii_letters + string.digits + '-é', min_size=1, max_size=8)
LABELS = st.lists(st.lists(WORDS, min_size=1, max_size=3).map(' '.join), min_size=1, max_size=4, unique=True)


def slots_of(head):
    return {name: SLOTS[name] for name in head.slots}


def points(draw, size, number):
    return np.array([[draw(st.floats(0, side)) for side in size] for _ in range(number)])


@st.composite
def annotations(draw, key):
    size, number = draw(SIZES), draw(st.integers(0, 3))
    if key == 'bboxes':
        corners = [points(draw, size, 2) for _ in range(number)]
        shapes = np.array([[*pair.min(0), *pair.max(0)] for pair in corners]).reshape(-1, 4)
    elif key == 'quads':
        shapes = np.array([points(draw, size, 4).ravel() for _ in range(number)]).reshape(-1, 8)
    else:
        shapes = [[points(draw, size, draw(st.integers(3, 5))) for _ in range(draw(st.integers(1, 2)))]
                  for _ in range(number)]
    return Answer(**{key: shapes}), size


def flat(answer, key):
    shapes = getattr(answer, key)
    return [ring for rings in shapes for ring in rings] if key == 'polygons' else list(shapes)


@pytest.mark.parametrize('tag', TAGS)
def test_prompts_are_the_published_ones(tag):
    head = head_for(tag)
    assert head.tag == tag
    assert head.prompt(image_size=SIZE, **slots_of(head)) == PUBLISHED[tag]


@pytest.mark.parametrize('tag', TAGS)
def test_paraphrases_keep_every_slot(tag):
    head = head_for(tag)
    worded = [head.prompt(image_size=SIZE, paraphrase=index, **slots_of(head)) for index in range(len(head.prompts))]
    assert len(set(worded)) == len(worded) >= 4
    values = [head.write_slot(name, value, SIZE) for name, value in slots_of(head).items()]
    assert all(value in text for text in worded for value in values)
    rng = np.random.default_rng(0)
    assert {head.prompt(image_size=SIZE, paraphrase=rng, **slots_of(head)) for _ in range(100)} == set(worded)


def test_the_14_tasks_are_registered_and_an_unknown_one_is_explained():
    assert set(TAGS) <= set(HEADS.known_names())
    with pytest.raises(UnknownTypeError, match="no task 'reg_det_obb', nearest is 'REG_DET_OBB'.*PIX_CHG"):
        head_for('reg_det_obb')
    for tag in (None, ''):
        with pytest.raises(UnknownTypeError, match='no task'):
            head_for(tag)


@pytest.mark.parametrize('tag, arguments, message', [
    ('REG_DET_OBB', {}, "needs 'category'"),
    ('REG_DET_OBB', dict(categroy='ship'), "no slot 'categroy', nearest is 'category'"),
    ('IMG_CAP', dict(category='ship'), 'It has: none'),
    ('IMG_CT', dict(category=' '), 'not empty'),
    ('IMG_CT', dict(category='ship', paraphrase=99), 'number from 0 to 4'),
    ('REG_CAP', dict(bbox=[1, 2, 3, 4]), "needs 'image_size'"),
    ('REG_CAP', dict(bbox=[1, 2, 3], image_size=SIZE), 'is 4 numbers'),
    ('REG_CAP', dict(bbox='ship', image_size=SIZE), 'must be numbers'),
    ('REG_CLS_OBB', dict(quad=[1, 2, 3, 4], image_size=SIZE), 'is 8 numbers'),
    ('PIX_CLS', dict(polygon=[[1, 2], [3, 4]], image_size=SIZE), 'three or more points'),
    ('PIX_CLS', dict(polygon=None, image_size=SIZE), 'three or more points'),
])
def test_refuses_a_wrong_slot(tag, arguments, message):
    with pytest.raises(ValueError, match=message):
        head_for(tag).prompt(**arguments)


def test_a_polygon_slot_takes_rings():
    rings = [SLOTS['polygon'], [[128, 96], [192, 96], [192, 144]]]
    for same in (rings, [np.ravel(ring).tolist() for ring in rings]):
        assert '<poly><100><100><500><100><500><500><sep><200><200><300><200><300><300></poly>' in (
            head_for('PIX_CLS').prompt(polygon=same, image_size=SIZE))


@pytest.mark.parametrize('coordinate', ['<{}>', '<loc_{}>'])
@pytest.mark.parametrize('tag', SHAPES)
@given(data=st.data())
def test_shapes_return_within_one_bin_and_canonical_text_returns_itself(tag, coordinate, data):
    head, key = head_for(tag, coordinate=coordinate), SHAPES[tag]
    annotation, size = data.draw(annotations(key))
    text = head.encode(annotation, size)
    answer = head.decode(f'</s><s>{text}</s><pad>', size)
    assert answer.failures == 0 and answer.text == text and len(flat(answer, key)) == len(flat(annotation, key))
    bin_size = np.max(size) / 1000 * (2 if tag == 'PIX_CHG' else 1)
    for read, written in zip(flat(answer, key), flat(annotation, key)):
        np.testing.assert_allclose(read, written, rtol=0, atol=bin_size)
        assert (read >= 0).all() and (read.reshape(-1, 2) <= size).all()
    assert head.encode(answer, size) == text


@pytest.mark.parametrize('tag', ['IMG_CLS', 'REG_CLS_HBB', 'REG_CLS_OBB', 'PIX_CLS'])
@given(labels=LABELS)
def test_labels_return(tag, labels):
    head = head_for(tag)
    text = head.encode(Answer(labels=labels), SIZE)
    assert text == ', '.join(labels) + '.'
    answer = head.decode(text, SIZE)
    assert answer.labels == labels and answer.failures == 0 and head.encode(answer, SIZE) == text


@given(words=st.lists(WORDS, min_size=1).map(' '.join))
def test_texts_return(words):
    vqa, caption = head_for('IMG_VQA'), head_for('IMG_CAP')
    assert vqa.encode(Answer(text=words), SIZE) == f'{words}.' == vqa.encode(Answer(text=f'{words}.'), SIZE)
    assert vqa.decode(f'{words}.', SIZE).text == words
    assert caption.decode(caption.encode(Answer(text=f'{words}.'), SIZE), SIZE).text == f'{words}.'


@given(count=st.one_of(st.integers(0, 999999999), st.integers(0, 10**6).map(lambda value: value / 8)))
def test_counts_return(count):
    head = head_for('IMG_CT')
    answer = head.decode(head.encode(Answer(count=count), SIZE), SIZE)
    assert answer.count == count and answer.failures == 0


@pytest.mark.parametrize('text, count, failures', [
    ('7.', 7, 0), ('7', 7, 0), ('0.', 0, 0), ('2.5.', 2.5, 0), ('The object does not exist.', 0, 0),
    ('seven.', None, 1), ('', None, 1), ('-3', None, 1), ('9' * 5000, None, 1), ('٣', None, 1), ('nan', None, 1),
])
def test_counts_as_read(text, count, failures):
    answer = head_for('IMG_CT').decode(text, SIZE)
    assert (answer.count, answer.failures) == (count, failures)


@pytest.mark.parametrize('tag', SHAPES)
def test_absence_is_an_answer_and_silence_a_failure(tag):
    head = head_for(tag)
    assert head.encode(Answer(), SIZE) == 'The object does not exist.'
    for text, failures in (('The object does not exist.', 0), ('</s><s>the object does not exist</s>', 0), ('', 1),
                           ('I see a ship.', 1)):
        answer = head.decode(text, SIZE)
        assert answer.failures == failures and not flat(answer, SHAPES[tag])


@pytest.mark.parametrize('tag', [tag for tag in TAGS if tag not in SHAPES])
def test_an_empty_text_is_a_failure(tag):
    assert head_for(tag).decode('</s><s></s>', SIZE).failures == 1


def test_shapes_are_in_pixels_of_the_image():
    box = head_for('REG_DET_HBB').decode('<box><500><500><100><1000></box>', SIZE).bboxes
    np.testing.assert_allclose(box, [[100.5 * .64, 500.5 * .48, 500.5 * .64, 480]])
    segmentation = head_for('PIX_SEG').decode('<poly><1><2><3><4><5><6><sep><7><8><9></poly><poly><1></poly>', SIZE)
    assert [len(rings) for rings in segmentation.polygons] == [1] and segmentation.failures == 2


def test_any_two_corners_are_written_as_one_box():
    boxes = [[320, 240, 64, 48], [64, 240, 320, 48], [64, 48, 320, 240]]
    assert head_for('REG_DET_HBB').encode(Answer(bboxes=boxes), SIZE) == 3 * '<box><100><100><500><500></box>'
    assert {head_for('REG_CAP').prompt(image_size=SIZE, bbox=box) for box in boxes} == {PUBLISHED['REG_CAP']}


def test_changes_of_both_frames_fold_into_one():
    answer = head_for('PIX_CHG').decode(
        '<poly><100><100><200><100><200><200></poly><poly><600><600><700><600><700><700></poly>'
        '<poly><600><100><700><100><700><200></poly><poly><400><400><600><400><600><600></poly>', SIZE)
    assert answer.failures == 2
    [[before], [after]] = answer.polygons
    np.testing.assert_allclose(before, after)
    np.testing.assert_allclose(before[0], [100.5 * 1.28, 100.5 * .96])


@given(tag=st.sampled_from(TAGS), text=st.text())
def test_any_text_is_decoded(tag, text):
    assert head_for(tag).decode(text, SIZE).failures >= 0


@pytest.mark.parametrize('tag, annotation, message', [
    ('IMG_CLS', dict(), 'list of class names'),
    ('IMG_CLS', dict(labels='ship'), 'list of class names'),
    ('IMG_CLS', dict(labels=['a, b']), "cannot write the label 'a, b'"),
    ('IMG_CT', dict(), 'count of the annotation is None'),
    ('IMG_CT', dict(count=-1), 'is -1'),
    ('IMG_CT', dict(count=float('inf')), 'is inf'),
    ('IMG_VQA', dict(text=' '), 'answers with a text'),
    ('REG_DET_HBB', dict(quads=np.ones((1, 8))), 'answers with bboxes, but the annotation has only quads'),
    ('REG_DET_HBB', dict(bboxes=np.ones((1, 5))), r'\(N, 4\), got \(1, 5\)'),
    ('REG_DET_OBB', dict(quads=np.full((1, 8), np.nan)), 'not a finite number'),
    ('PIX_SEG', dict(polygons=[[]]), 'instance 0 of the annotation has no ring'),
    ('PIX_SEG', dict(polygons=[[[[1, 2], [3, 4]]]]), 'ring 0 of instance 0 is three or more points'),
    ('PIX_CHG', dict(bboxes=np.ones((1, 4))), 'has only bboxes'),
])
def test_refuses_an_annotation_that_it_cannot_write(tag, annotation, message):
    with pytest.raises(ValueError, match=message):
        head_for(tag).encode(Answer(**annotation), SIZE)


def test_refuses_an_unknown_way_of_writing_coordinates():
    with pytest.raises(ValueError, match='<loc_'):
        head_for('REG_VG', coordinate='[{}]')


@pytest.mark.parametrize('tag', ['PIX_SEG', 'PIX_CHG'])
def test_what_lies_beyond_the_image_is_written_at_its_border(tag):
    head, ring = head_for(tag), np.array([[60., 40.], [97.5, 40.], [150., 200.], [60., -20.]])
    answer = head.decode(head.encode(Answer(polygons=[[ring]]), (96, 96)), (96, 96))
    assert answer.failures == 0
    np.testing.assert_allclose(answer.polygons[0][0], ring.clip(0, 96), atol=0.2)


@pytest.mark.parametrize('tag', ['IMG_CLS', 'REG_CLS_HBB'])
def test_a_class_that_is_named_again_is_named_once_and_none_is_no_class(tag):
    assert head_for(tag).decode('river, harbor, river.', (9, 9)).labels == ['river', 'harbor']
    none = head_for(tag).decode('The object does not exist.', (9, 9))
    assert none.labels == [] and none.failures == 0


def test_labels_hold_no_special_token():
    with pytest.raises(ValueError, match="cannot write the label 'a</s>'"):
        head_for('IMG_CLS').pattern(['a</s>', 'b'])


def test_a_whole_prompt_in_place_of_a_class_is_refused_with_the_class():
    with pytest.raises(ValueError, match="'Count the number of ship.' is a whole prompt; give 'ship'"):
        head_for('IMG_CT').prompt(category='Count the number of ship.')
