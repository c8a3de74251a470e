import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from rstoolbox.visualization import MatchedPair, false_colour, plot_matched_pairs, stretch

BANDS = ('B02', 'B03', 'B04', 'B08')


def _pair(rng, name, same=False):
    first, last = f'MS/{name}/{name}_1.tif', f'MS/{name}/{name}_{1 if same else 2}.tif'
    return MatchedPair(name, f'RGB/{name}/{name}_9.jpg', rng.random((16, 16, 3)), first, rng.random((16, 16, 4)), last,
                       rng.random((16, 16, 4)), BANDS, .912, .034)


def test_plots_a_sheet(tmp_path, look):
    rng = np.random.default_rng(0)
    look(plot_matched_pairs([_pair(rng, 'Forest'), _pair(rng, 'River', same=True)], tmp_path / 'pairs.png'))


def test_no_pairs_is_an_error(tmp_path):
    with pytest.raises(ValueError, match='no matched pairs'):
        plot_matched_pairs([], tmp_path / 'x.png')


def test_false_colour_goes_by_name():
    image = np.stack([np.linspace(0, scale, 64).reshape(8, 8)[::sign] for scale, sign in
                      ((1, 1), (2, 1), (3, -1), (4, 1))], -1)
    shown = false_colour(image, BANDS)
    assert np.allclose(shown[..., 0], stretch(image[..., 3:])[..., 0])
    assert np.allclose(shown[..., 1], stretch(image[..., 2:3])[..., 0])


def test_an_unknown_band_names_the_nearest():
    with pytest.raises(ValueError, match="'B8A' to show.*nearest is 'B08'"):
        false_colour(np.zeros((4, 4, 4)), BANDS, ('B8A', 'B04', 'B03'))
    with pytest.raises(ValueError, match=r'expected \(H, W, 4\)'):
        false_colour(np.zeros((4, 4, 3)), BANDS)


@settings(max_examples=50, deadline=None)
@given(arrays(np.float32, (5, 6, 3), elements=st.floats(-1e3, 1e3, width=32) | st.just(np.nan)))
def test_stretch_stays_in_range(image):
    shown = stretch(image)
    assert np.isfinite(shown).all() and shown.min() >= 0 and shown.max() <= 1


def test_stretch_ignores_the_unit_and_even_channels_are_grey():
    image = np.random.default_rng(0).random((8, 8, 3))
    assert np.allclose(stretch(image), stretch(image * 10000 + 7))
    assert (stretch(np.full((4, 4, 3), .2)) == .5).all()
