"""The stages that match: what cannot be matched is refused by name."""

import pytest
import torch

from rstoolbox.datasets.splits import Split
from rstoolbox.engine.config import ConfigError, load_config, resolve, set_option
from rstoolbox.engine.stages import build_stage
from rstoolbox.models import CheckpointError, Gallery
from rstoolbox.registry import MODELS
from rstoolbox.structures import MatchTable


@pytest.fixture(scope='module')
def base(tmp_path_factory):
    """Options for thin networks over a copy of the embedded data set with few images a class."""
    thin = {'backbone.stem_channels': 8, 'backbone.base_channels': 8, 'head.in_channels': 64}
    return {'data_root': str(tmp_path_factory.getbasetemp() / 'mini_of_matching'), 'images_per_class': 8,
            **{f'{side}.{key}': value for side in ('teacher', 'student') for key, value in thin.items()}}


def save(path, network, **changes):
    state = MODELS.build(network).state_dict()
    state.update(changes)
    torch.save(dict(state_dict=state), path)


@pytest.fixture
def stage(tmp_path, base):
    """A function: options of the experiment -> its match stage, or another; the matcher's weights are matcher.pth."""

    def build(options=None, name='match'):
        cfg = load_config('rstoolbox::sembridge/r18_ms2rgb.py', {
            **base, 'matcher.teacher_checkpoint': None, 'stages.match.checkpoint': str(tmp_path / 'matcher.pth')})
        for key, value in (options or {}).items():
            set_option(cfg, key, value)  # here alone, not where a reference leads to
        return build_stage(name, cfg, root=tmp_path, upstream={})

    return build


def test_the_gallery_taps_the_teacher_where_the_distiller_says(tmp_path, base):
    cfg = load_config('rstoolbox::sembridge/r18_ms2rgb.py', base)
    teacher = str(tmp_path / 'teacher.pth')
    save(teacher, resolve(cfg).teacher)
    folders = []
    for taps in (None, dict(teacher=dict(tokens='backbone.layer3'))):
        set_option(cfg, 'model.taps', taps)
        set_option(cfg, 'stages.gallery.checkpoint', teacher)
        folders.append(build_stage('gallery', cfg, root=tmp_path, upstream={}).ensure())
    before, after = map(Gallery.open, folders)
    assert before['tokens'].shape[1] < after['tokens'].shape[1] and after.taps == dict(tokens='backbone.layer3')
    assert (before['logits'] == after['logits']).all()


def test_taps_of_the_gallery_are_paths_by_output(stage):
    with pytest.raises(ValueError, match="taps of the teacher are module paths by output, .* got 'head'"):
        stage({'model.taps': dict(teacher='head')}, 'gallery')


def test_each_student_sample_is_matched_within_its_class(tmp_path, stage):
    match = stage()
    save(tmp_path / 'matcher.pth', match.model)
    table = MatchTable.load(match.ensure())
    assert len(table.matches()) == len(match.datasets['student'])
    assert all(student.split('/')[1] == teacher.split('/')[1] for student, teacher in table.matches().items())


def test_a_class_that_cannot_be_matched_is_named(tmp_path, stage):
    ids = sorted(f'MS/{name}/{name}_{number:04d}.tif' for name in stage().datasets['teacher'].metainfo['classes']
                 for number in range(1, 9))
    rivers = [name for name in ids if 'River' in name]
    Split([name for name in ids if 'River' not in name], [], rivers).save(tmp_path / 'split.json')
    with pytest.raises(ValueError, match="Class 'River' has student samples but no teacher sample"):
        stage({'ms_data.gallery.split_file': str(tmp_path / 'split.json')})
    with pytest.raises(ValueError, match='must have the same classes.*only the student has AnnualCrop, Forest'):
        stage({'ms_data.gallery.classes': ('River', 'Highway')})


@pytest.mark.parametrize(('name', 'data', 'key'), [
    ('gallery', 'ms_data.gallery', 'dataset'), ('match', 'ms_data.gallery', 'teacher'),
    ('match', 'rgb_data.match', 'student')])
def test_a_random_pipeline_is_refused(stage, name, data, key):
    flip = dict(type='RandomFlip', prob=0.5, direction='horizontal')
    state = torch.get_rng_state()
    with pytest.raises(ConfigError, match=rf'stages\.{name}\.{key}: the pipeline is random.*plain_pipeline'):
        stage({f'{data}.pipeline': [dict(type='LoadRaster'), dict(type='ToReflectance'), flip, '${pack}']}, name)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_checkpoint_of_another_network_is_refused_in_one_sentence(tmp_path, stage):
    match = stage()
    save(tmp_path / 'matcher.pth', match.model['rgb_encoder'])
    with pytest.raises(CheckpointError, match=r"matcher.pth' is not a checkpoint of the config's matcher.*missing "
                                              r'\(first: .*that the config has not \(first: backbone') as error:
        match.ensure()
    assert len(str(error.value)) < 400
    save(tmp_path / 'matcher.pth', match.model, log_scale=torch.zeros(2))
    with pytest.raises(CheckpointError, match=r'weights 1 of another shape \(first: log_scale\)'):
        match.ensure()
