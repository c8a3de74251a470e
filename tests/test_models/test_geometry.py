"""DistilVPR against published numbers, closed forms and finite differences."""

import json
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from rstoolbox.models.transfer.geometry import cosine, euclidean, geodesic_distances
from rstoolbox.registry import TRANSFER_LOSSES

NOTHING = dict(type='DistilVPR', relation_weight=0., distance_weight=0., cosine_weight=0., geodesic_weight=0.)
# Part -> loss and the published terms that it sums.
PARTS = dict(
    dist=(dict(NOTHING, distance_weight=0.1), ['dist.st2ss', 'dist.tt2st']),
    sim=(dict(NOTHING, cosine_weight=0.1), ['sim.st2ss', 'sim.tt2st']),
    geo=(dict(NOTHING, geodesic_weight=0.1), ['geo.st2ss', 'geo.tt2st']),
)
CASES = ['b8_d16', 'b16_d64_shifted', 'b3_d8', 'b12_d512', 'x_scale1000', 'x_identical']


def published(shared, case):
    folder = shared('golden/kd')
    record = json.loads((folder / 'embedding_losses.json').read_text())[case]
    return record, np.load(folder / 'embedding_losses.npz', allow_pickle=False)


def value_and_gradient(config, arrays, case):
    student = torch.from_numpy(arrays[f'{case}/student']).double().requires_grad_()
    teacher = torch.from_numpy(arrays[f'{case}/teacher']).double()
    value = TRANSFER_LOSSES.build(config)(dict(embedding=student), dict(embedding=teacher))
    value.backward()
    return value.item(), student.grad.numpy()


def assert_gradients_close(gradient, expected):
    np.testing.assert_allclose(gradient, expected, rtol=1e-6, atol=1e-8 * np.abs(expected).max() + 1e-15)


@pytest.mark.parametrize('case', [*CASES, 'x_student_duplicate_rows'])
@pytest.mark.parametrize('part', PARTS)
def test_agents_equal_the_published_values_and_gradients(shared, part, case):
    record, arrays = published(shared, case)
    config, terms = PARTS[part]
    value, gradient = value_and_gradient(config, arrays, case)
    terms = [f'ackd.distilvpr.{term}' for term in terms]
    assert value == pytest.approx(sum(record['losses'][term]['f64'] for term in terms), rel=1e-6, abs=1e-11)
    assert_gradients_close(gradient, sum(arrays[f'{case}/grad/{term}'] for term in terms))


@pytest.mark.parametrize('case', CASES)
def test_relations_and_total_equal_the_stable_reference(shared, case):
    record, arrays = published(shared, case)
    reference, relations = record['own_reference'], arrays[f'{case}/grad_own/distilvpr_relational_unweighted']
    value, gradient = value_and_gradient(dict(NOTHING, relation_weight=1.), arrays, case)
    assert value == pytest.approx(reference['distilvpr_relational_unweighted'], rel=1e-6, abs=1e-12)
    assert value == pytest.approx(sum(reference['relational_parts_distance_angle_geodesic']), rel=1e-6, abs=1e-12)
    assert_gradients_close(gradient, relations)
    agents = sum(arrays[f'{case}/grad/ackd.distilvpr.{term}'] for _, terms in PARTS.values() for term in terms)
    value, gradient = value_and_gradient(dict(type='DistilVPR'), arrays, case)
    assert value == pytest.approx(reference['distilvpr_total'], rel=1e-6, abs=1e-11)
    assert_gradients_close(gradient, 10 * relations + agents)


def test_geodesic_distance_is_that_of_the_half_plane_form():
    x, y = 0.7 * torch.randn(4, 3, dtype=torch.float64), 0.7 * torch.randn(5, 3, dtype=torch.float64)
    points = [torch.tanh(0.5 * z.norm(dim=1, keepdim=True)) * F.normalize(z) / 0.5 for z in (x, y)]
    gaps = [1 - 0.25 * point.square().sum(dim=1) for point in points]
    ratio = 0.25 * torch.cdist(*points) ** 2 / (gaps[0][:, None] * gaps[1])
    expected = torch.acosh(1 + 2 * ratio) / 0.5
    # The published margins keep from the exact one by about 1e-5.
    torch.testing.assert_close(geodesic_distances(x, y, 0.25), expected, rtol=1e-4, atol=0)
    # From the centre it is twice the length.
    torch.testing.assert_close(geodesic_distances(torch.zeros(1, 3).double(), x, 0.25)[0], 2 * x.norm(dim=1),
                               rtol=1e-4, atol=0)


