"""Every shipped transfer loss trains in a distiller: alone, after re-matching, beside alignment, and with both."""

import copy
import inspect

import pytest
import torch
from mmengine.optim import OptimWrapper

from rstoolbox.registry import MODELS, TRANSFER_LOSSES

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


@pytest.mark.parametrize('rematched', [False, True], ids=['first match', 'SFM'])
@pytest.mark.parametrize('aligned', [False, True], ids=['plain', 'SKA'])
@pytest.mark.parametrize('name', LOSSES)
def test_two_steps(classifier_config, pair_batch, name, aligned, rematched):
    losses = dict(transfer=dict(type=name)) | (dict(ska=dict(type='SKA')) if aligned else {})
    # Unequal widths on purpose.
    model = MODELS.build(dict(type='Distiller', student=classifier_config(),
                              teacher=classifier_config(TEN_BANDS, width=16), losses=losses, image_size=64))
    model.init_weights()
    model.train()
    optimizer = OptimWrapper(torch.optim.SGD(model.parameters(), lr=1e-6))
    before = copy.deepcopy(model.student.state_dict())
    batch = pair_batch(size=64)  # at 32 the last maps have one place, at which maps of places say nothing
    for step in range(2):
        if rematched and step:  # between epochs the same student images meet other teacher images
            batch['inputs']['teacher'].reverse()
        logged = model.train_step(copy.deepcopy(batch), optimizer)
        assert all(torch.isfinite(value).all() for value in logged.values())
        assert {'loss_task', 'loss_transfer'} <= set(logged)
        assert logged['loss_transfer'] != 0
    assert any(not torch.equal(value, before[key]) for key, value in model.student.state_dict().items())
    assert all(key.split('.')[0] in ('backbone', 'head') for key in model.student_state_dict())
