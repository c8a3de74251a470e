"""Coordinates as text: published parses, the quantiser's tables, round trips, text that cannot be read."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rstoolbox.heads.grammar import (
    FLORENCE_COORDINATE,
    dequantize,
    format_boxes,
    format_polygons,
    format_quads,
    parse_boxes,
    parse_polygons,
    parse_quads,
    quantize,
    read_shapes,
)

# Where the published parser is not followed: what is read instead, and why.
BLANKS = 'blanks between numbers are allowed; the published parser drops what stands before the last of them'
OTHER_TAG = 'the numbers of another kind of shape are not this kind'
WRONG_COUNT = 'a tag names one shape, and with another count of numbers nobody can say which they are'
DIFFERENT = {
    ('box_spaces_between', 'boxes'): ([[10, 20, 300, 400]], BLANKS),
    ('poly_spaces', 'polygons'): ([[[1, 2, 3, 4, 5, 6]]], BLANKS),
    ('poly_newline', 'polygons'): ([[[1, 2, 3, 4, 5, 6]]], BLANKS),
    ('poly_unclosed', 'polygons'): ([[[10, 10, 20, 10, 20, 20]], [[30, 30, 40, 30, 40, 40]]],
                                    'an answer cut at the length limit still names whole points'),
    ('box_loc_tokens', 'boxes'): ([[10, 20, 30, 40]], 'the tokens of Florence-2 are read as well'),
    ('box_five_numbers', 'boxes'): ([], WRONG_COUNT),
    ('box_eight_numbers', 'boxes'): ([], WRONG_COUNT),
    ('box_eight_numbers', 'quads'): ([], OTHER_TAG),
    ('quad_one', 'boxes'): ([], OTHER_TAG),
    ('quad_two', 'boxes'): ([], OTHER_TAG),
    ('quad_seven_numbers', 'boxes'): ([], OTHER_TAG),
    ('quad_and_box', 'boxes'): ([[9, 10, 11, 12]], OTHER_TAG),
    ('poly_two_instances', 'quads'): ([], OTHER_TAG),
    **{(f'poly_{case}', 'boxes'): ([], OTHER_TAG) for case in (
        'triangle', 'two_instances', 'sep_rings', 'odd', 'odd_in_second_ring', 'unclosed', 'trailing_sep', '1000',
        'text_inside', 'newline')},
}

SIZES = st.tuples(st.integers(1, 5000), st.integers(1, 5000))
BINS = st.integers(0, 999)
RINGS = st.lists(st.tuples(BINS, BINS), min_size=3, max_size=6).map(lambda ring: [value for xy in ring for value in xy])
INSTANCES = st.lists(st.lists(RINGS, min_size=1, max_size=3), max_size=4)
GRAMMAR_SOUP = st.lists(st.sampled_from(
    ['<box>', '</box>', '<quad>', '</quad>', '<poly>', '</poly>', '<sep>', '<1>', '<999>', '<1000>', '<1001>', '<-3>',
     '<loc_7>', '<', '>', ' ', '\n', '</s>', 'ship', '<' + '9' * 5000 + '>', '<٣>', '<1.5>', '</po']),
    max_size=30).map(''.join)


@pytest.mark.parametrize('kind, parse', [('boxes', parse_boxes), ('quads', parse_quads), ('polygons', parse_polygons)])
def test_equals_the_published_parser_or_a_listed_difference(shared, kind, parse):
    cases = json.loads(shared('golden/falcon_grammar/parse_cases.json').read_text())
    for case in cases:
        published = case['as_released'][f'{kind}_bins']['value']
        if kind != 'polygons':
            published = [[int(value) for value in group] for group in published]
        expected, _ = DIFFERENT.get((case['id'], kind), (published, ''))
        assert parse(case['text']) == expected, case['id']
        assert (case['id'], kind) not in DIFFERENT or published != expected, f'{case["id"]} no longer differs'


def test_equals_the_published_quantiser_in_float64(shared):
    for table in json.loads(shared('golden/falcon_grammar/quantizer_tables.json').read_text()):
        size = table['size_wh']
        assert quantize(table['pixels'], size).tolist() == table['bins_f64']
        inside = np.minimum(table['pixels_from_bins_f64'], size)
        np.testing.assert_allclose(dequantize(table['bins'], size), inside, rtol=1e-12)


@pytest.mark.parametrize('coordinate', ['<{}>', FLORENCE_COORDINATE])
@given(boxes=st.lists(st.lists(BINS, min_size=4, max_size=4), max_size=4),
       quads=st.lists(st.lists(BINS, min_size=8, max_size=8), max_size=4), instances=INSTANCES)
def test_what_is_written_is_read(coordinate, boxes, quads, instances):
    assert read_shapes(format_boxes(boxes, coordinate), 'box') == (boxes, 0)
    assert read_shapes(format_quads(quads, coordinate), 'quad') == (quads, 0)
    assert read_shapes(format_polygons(instances, coordinate), 'poly') == (instances, 0)


@given(size=SIZES, data=st.data())
def test_a_pixel_returns_within_one_bin_and_a_bin_returns_itself(size, data):
    inside = st.tuples(*(st.floats(0, side) for side in size))
    pixels = np.array(data.draw(inside))
    assert (np.abs(dequantize(quantize(pixels, size), size) - pixels) <= np.divide(size, 1000)).all()
    bins = data.draw(st.lists(BINS, min_size=2, max_size=2))
    assert quantize(dequantize(bins, size), size).tolist() == bins


def test_what_lies_outside_is_clamped():
    assert quantize([[-5, 3], [900, 1e9]], (448, 448)).tolist() == [[0, 6], [999, 999]]
    assert dequantize([1000, 1000], (448, 300)).tolist() == [448, 300]


@given(text=st.one_of(st.text(), GRAMMAR_SOUP), tag=st.sampled_from(['box', 'quad', 'poly']))
def test_any_text_is_read_without_an_error(text, tag):
    shapes, failures = read_shapes(text, tag)
    numbers = np.array([value for shape in shapes for value in (sum(shape, []) if tag == 'poly' else shape)])
    assert failures >= 0 and (numbers >= 0).all() and (numbers <= 1000).all()


@pytest.mark.parametrize('text, tag, shapes, failures', [
    ('<box><1><2><3><4></box>', 'box', [[1, 2, 3, 4]], 0),
    ('<box><1><2><3></box><box><5><6><7><8></box>', 'box', [[5, 6, 7, 8]], 1),
    ('<box><1><2><3><1001></box>', 'box', [], 1),
    ('<box><1><2><3><' + '9' * 5000 + '></box>', 'box', [], 1),
    ('<box><1><2><3><4></quad>', 'box', [], 1),
    ('<box><1><2><box><3><4><5><6></box>', 'box', [[3, 4, 5, 6]], 1),
    ('<box>ship</box>', 'box', [], 1),
    ('<box><1><2><sep><3><4></box>', 'box', [], 1),
    ('<box><1><2><3><4></bo', 'box', [[1, 2, 3, 4]], 0),
    ('<box><1><2><3><4><5', 'box', [], 1),
    ('<1><2><3><4><5><6><7><8>', 'box', [[1, 2, 3, 4], [5, 6, 7, 8]], 0),
    ('<1><2><3><4> and <5><6><7>', 'box', [[1, 2, 3, 4]], 1),
    ('<1><2><3><4><5><6><7><8>', 'quad', [[1, 2, 3, 4, 5, 6, 7, 8]], 0),
    ('<poly><1><2><3><4><5><6><7', 'poly', [[[1, 2, 3, 4, 5, 6]]], 0),
    ('<poly></poly>', 'poly', [], 1),
    ('<1><2><3><4><5><6>', 'poly', [], 1),
])
def test_what_cannot_be_read_is_counted(text, tag, shapes, failures):
    assert read_shapes(text, tag) == (shapes, failures)


@pytest.mark.parametrize('values, size, message', [
    ([1, 2, 3], (10, 10), 'even number'),
    ([np.nan, 2], (10, 10), 'not a finite number'),
    (['a', 'b'], (10, 10), 'Coordinates are numbers'),
    ([1, 2], (10, 0), r'\(width, height\)'),
    ([1, 2], None, r'\(width, height\)'),
    ([1, 2], (10, 10, 3), r'\(width, height\)'),
])
def test_refuses_what_is_no_coordinate(values, size, message):
    with pytest.raises(ValueError, match=message):
        quantize(values, size)
