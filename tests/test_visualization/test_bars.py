import pytest

from rstoolbox.visualization import plot_bars


def test_higher_bars_are_more_paint(tmp_path, look):
    pictures = [look(plot_bars({'cost': {'near': ([1, height], [.1, .1])}}, ['Forest', 'River'],
                               tmp_path / f'{height}.png', title='Cost')) for height in (1, 0)]
    painted = [(picture.astype(int)[..., 2] - picture[..., 0] > 100).sum() for picture in pictures]
    assert painted[0] > 1.5 * painted[1]


def test_a_series_of_another_length_is_named(tmp_path):
    with pytest.raises(ValueError, match="'cost': the series 'near' needs a mean and a deviation for each of the 2"):
        plot_bars({'cost': {'near': ([1, 2, 3], [0, 0, 0])}}, ['Forest', 'River'], tmp_path / 'x.png')
