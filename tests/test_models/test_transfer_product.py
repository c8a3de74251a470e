"""Every shipped transfer loss trains in a distiller: alone, after re-matching, beside alignment, and with both."""

import copy
import inspect

import pytest
import torch
from mmengine.dataset import pseudo_collate
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper
from mmengine.registry import init_default_scope
from torch.utils.data import DataLoader

from rstoolbox.engine.runner import Runner
from rstoolbox.models.sembridge.gallery import Gallery
from rstoolbox.registry import DATASETS, MODELS, TRANSFER_LOSSES
from rstoolbox.structures import MatchTable, tables_in

LOSSES = ('AT', 'BinaryKD', 'C2KD', 'CC', 'CRD', 'CTKD', 'CWD', 'DIST', 'DKD', 'DistilVPR', 'FactorTransfer', 'FitNet',
          'KD', 'KDSVD', 'LSKD', 'LogitsMSE', 'MGD', 'MLKD', 'NKD', 'NST', 'OFD', 'PKT', 'RKD', 'ReviewKD', 'SP',
          'SimKD', 'VID', 'WSLD')
TEN_BANDS = ('B02', 'B03', 'B04', 'B05', 'B06', 'B07', 'B08', 'B8A', 'B11', 'B12')


def test_the_list_is_complete():
    shipped = {name for name, loss in TRANSFER_LOSSES.module_dict.items() if loss.__module__.startswith('rstoolbox.')}
    assert shipped == {*LOSSES, 'SKA'}


@pytest.mark.parametrize('name', [*LOSSES, 'SKA'])
def test_a_hyper_parameter_that_is_no_number_is_named(name):
    parameters = [parameter.name for parameter in inspect.signature(TRANSFER_LOSSES.get(name)).parameters.values()
                  if type(parameter.default) in (int, float)]
    assert 'loss_weight' in parameters
    for parameter in parameters:
        for value in ('hot', float('nan'), float('inf')):
            with pytest.raises(ValueError, match=f'{parameter}.* {value}|{parameter}.*{value!r}'):
                TRANSFER_LOSSES.build({'type': name, parameter: value})


@pytest.mark.parametrize('name', [*LOSSES, 'SKA'])
def test_a_teacher_of_fewer_rows_is_not_compared_with_all(name):
    def outputs(rows):
        return dict(logits=torch.randn(rows, 5), embedding=torch.randn(rows, 16), tokens=torch.randn(rows, 4, 16),
                    feats=[torch.randn(rows, 16, 4, 4), torch.randn(rows, 16, 2, 2)])

    loss = TRANSFER_LOSSES.build(dict(type=name))
    loss.prepare(outputs(4), outputs(4))
    with pytest.raises(ValueError, match=f'{name} compares row by row, .* gives 4 rows of .* the teacher 1;'):
        loss(outputs(4), outputs(1), labels=torch.arange(4))


@pytest.mark.parametrize('aligned', [False, True], ids=['plain', 'SKA'])
@pytest.mark.parametrize('name', LOSSES)
def test_two_steps(distiller, pair_batch, name, aligned):
    model = MODELS.build(distiller(name, aligned))
    model.init_weights()
    model.train()
    optimizer = OptimWrapper(torch.optim.SGD(model.parameters(), lr=1e-6))
    before = copy.deepcopy(model.student.state_dict())
    batch = pair_batch(size=64)  # at 32 the last maps have one place, at which maps of places say nothing
    for _ in range(2):
        logged = model.train_step(copy.deepcopy(batch), optimizer)
        assert all(torch.isfinite(value).all() for value in logged.values())
        assert {'loss_task', 'loss_transfer'} <= set(logged)
        assert logged['loss_transfer'] != 0
    assert any(not torch.equal(value, before[key]) for key, value in model.student.state_dict().items())
    assert all(key.split('.')[0] in ('backbone', 'head') for key in model.student_state_dict())


