"""SKA: what its plan reacts to, what it trains, any shapes; the published planner and training step."""

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from rstoolbox.models.sembridge.alignment import SKA, attention_received
from rstoolbox.models.sembridge.released import ReleasedPlanner, attention
from rstoolbox.registry import TRANSFER_LOSSES

SKA_CASES = ('b3_n1_c16', 'b3_n4_vs_n9_c32', 'b4_n4_c64', 'b6_n16_c32')


def outputs(batch=6, count=4, width=16, pooled=None, seed=0):
    random = torch.Generator().manual_seed(seed)
    return dict(tokens=torch.randn(batch, count, width, generator=random).relu().requires_grad_(),
                embedding=torch.randn(batch, pooled or width, generator=random).requires_grad_())


@pytest.mark.parametrize('side', [0, 1])
def test_the_plan_reacts_to_either_side(side):
    torch.manual_seed(0)
    tokens = [outputs(seed=0)['tokens'], outputs(seed=1)['tokens']]
    loss = SKA()
    loss.prepare(outputs(), outputs())
    before = loss.plan(*tokens)
    changed = list(tokens)
    changed[side] = tokens[side] + torch.randn(tokens[side].shape)
    after = loss.plan(*changed)
    assert (before - after).abs().amax(dim=(1, 2)).min() > 1e-3
    # Not by its masses alone: what goes from where to where changes too.
    conditional = [plan / plan.sum(2, keepdim=True) / plan.sum(1, keepdim=True) for plan in (before, after)]
    assert (conditional[0] - conditional[1]).abs().max() > 1e-2


def test_the_plan_meets_the_attention_of_both_sides():
    student, teacher = outputs(count=4), outputs(count=9, seed=1)
    loss = SKA()
    loss.prepare(student, teacher)
    plan = loss.plan(student['tokens'], teacher['tokens'])
    assert torch.allclose(plan.sum(2), attention_received(student['tokens']), atol=1e-5)
    assert torch.allclose(plan.sum(1), attention_received(teacher['tokens']), atol=1e-5)


def test_a_permuted_teacher_gives_the_same_loss():
    student, teacher = outputs(), outputs(seed=1)
    loss = SKA()
    permuted = dict(teacher, tokens=teacher['tokens'][:, [2, 0, 3, 1]])
    assert loss(student, teacher).item() == pytest.approx(loss(student, permuted).item(), rel=1e-3)


@pytest.mark.parametrize(('student', 'teacher', 'width'), [
    (dict(), dict(), None),
    (dict(count=4, width=24), dict(count=9, width=16), None),
    (dict(count=9, width=16, pooled=20), dict(count=1, width=40, pooled=12), 24),
    (dict(width=16), dict(width=16), 40),
    (dict(width=17), dict(width=13), None),
    (dict(batch=1), dict(batch=1), None),
])
def test_any_counts_and_widths(student, teacher, width):
    student, teacher = outputs(**student), outputs(seed=1, **teacher)
    loss = SKA(width=width, loss_weight=0.3)
    value = loss(student, teacher)
    value.backward()
    assert torch.isfinite(value)
    assert all(torch.isfinite(values.grad).all() for values in student.values())
    assert all(torch.isfinite(parameter.grad).all() for parameter in loss.parameters())
    assert all(values.grad is None for values in teacher.values())
    if len(student['tokens']) > 1:
        assert student['tokens'].grad.abs().max() > 0
        assert student['embedding'].grad.abs().max() > 0


def test_the_target_cannot_move_towards_the_student():
    student, teacher = outputs(width=16), outputs(width=24, seed=1)
    loss = SKA(width=12)
    loss.prepare(student, teacher)
    assert 'teacher_projection' not in dict(loss.named_parameters())
    projection = loss.teacher_projection
    assert torch.allclose(projection.T @ projection, torch.eye(12), atol=1e-5)
    other = SKA(width=12)
    other.prepare(student, teacher)
    assert torch.equal(projection, other.teacher_projection)


def test_equal_sides_are_aligned_already():
    side = outputs(batch=8)
    loss = SKA(epsilon=1e-3, num_iters=200, tol=1e-5)
    assert loss(side, side).item() < 1e-3
    assert loss(side, side).item() < loss(side, outputs(batch=8, seed=1)).item()


def test_weights_are_factors():
    student, teacher = outputs(), outputs(seed=1)
    torch.manual_seed(0)
    parts = [SKA(token_weight=token, pooled_weight=1 - token)(student, teacher).item() for token in (1, 0)]
    both = SKA(token_weight=2., pooled_weight=3., loss_weight=0.5)(student, teacher).item()
    assert both == pytest.approx(0.5 * (2 * parts[0] + 3 * parts[1]), rel=1e-5)


def test_half_precision_is_computed_in_full():
    student, teacher = outputs(), outputs(seed=1)
    half = [{name: values.half() for name, values in side.items()} for side in (student, teacher)]
    loss = SKA()
    with torch.autocast('cpu', dtype=torch.bfloat16):
        value = loss(*half)
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(loss(student, teacher).item(), rel=1e-2)


