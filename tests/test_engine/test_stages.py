import json
import os
import shutil
from pathlib import Path

import pytest

from rstoolbox.engine.config import load_config
from rstoolbox.engine.fingerprints import canonical
from rstoolbox.engine.stages import Stage
from rstoolbox.engine.train_stage import TrainStage
from rstoolbox.registry import STAGES
from rstoolbox.structures import read_record

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope='module')
def base(tmp_path_factory):
    """An experiment over a copy of the embedded data set with two images a class in each part."""
    return dict(data_root=str(tmp_path_factory.getbasetemp() / 'mini_of_stages'), images_per_class=8)


def _teacher(tmp_path, base, **options):
    cfg = load_config(ROOT / 'configs/sembridge/r18_ms2rgb.py', {**base, **options})
    return TrainStage(name='teacher', cfg=cfg, root=tmp_path, upstream={},
                      **{key: value for key, value in cfg.stages.teacher.items() if key != 'type'})


class Note(Stage):
    """A stage that writes a line; it counts how often."""

    runs = 0

    @property
    def artifact(self):
        return self.folder / 'note.txt'

    def settings_for_fingerprint(self):
        return dict(line='whole')

    def run(self, resume):
        Note.runs += 1
        self.artifact.write_text('whole')


@pytest.mark.parametrize('resume', [False, True])
def test_a_result_that_was_damaged_or_swapped_is_made_anew(tmp_path, resume):
    Note.runs = 0
    for number, text in enumerate(('whole', 'other'), 1):
        path = Note('note', {}, tmp_path, {}).ensure(resume)
        assert Note('note', {}, tmp_path, {}).ensure(resume) == path and Note.runs == number
        path.write_text(text[:3])
        assert not Note('note', {}, tmp_path, {}).finished
    assert Note('note', {}, tmp_path, {}).ensure(resume).read_text() == 'whole'


@pytest.mark.parametrize(('options', 'same'), [
    ({'num_workers': 0}, True),
    ({'default_hooks.logger.interval': 1}, True),
    ({'matching.start': 3}, True),  # the student's alone
    ({'teacher_epochs': 3}, False),
    ({'stage_seed': 1}, False),
    ({'ms_bands': ('B02', 'B03', 'B04')}, False),
])
def test_a_fingerprint_changes_with_what_the_result_depends_on(tmp_path, base, options, same):
    assert (_teacher(tmp_path, base).fingerprint == _teacher(tmp_path, base, **options).fingerprint) == same


def test_statistics_count_by_what_they_are_not_by_where_they_lie(tmp_path, base):
    text = (ROOT / 'configs/_base_/datasets/statistics/mini_s2s_ms.json').read_text()
    (tmp_path / 'copy.json').write_text(text)
    (tmp_path / 'other.json').write_text(text.replace('"mean": 0.', '"mean": 1.', 1))
    here, copy, other = (_teacher(tmp_path, base, **options).fingerprint for options in (
        {}, {'statistics.ms': str(tmp_path / 'copy.json')}, {'statistics.ms': str(tmp_path / 'other.json')}))
    assert here == copy != other


def test_a_copy_of_the_data_counts_as_the_data_themselves(tmp_path, base):
    first = _teacher(tmp_path, base).fingerprint
    shutil.copytree(base['data_root'], tmp_path / 'copy')
    for path in (tmp_path / 'copy').rglob('*.tif'):
        os.utime(path, ns=(1, 1))
    assert _teacher(tmp_path, dict(base, data_root=str(tmp_path / 'copy'))).fingerprint == first


def test_a_key_of_the_model_counts_whatever_it_is_called():
    dataset = dict(data_root='a', student=dict(split_file='a'), pipeline=[dict(filename='a')])
    loader = dict(num_workers=2, pin_memory=True, dataset=dataset)
    tree = dict(model=dict(filename='a', logger=1, data_root='a'), train_dataloader=loader,
                default_hooks=dict(logger=dict(interval=1), publish=dict(filename='a')))
    counted = canonical(tree, {})
    assert counted['model'] == tree['model']
    assert counted['train_dataloader'] == dict(dataset=dict(student={}, pipeline=[dict(filename='a')]))
    assert counted['default_hooks'] == dict(publish={})


def test_any_file_that_is_named_counts_by_what_it_holds(tmp_path):
    trees = []
    for folder, text in (('a', 'same'), ('b', 'same'), ('c', 'other')):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / 'weights.pth').write_text(text)
        (tmp_path / folder / 'gallery.json').write_text(text)
        trees.append(canonical([str(tmp_path / folder / 'weights.pth'), str(tmp_path / folder)], {}))
    assert trees[0] == trees[1] and not set(trees[0]) & set(trees[2])


