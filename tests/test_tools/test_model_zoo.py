"""The model zoo says what the committed results say."""

import importlib.util
from pathlib import Path

import pytest
import yaml

from rstoolbox.engine.benchmark import markdown, write_csv

ROOT = Path(__file__).resolve().parents[2]
COMMITTED = sorted((ROOT / 'docs/benchmarks').glob('*.csv'))
spec = importlib.util.spec_from_file_location('model_zoo', ROOT / 'tools/analysis/model_zoo.py')
model_zoo = importlib.util.module_from_spec(spec)
spec.loader.exec_module(model_zoo)


def row(method, sembridge, seed, accuracy):
    return dict(dataset='EU', config='rstoolbox::sembridge/r18_eu.py', pair='r18_r18', method=method,
                sembridge=sembridge, seed=seed, accuracy=accuracy, precision=1., recall=2., f1=3.,
                seconds_per_epoch=5.)


ROWS = [row('none', 'no', 0, 60.), row('kd', 'yes', 0, 66.), row('none', 'no', 1, 61.), row('kd', 'yes', 1, 69.)]


@pytest.fixture
def checkout(tmp_path):
    """A checkout with the zoo and the metafile of this one, and results of a benchmark."""
    for name in ('docs/model_zoo.md', 'configs/sembridge/metafile.yml'):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text((ROOT / name).read_text())
    write_csv(ROWS, tmp_path / 'made.csv')
    return tmp_path


def _write(checkout, rows):
    write_csv(rows, checkout / 'made.csv')
    for path, text in model_zoo.updated(checkout / 'made.csv', checkout).items():
        path.write_text(text)


@pytest.mark.parametrize('path', COMMITTED, ids=lambda path: path.stem)
def test_committed_results_tables_and_entries_agree(path):
    for target, text in model_zoo.updated(path, ROOT).items():
        assert target.read_text() == text, f'{target} differs: run tools/analysis/model_zoo.py {path}'


def test_tables_and_entries_come_from_the_csv(checkout):
    zoo, metafile = checkout / 'docs/model_zoo.md', checkout / 'configs/sembridge/metafile.yml'
    before, models = zoo.read_text(), yaml.safe_load(metafile.read_text())['Models']
    _write(checkout, ROWS)
    assert zoo.read_text().startswith(before) and markdown(ROWS, level=3) in zoo.read_text()
    *old, new = yaml.safe_load(metafile.read_text())['Models']
    assert old == models
    assert (new['Name'], new['Config'], new['In Collection']) == ('r18_eu_r18_r18', 'configs/sembridge/r18_eu.py',
                                                                  'SemBridge')
    assert new['Results'][0]['Metrics'] == dict(Accuracy=67.5, Precision=1., Recall=2., F1=3.)
    assert new['Results'][0]['Dataset'] == 'EU (mean of 2 seeds)'


def test_new_results_replace_old_ones_and_nothing_else(checkout):
    _write(checkout, ROWS)
    zoo, metafile = checkout / 'docs/model_zoo.md', checkout / 'configs/sembridge/metafile.yml'
    zoo.write_text(f'{zoo.read_text()}\nafterword\n')
    once = zoo.read_text(), metafile.read_text()
    _write(checkout, ROWS)
    assert (zoo.read_text(), metafile.read_text()) == once
    _write(checkout, [*ROWS[:-1], dict(ROWS[-1], accuracy=70.)])
    assert zoo.read_text().endswith('\nafterword\n') and '69.00' not in zoo.read_text().partition('made -->')[2]
    assert yaml.safe_load(metafile.read_text())['Models'][-1]['Results'][0]['Metrics']['Accuracy'] == 68.


def test_a_difference_is_told(checkout, monkeypatch, capsys):
    monkeypatch.setattr('sys.argv', ['model_zoo.py', str(checkout / 'made.csv'), '--root', str(checkout), '--check'])
    with pytest.raises(SystemExit, match=r'Run tools/analysis/model_zoo.py'):
        model_zoo.main()
    assert 'model_zoo.md differs from' in capsys.readouterr().out
    monkeypatch.setattr('sys.argv', ['model_zoo.py', str(checkout / 'made.csv'), '--root', str(checkout)])
    model_zoo.main()
    assert markdown(ROWS, level=3) in (checkout / 'docs/model_zoo.md').read_text()


def test_an_empty_csv_and_a_name_that_is_taken_are_refused(checkout):
    with pytest.raises(ValueError, match='holds no run'):
        _write(checkout, [])
    metafile = checkout / 'configs/sembridge/metafile.yml'
    metafile.write_text(metafile.read_text().replace('Name: r18_eu\n', 'Name: r18_eu_r18_r18\n'))
    with pytest.raises(ValueError, match='two models called r18_eu_r18_r18'):
        _write(checkout, ROWS)


def test_two_data_sets_of_one_config_are_two_models(checkout):
    _write(checkout, [*ROWS, *(dict(row, dataset='Cropped') for row in ROWS)])
    *_, first, second = yaml.safe_load((checkout / 'configs/sembridge/metafile.yml').read_text())['Models']
    assert (first['Name'], second['Name']) == ('r18_eu_EU_r18_r18', 'r18_eu_Cropped_r18_r18')
    assert second['Results'][0]['Dataset'] == 'Cropped (mean of 2 seeds)'


def test_a_root_without_a_model_zoo_is_named(checkout):
    with pytest.raises(FileNotFoundError, match="There is no '.*nowhere/docs/model_zoo.md': the root is"):
        model_zoo.updated(checkout / 'made.csv', checkout / 'nowhere')


def test_a_family_without_a_metafile_is_named(checkout):
    with pytest.raises(FileNotFoundError, match="no '.*other/metafile.yml' for configs/other/r18.py, .*made.csv'"):
        _write(checkout, [dict(row, config='rstoolbox::other/r18.py') for row in ROWS])


@pytest.mark.parametrize('text, message', [
    ('', 'has no list of Collections with a Name each'),
    ('Collections:\n  - Name: SemBridge\n', 'has no list of Models with a Name each'),
    ('Collections:\n  - Paper: none\nModels: []\n', 'has no list of Collections with a Name each'),
    ('Collections: [', r"metafile.yml', as it is or .*, is no YAML: while parsing .* line 1, column"),
    ('Collections:\n  - Name: SemBridge\nModels: []\n', 'with the new entries at its end, is no YAML'),
    ('Models:\n  - Name: one\nCollections:\n  - Name: SemBridge\n', 'would not be among the Models. Let these be the')])
def test_a_metafile_that_is_none_is_named(checkout, text, message):
    (checkout / 'configs/sembridge/metafile.yml').write_text(text)
    with pytest.raises(ValueError, match=message):
        _write(checkout, ROWS)


def test_results_that_are_no_text_are_named(checkout):
    (checkout / 'made.csv').write_bytes('dataset,config'.encode('utf-16'))
    with pytest.raises(ValueError, match="made.csv' is no text in UTF-8"):
        model_zoo.updated(checkout / 'made.csv', checkout)
