import pytest
from mmengine.config import Config

from rstoolbox.engine.config import (
    ConfigError,
    check_types,
    find_config,
    load_config,
    resolve,
    runner_config,
    set_option,
)

BASE = """
data_root = 'data/here'
data = dict(train=dict(type='mmpretrain.CustomDataset', data_root='${data_root}'))
train_dataloader = dict(batch_size=4, dataset='${data.train}', steps=[dict(prob=0.5)])
model = dict(type='mmpretrain.LinearClsHead', num_classes=3, in_channels=8)
"""


@pytest.fixture
def base(tmp_path):
    path = tmp_path / 'base.py'
    path.write_text(BASE)
    return path


def test_an_override_reaches_every_reference_to_it(base):
    cfg = resolve(load_config(base, {'data_root': 'elsewhere'}))
    assert cfg.train_dataloader.dataset.data_root == 'elsewhere'
    assert cfg.data.train.data_root == 'elsewhere'


def test_an_override_through_a_reference_changes_what_it_refers_to(base):
    cfg = resolve(load_config(base, {'train_dataloader.dataset.data_root': 'mine'}))
    assert cfg.train_dataloader.dataset.data_root == cfg.data.train.data_root == cfg.data_root == 'mine'


def test_a_run_of_the_experiment_keeps_its_own_settings_after_an_override():
    cfg = load_config('rstoolbox::sembridge/r18_ms2rgb.py', {
        'train_cfg.max_epochs': 7, 'model.student.backbone.depth': 34, 'model.losses.kd.tau': 5.,
        'train_dataloader.dataset.seed': 3})
    teacher = runner_config(cfg, cfg.stages.teacher.settings)
    assert teacher.train_cfg.max_epochs == cfg.teacher_epochs
    assert teacher.train_dataloader.dataset.modality == 'ms'
    none, kd = (runner_config(cfg, cfg.rows[row]) for row in ('none', 'kd'))
    assert none.train_cfg.max_epochs == kd.train_cfg.max_epochs == 7
    assert none.model.backbone.depth == kd.model.student.backbone.depth == 34
    assert kd.model.losses.kd.tau == 5.


def test_a_part_of_an_argument_that_nothing_sets_yet_is_told_from_an_unknown_one():
    with pytest.raises(ConfigError, match="part of 'model.taps', which nothing sets yet. Set that whole"):
        load_config('rstoolbox::sembridge/r18_ms2rgb.py', {'model.taps.student.embedding': 'backbone.layer4'})


@pytest.mark.parametrize(('path', 'value'), [
    ('custom_hooks.0.shortlist', None), ('train_dataset.match_table', 'mine.json'), ('model.gallery', 'mine'),
    ('model.teacher_checkpoint', 'mine.pth'), ('model.start', None)])
def test_an_override_takes_the_place_of_a_stage_result(path, value):
    cfg = load_config('rstoolbox::sembridge/r18_ms2rgb.py', {path: value})
    for stage in cfg.artifacts:  # as the stages do when they end
        cfg.artifacts[stage] = f'result of {stage}'
    node = resolve(cfg)
    for key in path.split('.'):
        node = node[int(key) if key.isdigit() else key]
    assert node == value


def test_a_child_inherits_and_overrides(base, tmp_path):
    child = tmp_path / 'child.py'
    child.write_text("_base_ = './base.py'\ndata_root = 'child'\n")
    assert resolve(load_config(child)).train_dataloader.dataset.data_root == 'child'


@pytest.mark.parametrize(('line', 'key', 'near'), [
    ('batchsize = 3', 'batchsize', 'batch_size'), ('matching = dict(strat=0)', 'matching.strat', 'matching.start'),
    ("artifcats = dict(teacher='my.pth')", 'artifcats', 'artifacts'),
    ("artifacts = dict(techer='my.pth')", 'artifacts.techer', 'artifacts.teacher'),
    ('num_classes = dict(studnet=3)', 'num_classes.studnet', 'num_classes.student')])
def test_a_typing_error_in_a_file_is_an_error_with_the_nearest(tmp_path, line, key, near):
    child = tmp_path / 'child.py'
    child.write_text(f"_base_ = 'rstoolbox::sembridge/r18_ms2rgb.py'\n{line}\n")
    with pytest.raises(ConfigError, match=f"child.py sets '{key}', which nothing reads.*Did you mean '{near}'"):
        load_config(child)


def test_a_file_may_add_what_something_reads(tmp_path):
    child = tmp_path / 'child.py'
    child.write_text("""_base_ = 'rstoolbox::sembridge/r18_ms2rgb.py'
width = 8  # read by Python
teacher = dict(backbone=dict(base_channels=width))
short = dict(epochs=2)
rgb_data = dict(few='${rgb_data.train}')
stages = dict(mine=dict(type='TrainStage', settings={}))
artifacts = dict(mine=None)
rows = dict(few={'max_epochs': '${short.epochs}', 'train_dataset.student': '${rgb_data.few}'})
randomness = dict(diff_rank_seed=True)
matching = dict(start=2)
find_unused_parameters = True
""")
    cfg = load_config(child, {'custom_hooks': []})
    assert runner_config(cfg, cfg.rows.few).train_cfg.max_epochs == 2


@pytest.mark.parametrize('key, value', [
    ('data.train.data_root', 'data/here'), ('train_dataloader.dataset', dict(type='A', data_root='data/here')),
    ('heir', dict(type='A', data_root='mine', seed=3)), ('heir.type', 'A'), ('heirs.first.data_root', 'mine')])