def test_gradient_equals_finite_differences_with_the_crossing_targets_held():
    student, teacher = torch.randn(4, 6, dtype=torch.float64), torch.randn(4, 6, dtype=torch.float64)
    teacher, held = F.normalize(teacher), F.normalize(student)
    relations = euclidean, cosine, geodesic_distances

    def plain(features):
        features = F.normalize(features)
        return 0.1 * sum(F.mse_loss(relation(features), relation(held, teacher))
                         + F.mse_loss(relation(features, teacher), relation(teacher)) for relation in relations)

    loss = TRANSFER_LOSSES.build(dict(type='DistilVPR', relation_weight=0.))
    features = student.clone().requires_grad_()
    loss(dict(embedding=features), dict(embedding=teacher)).backward()
    steps = 1e-6 * torch.eye(24, dtype=torch.float64).reshape(24, 4, 6)
    expected = torch.stack([(plain(student + step) - plain(student - step)) / 2e-6 for step in steps])
    torch.testing.assert_close(features.grad.flatten(), expected, rtol=1e-6, atol=1e-9)


def test_gradient_of_the_relations_equals_finite_differences():
    loss = TRANSFER_LOSSES.build(dict(NOTHING, relation_weight=10.))
    student = torch.randn(4, 5, dtype=torch.float64, requires_grad=True)
    teacher = torch.randn(4, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda features: loss(dict(embedding=features), dict(embedding=teacher)), student)
    loss(dict(embedding=student), dict(embedding=teacher)).backward()
    assert teacher.grad is None


def test_unequal_widths_meet_by_a_trained_map():
    loss = TRANSFER_LOSSES.build(dict(type='DistilVPR'))
    student, teacher = dict(embedding=torch.randn(8, 5)), dict(embedding=torch.randn(8, 7))
    loss.prepare(student, teacher)
    optimizer = torch.optim.SGD(loss.parameters(), lr=1.)
    values = []
    for _ in range(20):
        optimizer.zero_grad()
        values.append(loss(student, teacher))
        values[-1].backward()
        optimizer.step()
    assert values[-1] < values[0]
    assert [tuple(part.shape) for part in loss.parameters()] == [(7, 5), (7,)]


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16, torch.float32])
@pytest.mark.parametrize('width', [8, 6])
def test_large_features_stay_finite_under_autocast(dtype, width):
    loss = TRANSFER_LOSSES.build(dict(type='DistilVPR'))
    student = (100 * torch.randn(6, 8)).to(dtype).requires_grad_()
    with torch.autocast('cpu', dtype=torch.float16 if dtype == torch.float16 else torch.bfloat16):
        value = loss(dict(embedding=student), dict(embedding=(100 * torch.randn(6, width)).to(dtype)))
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(student.grad).all()


@pytest.mark.parametrize('batch', [torch.randn(1, 8), torch.zeros(3, 8), torch.ones(3, 8)],
                         ids=['one', 'zeros', 'equal'])
def test_batches_without_relations_are_finite(batch):
    student = batch.clone().requires_grad_()
    loss = TRANSFER_LOSSES.build(dict(type='DistilVPR'))
    value = loss(dict(embedding=student), dict(embedding=torch.randn(len(batch), 8)))
    value.backward()
    assert math.isfinite(value.item())
    assert student.grad.abs().max() < 1e3


@pytest.mark.parametrize('name', ['relation_weight', 'distance_weight', 'cosine_weight', 'geodesic_weight'])
def test_negative_weights_are_refused(name):
    with pytest.raises(ValueError, match=f'{name} of DistilVPR must be at least 0'):
        TRANSFER_LOSSES.build(dict(type='DistilVPR', **{name: -0.1}))


def test_curvature_must_be_positive():
    with pytest.raises(ValueError, match='curvature of DistilVPR must be above 0'):
        TRANSFER_LOSSES.build(dict(type='DistilVPR', curvature=0.))


def test_maps_instead_of_embeddings_are_named():
    with pytest.raises(ValueError, match='DistilVPR takes embedding of shape .* but the student gives'):
        TRANSFER_LOSSES.build(dict(type='DistilVPR'))(dict(embedding=torch.zeros(2, 8, 4, 4)),
                                                      dict(embedding=torch.zeros(2, 8)))
