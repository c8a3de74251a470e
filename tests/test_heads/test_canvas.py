"""The canvas of two images, its inverse, and polygons that move between canvas and frame."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rstoolbox.heads import compose_canvas, fold_to_frame, place_on_canvas, split_canvas


@given(height=st.integers(1, 9), width=st.integers(1, 9), channels=st.sampled_from([(), (1,), (3,)]),
       seed=st.integers(0, 99))
def test_the_inverse_is_exact_and_the_rest_is_black(height, width, channels, seed):
    pair = np.random.default_rng(seed).integers(1, 256, (2, height, width, *channels), np.uint8)
    canvas = compose_canvas(*pair)
    assert canvas.shape == (2 * height, 2 * width, *channels) and canvas.dtype == np.uint8
    assert np.array_equal(split_canvas(canvas), pair)
    assert not canvas[:height, width:].any() and not canvas[height:, :width].any()


def test_refuses_images_of_two_sizes_and_names_both():
    with pytest.raises(ValueError, match='before is 30 x 20 .* after is 40 x 20'):
        compose_canvas(np.zeros((20, 30, 3)), np.zeros((20, 40, 3)))
    with pytest.raises(ValueError, match='even sides, got 3 x 4'):
        split_canvas(np.zeros((4, 3)))


@pytest.mark.parametrize('frame', ['before', 'after'])
@given(points=st.lists(st.tuples(st.floats(0, 30), st.floats(0, 20)), min_size=2, max_size=6))
def test_a_polygon_returns_from_the_canvas(frame, points):
    ring = np.array([(15, 10), *points])  # a speck on the common corner could be of either frame
    [[folded]], failures = fold_to_frame(place_on_canvas([[ring]], (30, 20), frame), (30, 20))
    np.testing.assert_allclose(folded, ring, atol=1e-12)
    assert failures == 0


@pytest.mark.parametrize('ring', [
    [[40, 5], [50, 5], [50, 10]],  # upper right, black
    [[5, 30], [10, 30], [10, 35]],  # lower left, black
    [[25, 15], [35, 15], [35, 25]],  # across all four
])
def test_a_polygon_outside_both_frames_is_a_failure(ring):
    assert fold_to_frame([[np.array(ring)]], (30, 20)) == ([], 1)


def test_rings_of_one_instance_share_a_frame():
    before, after = np.array([[1., 1], [5, 1], [5, 5]]), np.array([[31., 21], [35, 21], [35, 25]])
    assert fold_to_frame([[before, after]], (30, 20)) == ([], 1)
    folded, failures = fold_to_frame([[before], [after]], (30, 20))
    assert failures == 0 and np.array_equal(folded[0], folded[1])
