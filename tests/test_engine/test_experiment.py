"""What an experiment finds before it trains, and stage results that are given to it."""

import shutil

import pytest
import torch

from rstoolbox.engine import ConfigError, Experiment, load_config, resolve
from rstoolbox.registry import MODELS, UnknownTypeError
from rstoolbox.structures import write_json

THIN = {f'{side}.{key}': value for side in ('teacher', 'student')
        for key, value in {'backbone.stem_channels': 8, 'backbone.base_channels': 8, 'head.in_channels': 64}.items()}


@pytest.fixture
def experiment(tmp_path, tmp_path_factory):
    """A function: options, and lines of a config -> an experiment over few images and thin networks."""

    def make(options=None, lines=''):
        path = tmp_path / 'config.py'
        path.write_text(f"_base_ = 'rstoolbox::sembridge/r18_ms2rgb.py'\n{lines}\n")
        data = dict(data_root=str(tmp_path_factory.getbasetemp() / 'mini_of_experiments'), images_per_class=8)
        return Experiment(load_config(path, {**data, **THIN, **(options or {})}), tmp_path / 'run')

    return make


@pytest.fixture
def weights(tmp_path, experiment):
    """Paths of weights of a teacher and a matcher."""
    cfg = resolve(experiment().cfg)
    paths = {}
    for name in ('teacher', 'matcher'):
        paths[name] = str(tmp_path / f'my_{name}.pth')
        torch.save(dict(state_dict=MODELS.build(cfg[name]).state_dict()), paths[name])
    return paths


def _given(paths):
    return {f'artifacts.{name}': str(path) for name, path in paths.items()}


def test_a_misspelt_runner_is_named_before_the_first_stage(experiment):
    with pytest.raises(UnknownTypeError, match=r"'ShardRunner' is not in the registry .*\n  Nearest names: Sharded"):
        experiment({'runner_type': 'ShardRunner'}).check()


def test_a_sound_experiment_passes_and_leaves_nothing(experiment, tmp_path):
    state = torch.get_rng_state()
    experiment().check()
    assert not (tmp_path / 'run').exists()
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(('options', 'message'), [
    ({'runner_type': 'ShardedRunner'}, 'an experiment of stages, .* cannot be sharded'),
    ({'num_classes.student': 7}, "row 'none': model: its head tells 7 classes apart, but the training data have 8"),
    ({'num_classes.teacher': 9}, "stage 'teacher': model: its head tells 9 classes apart"),
    ({'matching.start': -1}, "row 'sembridge': custom_hooks.0: A matching schedule needs start >= 0"),
    ({'rgb_data.val.classes': ('Forest', 'River')}, "row 'none': val_dataloader.dataset: .*only the training has An"),
    ({'rgb_data.test.split_file': 'no.json'}, "row 'none': test_dataloader.dataset: There is no split file at no.json"),
    ({'rgb_bands': ('R', 'G')}, "stage 'matcher': train_dataloader.dataset: .* expected .* 2 channels"),
    ({'ms_bands': ('B02', 'B99')}, "stage 'teacher': .*B99"),
    ({'statistics.ms': {'B02': dict(mean=1., std=1.)}}, "stage 'teacher': model: .*no band 'B03'"),
    ({'ms_data.gallery.classes': ('River', 'Forest')}, "stage 'match': .*only the student has AnnualCrop"),
    ({'teacher.backbone.depth': 17}, "stage 'teacher': model: .*depth 17"),
    ({'teacher.head.in_channels': 32}, "stage 'teacher': model: head.in_channels is 32, but ResNet gives 64 channels"),
    ({'val_dataloader.sampler.type': 'DefaultSamplr'}, "stage 'teacher': val_dataloader: .*DefaultSampl"),
    ({'test_dataloader.sampler.type': 'DefaultSamplr'}, "stage 'teacher': test_dataloader: .*DefaultSampl"),
    ({'learning_rate': 'fast'}, "stage 'teacher': optim_wrapper: "),
    ({'optim_wrapper.optimizer.type': 'AdamX'}, "stage 'teacher': optim_wrapper: .*AdamX"),
    ({'selection.metric': 'acuracy'}, "stage 'teacher': default_hooks.*measures no 'acuracy', nearest is 'accuracy'"),
    ({'param_scheduler.1.type': 'CosineAnealingLR'}, "stage 'teacher': param_scheduler.1: 'CosineAnealingLR' is not"),
    ({'model.losses.kd.loss_weight': 'abc'}, "row 'sembridge': model: loss_weight of KD is a finite number, got 'abc'"),
    ({'load_from': __file__}, "row 'sembridge': .*test_experiment.py' is damaged or not a checkpoint"),
    ({'student.head.in_channels': 32}, "row 'none': model: head.in_channels is 32, but ResNet gives 64 channels"),
])
def test_what_would_end_it_later_is_named_first(experiment, options, message):
    with pytest.raises(ConfigError, match=message):
        experiment(options).check()


@pytest.mark.parametrize(('lines', 'message'), [
    ("train_cfg = dict(type='EpochLop')", "stage 'teacher': train_cfg: 'EpochLop' is not in the registry"),
    ("rows = dict(kd={'evaluator': dict(type='SceneMetrc')})", "row 'kd': val_evaluator: 'SceneMetrc' is not in the"),
])
def test_a_part_of_a_run_that_does_not_exist_is_named_first(experiment, lines, message):
    with pytest.raises(ConfigError, match=message):
        experiment(lines=lines).check()


