"""What every loss between feature maps keeps to."""

import copy

import pytest
import torch

from rstoolbox.registry import DISTILLERS, TRANSFER_LOSSES

EVERY = {
    'AT': dict(type='AT'),
    'CWD': dict(type='CWD', stage=-2),
    'FitNet': dict(type='FitNet'),
    'KDSVD': dict(type='KDSVD'),
    'MGD': dict(type='MGD'),
    'MGD of places': dict(type='MGD', mask='places', mask_ratio=0.5, stage=0),
    'NST': dict(type='NST'),
    'OFD': dict(type='OFD'),
    'OFD with margins': dict(type='OFD', margins=[[-1., -.5, 0., 0., -.2], [-.1] * 6]),
    'ReviewKD': dict(type='ReviewKD', max_width=3),
    'SimKD': dict(type='SimKD'),
}
TRAINABLE = {'CWD', 'FitNet', 'MGD', 'MGD of places', 'OFD', 'OFD with margins', 'ReviewKD', 'SimKD'}
# Sizes of two maps: as the student's, with one side larger, with neither a multiple of the other, and single places.
SIZES = {'equal': [(4, 4), (2, 2)], 'half': [(2, 2), (1, 1)], 'twice': [(8, 8), (4, 4)], 'odd': [(3, 5), (3, 1)]}


def build(name):
    return TRANSFER_LOSSES.build(copy.deepcopy(EVERY[name]))


def outputs(batch, widths, sizes=((4, 4), (2, 2)), factor=1., dtype=torch.float64):
    """Two maps and an embedding of random normal values."""

    def values(*shape):
        return (factor * torch.randn(batch, *shape, dtype=torch.float64)).to(dtype).requires_grad_()

    return dict(feats=[values(width, *size) for width, size in zip(widths, sizes)], embedding=values(widths[-1]))


def student_outputs(batch, **kwargs):
    return outputs(batch, (3, 4), **kwargs)


def teacher_outputs(batch, **kwargs):
    return outputs(batch, (5, 6), **kwargs)


def leaves(side):
    return [*side['feats'], side['embedding']]


@pytest.mark.parametrize('sizes', SIZES)
@pytest.mark.parametrize('name', EVERY)
def test_gradient_equals_finite_differences_at_any_widths_and_sizes(name, sizes):
    student, teacher, loss = student_outputs(3), teacher_outputs(3, sizes=SIZES[sizes]), build(name)

    def value(first, second, embedding):
        torch.manual_seed(1)    # the mask of MGD
        return loss(dict(feats=[first, second], embedding=embedding), teacher, progress=0.5)

    assert torch.autograd.gradcheck(value, leaves(student), fast_mode=True)
    value(*leaves(student)).backward()
    assert all(leaf.grad is None for leaf in leaves(teacher))
    for parameter_name, parameter in loss.named_parameters():
        assert parameter.grad is not None, parameter_name


@pytest.mark.parametrize('name', EVERY)
def test_maps_of_a_hundred_in_half_precision_stay_finite_under_autocast(name):
    for dtype in (torch.bfloat16, torch.float16):
        student, teacher = (make(2, factor=100., dtype=dtype) for make in (student_outputs, teacher_outputs))
        loss = build(name)
        with torch.autocast('cpu', dtype=dtype):
            value = loss(student, teacher, progress=0.5)
        value.backward()
        assert value.dtype == torch.float32
        assert torch.isfinite(value)
        assert all(torch.isfinite(leaf.grad).all() for leaf in leaves(student) if leaf.grad is not None)
        assert {parameter.dtype for parameter in loss.parameters()} <= {torch.float32}


@pytest.mark.parametrize('factor', [1., 0.])
@pytest.mark.parametrize('sizes', [((4, 4), (2, 2)), ((1, 2), (1, 1))])
@pytest.mark.parametrize('name', EVERY)
def test_a_single_sample_and_maps_of_zeros_give_finite_values_and_gradients(name, sizes, factor):
    kwargs = dict(sizes=sizes, factor=factor)
    student, teacher, loss = student_outputs(1, **kwargs), teacher_outputs(1, **kwargs), build(name)
    value = loss(student, teacher, progress=0.5)
    value.backward()
    assert torch.isfinite(value)
    assert all(torch.isfinite(leaf.grad).all() for leaf in leaves(student) if leaf.grad is not None)
    assert all(torch.isfinite(parameter.grad).all() for parameter in loss.parameters())