@pytest.mark.parametrize('case', SKA_CASES)
def test_published_planner(shared, case):
    golden = np.load(shared('golden/sembridge/ska.npz'))
    given, planner = _released_inputs(golden, case)
    for side in ('t', 's'):
        found = attention(given[f'{side}_tokens'], given[f'{side}_qkv'])
        assert np.allclose(found.detach().numpy(), golden[f'{case}/out/{side}_attention'], rtol=1e-9)
    student, teacher = planner(given['s_tokens'], given['t_tokens'])
    assert np.allclose(student.detach().numpy(), golden[f'{case}/out/s_refined'], rtol=1e-9)
    assert np.allclose(teacher.detach().numpy(), golden[f'{case}/out/t_refined'], rtol=1e-9)
    if f'{case}/out/loss_ot' not in golden.files:
        return
    tokens, pooled = planner.coral(dict(tokens=given['s_tokens'], embedding=given['s_pooled']),
                                   dict(tokens=given['t_tokens'], embedding=given['t_pooled']))
    assert tokens.item() == pytest.approx(golden[f'{case}/out/coral_tokens'].item(), rel=1e-9)
    assert pooled.item() == pytest.approx(golden[f'{case}/out/coral_pooled'].item(), rel=1e-9)
    (0.01 * (tokens + pooled)).backward()
    for name in ('s_tokens', 't_tokens', 's_pooled', 't_pooled'):
        assert np.allclose(given[name].grad, golden[f'{case}/out/grad_loss_ot/{name}'], rtol=1e-7, atol=1e-15), name
    for name, weight in (('s_qkv', planner.student_qkv.weight), ('t_qkv', planner.teacher_qkv.weight)):
        assert np.allclose(weight.grad, golden[f'{case}/out/grad_loss_ot/{name}'], rtol=1e-6, atol=1e-15), name


@pytest.mark.parametrize(('mode', 'kd'), [('CKD', dict(type='KD', tau=3., scale_by_tau=False, loss_weight=0.4)),
                                          ('Logits', dict(type='LogitsMSE', loss_weight=0.4 * 0.01))])
@pytest.mark.parametrize('case', ['b6_n4_c64_k10', 'b4_n16_c32_k15'])
def test_published_training_step(shared, case, mode, kd):
    golden = np.load(shared('golden/sembridge/train_step.npz'))
    expected = json.loads(shared('golden/sembridge/train_step.json').read_text())[case][mode]['f64']
    given, planner = _released_inputs(golden, case)
    student, teacher = ({'logits': given[f'{side}_logits'], 'tokens': given[f'{side}_tokens'],
                         'embedding': given[f'{side}_pooled']} for side in 'st')
    alignment = TRANSFER_LOSSES.build(dict(type='SKA', variant='as_released', loss_weight=0.3))
    alignment.prepare(student, teacher)
    alignment.double().planner.load_state_dict(planner.state_dict())
    aligned = alignment(student, teacher)
    task = 0.3 * F.cross_entropy(student['logits'], given['labels'])
    total = task + TRANSFER_LOSSES.build(kd)(student, teacher) + aligned
    assert aligned.item() == pytest.approx(0.3 * expected['ot'], rel=1e-9)
    assert total.item() == pytest.approx(expected['total'], rel=1e-9)
    total.backward()
    for name in ('s_logits', 's_tokens', 's_pooled'):
        assert np.allclose(given[name].grad, golden[f'{case}/grad_total/{mode}/{name}'], rtol=1e-7, atol=1e-15), name


def test_the_published_planner_sees_one_side_only():
    planner = ReleasedPlanner(16)
    student, teacher, other = (outputs(seed=seed)['tokens'] for seed in range(3))
    assert torch.allclose(planner(student, teacher)[1], planner(other, teacher)[1], atol=1e-5)


@pytest.mark.parametrize(('student', 'teacher'), [(dict(count=4), dict(count=9)), (dict(width=16), dict(width=24)),
                                                  (dict(width=12), dict(width=12)), (dict(pooled=8), dict(pooled=9))])
def test_published_planner_refuses_shapes_that_the_original_stops_at(student, teacher):
    with pytest.raises(ValueError, match="variant='sound' takes any"):
        SKA(variant='as_released')(outputs(**student), outputs(**teacher))


@pytest.mark.parametrize(('arguments', 'message'), [
    (dict(variant='published'), "no variant 'published'"), (dict(epsilon=0.), 'epsilon of SKA must be above 0'),
    (dict(num_iters=0), 'num_iters of SKA is a whole number of at least 1')])
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        SKA(**arguments)


def test_bad_outputs_are_named():
    with pytest.raises(ValueError, match="SKA needs 'tokens' of the teacher"):
        SKA()(outputs(), dict(embedding=torch.zeros(6, 16)))
    with pytest.raises(ValueError, match='of the student, got'):
        SKA()(dict(tokens=torch.zeros(6, 16), embedding=torch.zeros(6, 16)), outputs())


def _released_inputs(golden, case):
    given = {key.split('/')[-1]: torch.from_numpy(golden[key]) for key in golden.files if key.startswith(f'{case}/in/')}
    given = {name: values.double().requires_grad_() if values.is_floating_point() else values
             for name, values in given.items()}
    planner = ReleasedPlanner(given['s_tokens'].shape[2]).double()
    planner.load_state_dict({'student_qkv.weight': given['s_qkv'], 'teacher_qkv.weight': given['t_qkv']})
    return given, planner