def test_the_number_of_processes_counts(tmp_path, base, monkeypatch):
    first = _teacher(tmp_path, base).fingerprint
    monkeypatch.setattr('rstoolbox.engine.train_stage.get_world_size', lambda: 2)
    assert _teacher(tmp_path, base).fingerprint != first


@STAGES.register_module()
class CountingStage(TrainStage):
    """Counts its runs instead of training."""

    runs = 0

    def run(self, resume):
        CountingStage.runs += 1
        self.resumed = resume
        if getattr(self, 'fail', False):
            raise KeyboardInterrupt
        self.artifact.write_text('weights')


def _counting(tmp_path, base, resume_from=None, load_from=None, **options):
    cfg = load_config(ROOT / 'configs/sembridge/r18_ms2rgb.py', {**base, **options})
    return CountingStage(name='student', cfg=cfg, root=tmp_path, upstream={}, folder=tmp_path / 'student',
                         settings=dict(cfg.rows['none']), load_from=load_from, resume_from=resume_from)


def test_a_finished_stage_is_reused_and_an_interrupted_one_is_resumed_on_request(tmp_path, base):
    CountingStage.runs = 0
    stage = _counting(tmp_path, base)
    stage.fail = True
    with pytest.raises(KeyboardInterrupt):
        stage.ensure()
    assert json.loads((tmp_path / 'student/stage.json').read_text())['finished'] is False
    again = _counting(tmp_path, base)
    again.ensure(resume=True)
    assert again.resumed
    assert _counting(tmp_path, base).ensure() == tmp_path / 'student/best_student.pth'
    assert CountingStage.runs == 2


def test_a_run_of_other_settings_is_not_resumed(tmp_path, base):
    _counting(tmp_path, base, max_epochs=16).ensure()
    with pytest.raises(ValueError, match='other settings.*without --resume'):
        _counting(tmp_path, base, max_epochs=3).ensure(resume=True)
    with pytest.raises(ValueError, match='made for 16 epochs, and 20 are asked for: .*load_from=.*best_student.pth'):
        _counting(tmp_path, base, max_epochs=20).ensure(resume=True)
    other = _counting(tmp_path, base, max_epochs=3)
    other.ensure()
    assert not other.resumed


def test_other_settings_leave_the_finished_run_in_a_folder_of_its_own(tmp_path, base):
    artifact = _counting(tmp_path, base).ensure()
    artifact.write_text('first')
    (tmp_path / 'student/matches').mkdir()
    (tmp_path / 'student/matches/epoch_000.json').write_text('{}')
    _counting(tmp_path, base, max_epochs=3).ensure()
    aside, = (tmp_path / 'student').glob('replaced-*')
    assert (aside / 'best_student.pth').read_text() == 'first' and artifact.read_text() == 'weights'
    assert json.loads((aside / 'stage.json').read_text())['finished']
    assert (aside / 'matches/epoch_000.json').is_file() and not list(tmp_path.glob('student/matches/*'))


def test_a_checkpoint_that_is_named_stays_with_what_lies_beside_it(tmp_path, base):
    (tmp_path / 'student').mkdir()
    beside = [tmp_path / 'student' / name for name in ('epoch_2.pth', 'best_accuracy_epoch_1.pth')]
    for path in beside:
        path.write_text('old')
    _counting(tmp_path, base, resume_from=str(beside[0])).ensure(resume=True)
    assert [path.read_text() for path in beside] == ['old', 'old']
    assert not list(tmp_path.glob('student/replaced-*'))


def test_weights_to_start_with_count_by_what_they_hold_and_are_not_written_over(tmp_path, base):
    paths = [tmp_path / name for name in ('epoch_1.pth', 'copy.pth', 'other.pth')]
    for path, text in zip(paths, ('weights', 'weights', 'others'), strict=True):
        path.write_text(text)
    first, copy, other = (_counting(tmp_path, base, load_from=str(path)).fingerprint for path in paths)
    assert first == copy != other
    with pytest.raises(ValueError, match='would be written over. Choose another --work-dir'):
        TrainStage.check_load_from(paths[0], tmp_path)
    with pytest.raises(FileNotFoundError, match='nowhere.pth'):
        TrainStage.check_load_from(tmp_path / 'nowhere.pth', tmp_path)


@pytest.mark.parametrize('content', [b'{"finger', b'\xff\xfe', b'[]', b'{"finished": true}'])
def test_a_damaged_record_counts_as_none(tmp_path, content):
    (tmp_path / 'stage.json').write_bytes(content)
    assert read_record(tmp_path / 'stage.json', ('fingerprint', 'finished')) == {}
