import json

import pytest

from rstoolbox.visualization import plot_curves
from rstoolbox.visualization.curves import read_scalars, train_curve, validation_curve


def _scalars(path, epochs, start=1, loss=2.):
    lines = []
    for epoch in range(start, start + epochs):
        lines += [dict(lr=.01, loss=loss / epoch + .1 * part, epoch=epoch, iter=2 * epoch + part, step=2 * epoch + part)
                  for part in range(2)]
        lines.append(dict(accuracy=50 + 5. * epoch, data_time=.1, step=epoch))
    path.write_text('\n'.join(map(json.dumps, lines)) + '\n')
    return path


def test_plots_several_runs(tmp_path, look):
    runs = {'no transfer': _scalars(tmp_path / 'a.json', 6), 'SemBridge': _scalars(tmp_path / 'b.json', 6, loss=1.)}
    out = plot_curves(runs, tmp_path / 'new' / 'curves.png')
    look(out)
    assert [path.name for path in out.parent.iterdir()] == ['curves.png']


def test_epochs_are_averaged_and_a_resumed_run_joined(tmp_path):
    first, second = _scalars(tmp_path / 'a.json', 3), _scalars(tmp_path / 'b.json', 2, start=3, loss=4.)
    records = read_scalars([first, second])
    assert validation_curve(records, 'accuracy') == [(1, 55.), (2, 60.), (3, 65.), (4, 70.)]
    curve = dict(train_curve(records, 'loss'))
    assert curve[1] == pytest.approx(2.05)
    assert curve[3] == pytest.approx(4 / 3 + .05), 'epoch 3 of the second run counts'


def test_half_a_last_line_is_forgiven_and_a_broken_one_is_named(tmp_path):
    file = _scalars(tmp_path / 'a.json', 2)
    whole = read_scalars(file)
    file.write_text(file.read_text() + '{"loss": 1.')
    assert read_scalars(file) == whole
    file.write_text('{"loss"\n' + file.read_text())
    with pytest.raises(ValueError, match='a.json, line 1 is no JSON'):
        read_scalars(file)


def test_an_unknown_scalar_lists_those_there(tmp_path):
    with pytest.raises(ValueError, match="'mIoU'; found: accuracy, data_time, epoch"):
        plot_curves({'a': _scalars(tmp_path / 'a.json', 2)}, tmp_path / 'x.png', val_key='mIoU')
    with pytest.raises(FileNotFoundError):
        plot_curves({'a': tmp_path / 'none.json'}, tmp_path / 'x.png')


def test_other_endings_are_refused(tmp_path):
    with pytest.raises(ValueError, match='should end in .png'):
        plot_curves({'a': _scalars(tmp_path / 'a.json', 2)}, tmp_path / 'x.jpg')