@pytest.mark.parametrize('aligned', [False, True], ids=['SFM', 'SFM and SKA'])
@pytest.mark.parametrize('name', LOSSES)
def test_two_epochs_with_a_new_match_between_them(distiller, matched, tmp_path, name, aligned):
    pairs, gallery, students = matched
    runner = Runner(
        model=distiller(name, aligned), work_dir=str(tmp_path), experiment_name=f'{name} {aligned}',
        default_scope='rstoolbox', log_level='WARNING', cfg=dict(default_scope='rstoolbox'),
        train_dataloader=dict(batch_size=8, num_workers=0, dataset=pairs,
                              sampler=dict(type='DefaultSampler', shuffle=True)),
        train_cfg=dict(by_epoch=True, max_epochs=2), randomness=dict(seed=0),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=1e-6)),
        default_hooks=dict(checkpoint=None, logger=None, timer=None),
        custom_hooks=[dict(
            type='StudentFriendlyMatchingHook', start=1, interval=1, growth=0, gallery=gallery,
            dataloader=dict(batch_size=8, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False),
                            dataset=students))])
    losses = []
    runner.register_hook(Losses(losses))
    before = copy.deepcopy(runner.model.student.state_dict())
    runner.train()
    assert [table.name for table in tables_in(tmp_path / 'matches')] == ['epoch_000.json', 'epoch_001.json']
    table = runner.train_dataloader.dataset.match_table
    assert table.meta['epoch'] == 1 and table.churn(first_match(pairs)) > 0
    assert len(losses) == 2 * len(runner.train_dataloader)
    assert all({'loss_task', 'loss_transfer'} <= set(step) for step in losses)
    assert all(step['loss_transfer'] != 0 for step in losses[1:])  # a warm-up begins at 0
    assert all(torch.isfinite(value).all() for step in losses for value in step.values())
    assert any(not torch.equal(value, before[key]) for key, value in runner.model.student.state_dict().items())


class Losses(Hook):
    """Gathers what every step logs."""

    def __init__(self, gathered):
        self.gathered = gathered

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.gathered.append(outputs)


@pytest.fixture
def distiller(classifier_config):
    """A function from the name of a loss to the config of a distiller, with SKA beside it if wanted."""

    def config(name, aligned):
        losses = dict(transfer=dict(type=name)) | (dict(ska=dict(type='SKA')) if aligned else {})
        # Unequal widths on purpose.
        return dict(type='Distiller', student=classifier_config(num_classes=8),
                    teacher=classifier_config(TEN_BANDS, num_classes=8, width=16), losses=losses, image_size=64)

    return config


@pytest.fixture(scope='module')
def matched(classifier_config, tmp_path_factory):
    """Pairs of the embedded data set, the gallery of their teacher's logits, and the students by themselves."""
    init_default_scope('rstoolbox')
    pipeline = [dict(type='LoadRaster'), dict(type='ToReflectance'),
                dict(type='mmpretrain.PackInputs', meta_keys=('sample_id', 'img_shape'))]
    source = dict(type='MiniS2S', data_root=str(tmp_path_factory.getbasetemp() / 'mini_s2s_of_the_product'),
                  images_per_class=2, pipeline=pipeline, split='train', split_ratio=(1., 0., 0.))
    teacher = dict(source, modality='ms', bands=TEN_BANDS)
    students = DATASETS.build(dict(source, modality='rgb', bands=('R', 'G', 'B')))
    pairs = DATASETS.build(dict(type='UnpairedSceneDataset', student=students, teacher=teacher))
    pairs.set_match_table(first_match(pairs))
    folder = tmp_path_factory.mktemp('product') / 'gallery'
    loader = DataLoader(pairs.teacher, 8, collate_fn=pseudo_collate)
    Gallery.build(folder, MODELS.build(classifier_config(TEN_BANDS, num_classes=8)), loader, key='product',
                  ids=pairs.teacher.sample_ids, labels=pairs.teacher.gt_labels, outputs=('logits',))
    return pairs, str(folder), students


def first_match(pairs):
    """Every student with the last teacher sample of its class."""
    last = {label: row for row, label in enumerate(pairs.teacher.gt_labels)}
    rows = [last[label] for label in pairs.student.gt_labels]
    return MatchTable(pairs.student.sample_ids, pairs.teacher.sample_ids, rows, {})