def test_a_part_is_resolved_alone(tmp_path, key, value):
    path = tmp_path / 'config.py'
    path.write_text("""
data_root = 'data/here'
data = dict(train=dict(type='A', data_root='${data_root}'))
train_dataloader = dict(dataset='${data.train}', broken='${nothing}')
heir = dict(_inherit_='${data.train}', data_root='mine', seed=3)
heirs = dict(first='${heir}', broken='${num_classes_of:data.nothing}')
""")
    cfg = load_config(path)
    assert resolve(cfg, key) == value
    with pytest.raises(ConfigError, match="config.py has no 'data.trian': there is no 'trian' among train"):
        resolve(cfg, 'data.trian')
    with pytest.raises(ConfigError, match="Interpolation key 'nothing' not found"):
        resolve(cfg, 'train_dataloader')


@pytest.mark.parametrize('path, near', [
    ('data_rot', "'data_root'"),
    ('train_dataloader.batchsize', "'train_dataloader.batch_size'"),
    ('train_dataloader.dataset.data_prefx', "'data.train.data_prefix'"),
    ('train_dataloader.steps.3.prob', 'train_dataloader.steps.0'),
    ('model.num_classes.deeper', 'has no keys'),
])
def test_an_unknown_path_is_an_error_with_the_nearest(base, path, near):
    with pytest.raises(ConfigError) as error:
        load_config(base, {path: 1})
    assert near in str(error.value) and path in str(error.value)


def test_a_constructor_argument_that_no_base_spells_out_may_be_set(base):
    options = {'train_dataloader.dataset.data_prefix': 'train', 'train_dataloader.steps.0.prob': 1.}
    cfg = resolve(load_config(base, options))
    assert cfg.train_dataloader.dataset.data_prefix == 'train'
    assert cfg.train_dataloader.steps[0].prob == 1.


def test_a_reference_to_nothing_names_the_nearest_key(base):
    cfg = load_config(base)
    set_option(cfg, 'train_dataloader.dataset', '${data.trian}')
    with pytest.raises(ConfigError, match=r'data\.trian.*data\.train'):
        resolve(cfg)


def test_a_key_that_a_constructor_does_not_take_is_an_error(base):
    cfg = resolve(load_config(base))
    check_types(cfg)
    cfg.model['num_clases'] = 4
    with pytest.raises(ConfigError, match="takes no argument 'num_clases'.*'num_classes'"):
        check_types(cfg)


def test_a_missing_config_names_its_neighbours(base, tmp_path):
    with pytest.raises(ConfigError, match='base.py'):
        load_config(tmp_path / 'bass.py')
    with pytest.raises(ConfigError, match='sembridge/r18_ms2rgb.py'):
        find_config('rstoolbox::sembridge/r18_ms2rbg.py')
    with pytest.raises(ConfigError, match='Nearest: rstoolbox::sembridge/r18_ms2rgb.py'):
        find_config('sembridge/r18_ms2rgb.py')


def test_a_runner_gets_its_own_keys_only():
    cfg = Config(dict(default_scope='rstoolbox', batch_size=2, train_dataloader=dict(batch_size='${batch_size}'),
                      stages=dict(teacher=dict()), model=None))
    run = runner_config(cfg, {'batch_size': 8}, work_dir='there')
    assert dict(run) == dict(default_scope='rstoolbox', train_dataloader=dict(batch_size=8), model=None,
                             work_dir='there')
    assert cfg.batch_size == 2


def test_tuples_reach_those_who_tell_them_from_lists(tmp_path):
    path = tmp_path / 'tuples.py'
    path.write_text("size = (64, 32)\nscale = '${size}'\nboth = ('${size}', 1)\nnested = dict(steps=[((1, 2), 'a')])\n"
                    "base = dict(pair=(1, 2), other=[3])\nown = dict(_inherit_='${base}', more=(4,))\n"
                    "first = '${size.0}'\nwords = 'size ${size}'\nrows = (dict(a='${first}'),)\n")
    cfg = resolve(load_config(path))
    assert cfg.size == cfg.scale == (64, 32) and cfg.nested.steps == [((1, 2), 'a')]
    assert cfg.own.pair == (1, 2) and cfg.own.more == (4,) and cfg.own.other == [3]
    assert cfg.both == ((64, 32), 1) and cfg.first == 64 and cfg.words == 'size (64, 32)' and cfg.rows == (dict(a=64),)


def test_a_tuple_is_set_as_a_whole(tmp_path):
    path = tmp_path / 'tuples.py'
    path.write_text('crop = (64, 32)\n')
    assert load_config(path, {'crop': (8, 8)}).crop == (8, 8)
    with pytest.raises(ConfigError, match=r"'crop.0': 'crop' is a tuple, which is set as a whole: 'crop=\(64, 32\)'"):
        load_config(path, {'crop.0': 8})


def test_a_warm_up_of_no_steps_is_left_out_and_one_that_is_too_long_is_refused():
    cfg = runner_config(load_config('rstoolbox::falcon/large_sft.py', {'warmup_iters': 0}))
    assert [part.type for part in cfg.param_scheduler] == ['CosineAnnealingLR']
    with pytest.raises(ConfigError, match=r'param_scheduler.1: CosineAnnealingLR begins at 500 and ends at 100.*'
                                          'warmup_iters'):
        runner_config(load_config('rstoolbox::falcon/large_sft.py', {'max_iters': 100}))
