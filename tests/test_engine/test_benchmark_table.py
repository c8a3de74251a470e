"""Means, paired differences with their intervals, and the CSV file."""

import math

import pytest
from scipy import stats

from rstoolbox.engine.benchmark import markdown, read_csv, report, summarise, write_csv
from rstoolbox.engine.benchmark.report import draw, write_rows
from rstoolbox.engine.benchmark.table import paired_difference


def row(method, sembridge, seed, accuracy, dataset='EU', **values):
    return dict(dataset=dataset, config='rstoolbox::sembridge/r18_eu.py', pair='r18_r18', method=method,
                sembridge='yes' if sembridge else 'no', seed=seed, config_hash='c', split_hash='s', accuracy=accuracy,
                precision=1., recall=2., f1=3., val_accuracy=4., seconds_per_epoch=5., extra_parameters=6.,
                peak_memory_mib=7., **values)


ROWS = [row('none', False, 0, 60.), row('kd', True, 0, 66.), row('kd', False, 0, 61.), row('none', False, 1, 70.),
        row('kd', True, 1, 72.), row('kd', False, 1, 69.), row('kd', False, 2, 10.)]


def test_the_interval_is_that_of_a_paired_t_test():
    values, others = dict(enumerate((61.2, 64., 59.5, 66.1))), dict(enumerate((60., 61.7, 59.9, 63.)))
    centre, half = paired_difference(values, others)
    interval = stats.ttest_rel(list(values.values()), list(others.values())).confidence_interval(0.95)
    assert (centre - half, centre + half) == pytest.approx(tuple(interval))


def test_differences_are_over_seeds_that_both_have():
    none, plain, bridged = summarise(ROWS)['EU', 'r18_r18']
    assert [entry['sembridge'] for entry in (none, plain, bridged)] == [False, False, True]
    assert none['to_none'] is None and plain['to_plain'] is None
    assert plain['seeds'] == [0, 1, 2] and plain['to_none'][0] == pytest.approx(0.)  # +1 and -1; seed 2 is alone
    centre, half = bridged['to_plain']  # +5 and +3
    assert centre == pytest.approx(4.) and half == pytest.approx(stats.t.ppf(.975, 1) * math.sqrt(2) / math.sqrt(2))
    assert paired_difference({0: 3.}, {0: 1.}) == (2., None) and paired_difference({0: 3.}, {1: 1.}) is None


def test_the_table_says_the_same():
    lines = markdown(ROWS).splitlines()
    assert lines[0] == '## EU, r18_r18'
    assert '| no transfer | 2 | 65.00 ± 7.07 | 1.00 ± 0.00 | 2.00 ± 0.00 | 3.00 ± 0.00 |  |  | 5.0 |' in lines
    [bridged] = [line for line in lines if line.startswith('| kd + SemBridge')]
    # to no transfer +6 and +2, to plain KD +5 and +3; t of one degree of freedom is 12.706
    assert '| +4.00 [-21.41, +29.41] | +4.00 [-8.71, +16.71] |' in bridged
    assert '+6.00 (one seed)' in markdown(ROWS[:2])


def test_a_csv_gives_back_its_rows(tmp_path):
    write_csv(ROWS, tmp_path / 'a.csv')
    assert read_csv(tmp_path / 'a.csv') == ROWS
    write_csv([dict(ROWS[0], val_accuracy=None)], tmp_path / 'a.csv')
    assert read_csv(tmp_path / 'a.csv')[0]['val_accuracy'] is None


def test_tables_and_pictures_are_written(tmp_path):
    write_rows(ROWS, tmp_path)
    draw(ROWS, tmp_path)
    assert read_csv(tmp_path / 'results.csv') == ROWS
    assert (tmp_path / 'table.md').read_text() == markdown(ROWS)
    for name in ('bars_EU_r18_r18', 'cost_EU_r18_r18'):
        assert (tmp_path / f'{name}.png').stat().st_size > 5000, name


def test_tables_and_pictures_call_methods_alike(tmp_path, monkeypatch):
    drawn = {}
    monkeypatch.setattr(report, 'plot_cost', lambda points, *rest: drawn.update(cost=points))
    monkeypatch.setattr(report, 'plot_bars', lambda *arguments: drawn.update(bars=arguments[:2]))
    draw(ROWS, tmp_path)
    assert [point[:2] for point in drawn['cost']] == [('no transfer', False), ('kd', False), ('kd', True)]
    methods, baseline = drawn['bars']
    assert list(methods) == ['kd'] and methods['kd'][True][0] == 69. and baseline == 65.
    for name in ('no transfer', 'kd', 'kd + SemBridge'):
        assert f'| {name} | ' in markdown(ROWS)


def test_what_an_evaluator_did_not_measure_stays_empty(tmp_path):
    rows = [dict(row(method, False, 0, None), precision=None) for method in ('none', 'kd')]
    write_rows(rows, tmp_path)
    draw(rows, tmp_path)
    assert '| kd | 1 |  |  | 2.00 | 3.00 |  |  | 5.0 |' in (tmp_path / 'table.md').read_text()
    assert {path.name for path in tmp_path.glob('*.png')} == {'bars_EU_r18_r18.png', 'cost_EU_r18_r18.png'}
    # One seed of a method without a value leaves the others.
    rows = [row('none', False, 0, 60.), row('kd', False, 0, 61.), row('kd', False, 1, None)]
    [_, plain] = summarise(rows)['EU', 'r18_r18']
    assert plain['to_none'] == (1., None) and plain['accuracy'] == {0: 61.}


def test_a_csv_that_a_spreadsheet_saved_gives_back_its_rows(tmp_path):
    path = tmp_path / 'a.csv'
    write_csv(ROWS, path)
    lines = [f'{line},{note}' for line, note in zip(path.read_text().splitlines(), ['note', *'abcdefg'])]
    path.write_text('\ufeff' + '\r\n'.join(lines) + '\r\n', encoding='utf-8')
    assert read_csv(path) == ROWS


@pytest.mark.parametrize('change, message', [
    (lambda text: text.replace('accuracy,', 'acuracy,', 1), 'no column accuracy'),
    (lambda text: text.replace(',', ';'), 'no column dataset.* among those that commas separate'),
    (lambda text: text.replace(',60.0,', ',sixty,'), "line 2: accuracy = 'sixty', expected a number"),
    (lambda text: text.replace(',60.0,', ',nan,'), "line 2: accuracy = 'nan', expected a number"),
    (lambda text: text.replace('none,no,0,', 'none,no,0.5,'), "line 2: seed = '0.5', expected a whole number"),
    (lambda text: text.replace('kd,yes,1,', 'kd,TRUE,1,'), "line 6: sembridge = 'TRUE', expected yes or no"),
    (lambda text: text[:text.rindex(',6.0,7.0')], 'line 8 ends before extra_parameters.*--report-only writes'),
    (lambda text: text + text.splitlines()[1] + '\n', 'line 9: the run EU/r18_r18/none/no/0 stands there twice')])
def test_a_damaged_csv_is_refused_with_its_line(tmp_path, change, message):
    path = tmp_path / 'a.csv'
    write_csv(ROWS, path)
    path.write_text(change(path.read_text()))
    with pytest.raises(ValueError, match=message):
        read_csv(path)


def test_no_csv_at_all(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'tools/benchmark.py writes'):
        read_csv(tmp_path / 'a.csv')