@pytest.mark.parametrize('name', ['AT', 'NST', 'KDSVD'])
def test_equal_maps_cost_nothing(name):
    student = student_outputs(4)
    teacher = dict(feats=[map_.detach().clone() for map_ in student['feats']])
    assert build(name)(student, teacher).item() == pytest.approx(0., abs=1e-12)


@pytest.mark.parametrize('name', EVERY)
def test_maps_are_paired_from_the_deepest_on_and_values_that_are_not_finite_show(name):
    student, teacher = student_outputs(3), teacher_outputs(3)
    if 'places' not in name:
        values = []
        for extra in (student, teacher):
            torch.manual_seed(2)
            shallower = dict(extra, feats=[torch.randn(3, 2, 8, 8, dtype=torch.float64), *extra['feats']])
            sides = (shallower, teacher) if extra is student else (student, shallower)
            torch.manual_seed(3)
            values.append(build(name)(*sides, progress=0.5).item())
        assert values[0] == values[1]
    broken = dict(student, feats=[torch.full_like(map_, torch.nan) for map_ in student['feats']])
    assert torch.isnan(build(name)(broken, teacher, progress=0.5))


@pytest.mark.parametrize('name', EVERY)
def test_taps_of_another_rank_are_named(name):
    vector = torch.zeros(2, 5)
    with pytest.raises(ValueError, match=r'takes feats of shape .*the student gives \(2, 5\).*student=dict\(feats'):
        build(name).prepare(dict(student_outputs(2), feats=[vector]), teacher_outputs(2))
    with pytest.raises(ValueError, match='the teacher gives no map'):
        build(name).prepare(student_outputs(2), dict(teacher_outputs(2), feats=[]))
    with pytest.raises(ValueError, match="needs 'feats' of the teacher"):
        build(name).prepare(student_outputs(2), dict(logits=vector))


@pytest.mark.parametrize('name', ['AT', 'CWD', 'NST'])
def test_maps_of_one_place_are_refused_by_what_compares_places(name):
    student, teacher = student_outputs(2, sizes=((1, 1), (2, 2))), teacher_outputs(2, sizes=((4, 4), (1, 1)))
    with pytest.raises(ValueError, match=f'{name} compares where maps are strong, .* one place in common'):
        build(name).prepare(student, teacher)


@pytest.mark.parametrize('name', EVERY)
def test_trainable_parts_exist_before_the_first_call_and_learn(name):
    student, teacher, loss = student_outputs(4), teacher_outputs(4), build(name)
    loss.prepare(student, teacher)
    assert bool(list(loss.parameters())) == (name in TRAINABLE)
    if name in TRAINABLE:
        optimizer = torch.optim.Adam(loss.parameters(), lr=0.01)
        values = []
        for _ in range(30):
            optimizer.zero_grad()
            torch.manual_seed(4)
            values.append(loss(student, teacher, progress=1.))
            values[-1].backward()
            optimizer.step()
        assert values[-1] < 0.95 * values[0]


def test_a_distiller_trains_all_of_them_at_once_and_keeps_them_out_of_the_student(classifier_config, pair_batch):
    bands = ('B02', 'B03', 'B04', 'B05', 'B06', 'B07', 'B08', 'B8A', 'B11', 'B12')
    losses = {name.replace(' ', '_'): config for name, config in EVERY.items() if 'with margins' not in name}
    distiller = DISTILLERS.build(dict(
        type='Distiller', student=classifier_config(), teacher=classifier_config(bands=bands, width=16), losses=losses,
        image_size=32))
    distiller.train()
    batch = distiller.data_preprocessor(pair_batch(), training=True)
    values = distiller(**batch, mode='loss')
    assert set(values) == {'loss_task', *(f'loss_{name}' for name in losses)}
    sum(values.values()).backward()
    assert all(parameter.grad is not None for parameter in distiller.parameters())
    assert not any('transfer_losses' in name for name in distiller.student_state_dict())