def test_a_loss_that_the_gallery_cannot_serve_is_named_before_the_teacher_trains(experiment, tmp_path):
    with pytest.raises(ConfigError, match="row 'sembridge': model: the gallery of the stages keeps .* needs feats"):
        experiment(lines="model = dict(losses=dict(fit=dict(type='FitNet')))").run()
    assert not (tmp_path / 'run').exists()


MAPS = """
model = dict(gallery=None, losses=dict(fit=dict(type='FitNet')))
train_dataset = dict(read_teacher=True)
"""


def test_a_loss_of_maps_trains_with_the_teacher_in_the_loop(experiment):
    experiment({'custom_hooks.0.gallery': '${artifacts.gallery}'}, MAPS).check()
    with pytest.raises(ConfigError, match="custom_hooks.0: .* needs the gallery .* the hook's own 'gallery'"):
        experiment(lines=MAPS).check()


def test_results_that_are_given_are_taken_and_count_by_what_they_hold(experiment, weights, tmp_path):
    folders = []
    shutil.copy(weights['teacher'], tmp_path / 'copy.pth')
    torch.save(dict(torch.load(weights['teacher']), meta={}), tmp_path / 'other.pth')
    for teacher in (weights['teacher'], tmp_path / 'copy.pth', tmp_path / 'other.pth'):
        run = experiment(_given(dict(weights, teacher=teacher)))
        run.check()
        run.prepare()
        assert set(run.stages) == {'gallery', 'match'}
        assert run.cfg.artifacts.teacher == str(teacher) and run.cfg.artifacts.matcher == weights['matcher']
        folders.append(run.stages['gallery'].folder)
    assert folders[0] == folders[1] != folders[2]
    given = dict(weights, gallery=run.cfg.artifacts.gallery, match=run.cfg.artifacts.match)
    run = experiment(lines=f'artifacts = dict({given})')
    run.check()
    run.prepare()
    assert not run.stages and run.cfg.artifacts.to_dict() == given
    with pytest.raises(ConfigError, match='artifacts.gallery: the gallery .* holds other samples'):
        experiment({**_given(given), 'ms_data.gallery.split': 'val'}).check()


def test_what_cannot_be_a_result_is_refused(experiment, weights, tmp_path):
    (tmp_path / 'text.pth').write_text('no weights')
    for paths, message in (
            (dict(teacher='no.pth'), "artifacts.teacher: There is no file 'no.pth'"),
            (dict(teacher=tmp_path), 'artifacts.teacher: .* is not a file'),
            (dict(teacher=tmp_path / 'text.pth'), 'artifacts.teacher: .*text.pth. is damaged or not a checkpoint'),
            (dict(teacher=weights['matcher']), "artifacts.teacher: .* is not a checkpoint of the config's teacher"),
            (dict(matcher=weights['teacher']), "artifacts.matcher: .* is not a checkpoint of the config's matcher"),
            (dict(gallery=weights['teacher']), 'artifacts.gallery: .* is not a folder'),
            (dict(gallery=tmp_path), 'artifacts.gallery: There is no gallery'),
            (dict(match=tmp_path / 'text.pth'), 'artifacts.match: .* is not a match table')):
        with pytest.raises(ConfigError, match=message):
            experiment(_given(paths)).check()


def test_a_class_folder_without_images_is_named(experiment, tmp_path):
    run = experiment()
    run.check()
    shutil.copytree(run.cfg.data_root, tmp_path / 'data')
    for path in (tmp_path / 'data/RGB/River').iterdir():
        path.unlink()
    lines = ('rgb_data = dict(val=dict(_delete_=True, type="SceneDataset", data_prefix="RGB", '
             f'data_root="{tmp_path}/data", pipeline="${{plain_pipeline}}"))')
    with pytest.raises(ConfigError, match="row 'none': val_dataloader.dataset: Class folder '.*RGB/River' holds no"):
        experiment(lines=lines).check()


def test_what_cannot_be_resumed_is_refused_before_any_stage_trains(experiment, weights, tmp_path):
    for path, message in ((weights['teacher'], 'holds weights alone'), (__file__, 'damaged or not a checkpoint')):
        with pytest.raises(ConfigError, match=f"row 'sembridge': .*{message}"):
            Experiment(experiment().cfg, tmp_path / 'run', resume=True, load_from=path).run()
    write_json(dict(fingerprint='another', finished=True), tmp_path / 'run/kd/stage.json')
    with pytest.raises(ValueError, match='run/kd holds a run of kd with other settings, so it cannot be resumed'):
        Experiment(experiment().cfg, tmp_path / 'run', resume=True).run()
    assert not (tmp_path / 'run/stages').exists()


def test_images_that_cannot_be_read_are_all_named_before_anything_trains(experiment, tmp_path):
    run = experiment()
    run.check()
    shutil.copytree(run.cfg.data_root, tmp_path / 'data')
    for path in (tmp_path / 'data/MS/River').iterdir():
        path.write_bytes(path.read_bytes()[:2000])
    options = {'data_root': str(tmp_path / 'data')}
    message = r"stage 'teacher': train_dataloader.dataset: \d images cannot be read:\n  .*River/"
    with pytest.raises(ConfigError, match=message):
        experiment(options).check()
    assert not (tmp_path / 'run').exists()


def test_a_given_teacher_that_cannot_be_tested_is_named_first(experiment, weights):
    options = {**_given(weights), 'ms_data.test.split_file': 'no.json'}
    with pytest.raises(ConfigError, match='artifacts.teacher: test_dataloader.dataset: There is no split file at no.j'):
        experiment(options).check()
