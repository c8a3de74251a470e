"""Pictures of a benchmark show every method."""

from rstoolbox.visualization.benchmark import plot_bars, plot_cost


def test_bars_and_points_are_drawn_where_a_method_lacks_its_partner(tmp_path, monkeypatch):
    figures = []
    monkeypatch.setattr('rstoolbox.visualization.benchmark.save_figure', lambda figure, out: figures.append(figure))
    plot_bars(dict(kd={False: (60., 1.), True: (63., 2.)}, dkd={True: (61., 0.)}), 58., tmp_path / 'a.png')
    plot_cost([('none', False, 2., (58., 1.)), ('kd', False, 3., (60., 1.)), ('kd', True, 4., (63., 2.))],
              tmp_path / 'b.png')
    bars, cost = (figure.axes[0] for figure in figures)
    assert sorted(bar.get_height() for bar in bars.patches) == [60., 61., 63.]
    assert bars.get_ylim()[0] == 53. and [text.get_text() for text in bars.get_xticklabels()] == ['kd', 'dkd']
    labels = [text.get_text() for text in cost.get_legend().get_texts()]
    assert labels == ['none', 'kd', 'kd + SemBridge']
    colours = [container.lines[0].get_color() for container in cost.containers]
    assert colours[1] == colours[2] != colours[0]
