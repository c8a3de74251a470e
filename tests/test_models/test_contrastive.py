"""CRD against published numbers, a plain writing with its queue, closed forms and finite differences."""

import json
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from commands import run_ranks
from rstoolbox.models.transfer.contrastive import log_mean_score, noise_contrastive_loss
from rstoolbox.registry import TRANSFER_LOSSES

TAU = float(np.float32(0.07))  # as the original holds it
LAYERS = {'student': 'embed_s.linear', 'teacher': 'embed_t.linear'}


@pytest.mark.parametrize('case', ['a_same_shapes', 'b_wider_teacher', 'c_student_larger_maps'])
def test_noise_contrastive_loss_equals_the_published_value_and_gradient(shared, case):
    folder = shared('golden/kd')
    expected = json.loads((folder / 'feature_losses.json').read_text())[case]['losses']['CRD']['f64']
    arrays = np.load(folder / 'feature_losses.npz', allow_pickle=False)

    def read(name):
        return torch.from_numpy(arrays[f'{case}/{name}']).double()

    pooled = {side: read(f'{side}_pooled').requires_grad_() for side in LAYERS}
    layers = {side: [read(f'CRD/param/{name}.{part}').requires_grad_() for part in ('weight', 'bias')]
              for side, name in LAYERS.items()}
    entries = torch.from_numpy(arrays[f'{case}/crd_contrast_index'])
    total = 0
    # The student meets the teacher's memory, and the other way round; Z / 30 items is the mean score.
    for side, memory, constant in (('student', 'memory_v2', 2), ('teacher', 'memory_v1', 3)):
        anchors = F.normalize(F.linear(pooled[side], *layers[side]))
        scores = torch.einsum('bd,bkd->bk', anchors, read(f'CRD/param/contrast.{memory}')[entries]) / TAU
        log_mean = math.log(arrays[f'{case}/CRD/state/params_after'][constant] / 30)
        negatives = torch.ones(scores.shape[0], scores.shape[1] - 1, dtype=torch.bool)
        total = total + 0.8 * noise_contrastive_loss(scores[:, 0], scores[:, 1:], negatives, log_mean)
    total.backward()
    assert total.item() == pytest.approx(expected, rel=1e-6)
    gradients = {'grad/pooled': pooled['student'].grad}
    for side, name in LAYERS.items():
        gradients[f'grad_param/{name}.weight'], gradients[f'grad_param/{name}.bias'] = (
            part.grad for part in layers[side])
    for name, gradient in gradients.items():
        published = arrays[f'{case}/CRD/{name}']
        # The original adds 1e-7 to its denominators.
        np.testing.assert_allclose(gradient.numpy(), published, rtol=1e-6, atol=1e-6 * np.abs(published).max())


def test_mean_score_of_random_directions_has_its_closed_forms():
    assert log_mean_score(1, 0.07) == pytest.approx(math.log(math.cosh(1 / 0.07)))
    assert log_mean_score(3, 0.5) == pytest.approx(math.log(math.sinh(2) / 2))
    directions = F.normalize(torch.randn(20000, 128, dtype=torch.float64))
    scores = (directions[:10000] * directions[10000:]).sum(dim=1) / 0.07
    assert log_mean_score(128, 0.07) == pytest.approx(scores.exp().mean().log().item(), abs=0.1)


def make(student_width=5, teacher_width=7, **settings):
    loss = TRANSFER_LOSSES.build(dict(type='CRD', **dict(dict(width=6, queue_size=8), **settings)))
    loss.prepare(dict(embedding=torch.zeros(2, student_width)), dict(embedding=torch.zeros(2, teacher_width)))
    return loss


def batch(size=3, dtype=torch.float32):
    return dict(embedding=torch.randn(size, 5, dtype=dtype)), dict(embedding=torch.randn(size, 7, dtype=dtype))


def project(loss, student, teacher):
    return [F.normalize(layer(side['embedding'])).detach() for layer, side in
            ((loss.student_projection, student), (loss.teacher_projection, teacher))]


def plain(loss, now, past, shares):
    """The paper's objective, entry by entry; ``now`` and ``past``: [(student, teacher, label)] of projected samples."""
    total = 0
    mean = math.exp(log_mean_score(loss.width, loss.tau))
    for side in (0, 1):
        for row, sample in enumerate(now):
            others = [entry for place, entry in enumerate([*now, *past])
                      if place != row and not shares(entry[2], sample[2])]
            if not others:
                continue
            scores = [math.exp(sample[side] @ entry[1 - side] / loss.tau) for entry in [sample, *others]]
            judged = [score / (score + len(others) * mean) for score in scores]
            total -= (math.log(judged[0]) + sum(math.log(1 - value) for value in judged[1:])) / len(now)
    return 0.8 * total


LABELS = {
    'indices': (torch.tensor([0, 1, 0]), torch.tensor([2, 1, 4]), lambda a, b: a == b),
    'several': (torch.tensor([[1, 1, 0], [0, 1, 0], [0, 0, 1]]), torch.tensor([[1, 0, 0], [0, 0, 0], [0, 1, 1.]]),
                lambda a, b: (a * b).sum() > 0),
    'none': (None, None, lambda a, b: False),
}


@pytest.mark.parametrize('kind', LABELS)
def test_equals_its_plain_writing_with_batch_and_queue(kind):
    *labels, shares = LABELS[kind]
    loss = make()
    batches = [batch(), batch()]
    samples = [list(zip(*project(loss, *pair), [None] * 3 if label is None else label))
               for pair, label in zip(batches, labels)]
    past = []
    for pair, label, now in zip(batches, labels, samples):
        assert loss(*pair, labels=label).item() == pytest.approx(plain(loss, now, past, shares), rel=1e-4)
        past = now + past


def test_queue_is_first_in_first_out_and_of_its_size():
    loss = make(queue_size=4)
    batches = [batch(), batch()]
    expected = torch.cat([project(loss, *pair)[1] for pair in reversed(batches)])[:4]
    for pair in batches:
        loss(*pair, labels=torch.tensor([0, 1, 2]))
    torch.testing.assert_close(loss.queue.teacher, expected)
    assert loss.queue.classes.long().argmax(dim=1).tolist() == [0, 1, 2, 0]
    assert loss.queue.filled.all()


RANK = """
import sys
import torch
import torch.distributed as dist
from mmengine.hooks import SyncBuffersHook
import rstoolbox.models
from rstoolbox.registry import TRANSFER_LOSSES

rank, folder = int(sys.argv[1]), sys.argv[2]
dist.init_process_group('gloo', init_method=f'file://{folder}/store', rank=rank, world_size=2)
torch.manual_seed(0)
loss = TRANSFER_LOSSES.build(dict(type='CRD', width=6, queue_size=5))
batch = dict(embedding=torch.randn(4, 5)[2 * rank:2 * rank + 2])
loss(batch, batch, labels=torch.tensor([[0, 1], [7, 0]][rank]))
loss(batch, batch, labels=torch.tensor([[0, 1], [7, 0]][rank]))
class runner:
    model = loss
SyncBuffersHook().after_train_epoch(runner)
torch.save(dict(state=loss.state_dict(), now=loss.student_projection(batch['embedding']).detach()), f'{folder}/{rank}')
dist.destroy_process_group()
"""


def test_two_processes_share_a_queue_that_the_averaging_of_buffers_leaves_alone(tmp_path):
    run_ranks(RANK, tmp_path)
    results = [torch.load(tmp_path / str(rank)) for rank in range(2)]
    newest = F.normalize(torch.cat([result['now'] for result in results]))
    for result in results:
        queue = {name.removeprefix('queue.'): value for name, value in result['state'].items()}
        torch.testing.assert_close(queue['student'], torch.cat([newest, newest[:1]]))
        assert [row.nonzero().flatten().tolist() for row in queue['classes']] == [[0], [1], [7], [0], [0]]
        assert queue['filled'].all()


def test_queue_waits_outside_of_training():
    loss = make().eval()
    pair, label = batch(), torch.tensor([0, 1, 2])
    assert loss(*pair, labels=label) == loss(*pair, labels=label)
    assert not loss.queue.filled.any()


def test_goes_on_from_its_state_as_if_never_stopped():
    loss, resumed = make(), make()
    loss(*batch(), labels=torch.tensor([0, 5, 2]))
    resumed.load_state_dict(loss.state_dict())
    pair, label = batch(), torch.tensor([1, 5, 9])
    assert loss(*pair, labels=label) == resumed(*pair, labels=label)
    assert all(torch.equal(value, resumed.state_dict()[name]) for name, value in loss.state_dict().items())


@pytest.mark.parametrize('settings', [{}, dict(queue_size=0)])
def test_nothing_to_contrast_gives_zero(settings):
    loss = make(**settings)
    student, teacher = batch(1)
    student['embedding'].requires_grad_()
    value = loss(student, teacher, labels=torch.tensor([3]))
    value.backward()
    assert value.item() == 0
    assert student['embedding'].grad.abs().max() == 0
    same_class = loss(*batch(1), labels=torch.tensor([3]))
    assert same_class.item() == 0


def test_gradient_equals_finite_differences_and_the_teacher_gets_none():
    loss = make(tau=0.5).double()
    loss(*batch(dtype=torch.float64), labels=torch.tensor([0, 1, 2]))
    loss.eval()
    student, teacher = (side['embedding'].requires_grad_() for side in batch(dtype=torch.float64))
    names, weights = zip(*loss.named_parameters())

    def call(features, *parameters):
        outputs = dict(embedding=features), dict(embedding=teacher), torch.tensor([2, 2, 1])
        return torch.func.functional_call(loss, dict(zip(names, parameters)), outputs)

    assert torch.autograd.gradcheck(call, (student, *weights))
    call(student, *weights).backward()
    assert teacher.grad is None


def test_training_tells_partners_from_others():
    torch.manual_seed(0)
    loss = make(queue_size=16)
    student, teacher = batch(8)
    optimizer = torch.optim.Adam(loss.parameters(), lr=0.02)
    for _ in range(100):
        optimizer.zero_grad()
        loss(student, teacher, labels=torch.arange(8)).backward()
        optimizer.step()
    mapped_student, mapped_teacher = project(loss, student, teacher)
    assert (mapped_student @ mapped_teacher.T).argmax(dim=1).tolist() == list(range(8))


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16, torch.float32])
def test_large_features_stay_finite_under_autocast(dtype):
    loss = make()
    student, teacher = ((100 * side['embedding']).to(dtype) for side in batch(4))
    student.requires_grad_()
    with torch.autocast('cpu', dtype=torch.float16 if dtype == torch.float16 else torch.bfloat16):
        value = loss(dict(embedding=student), dict(embedding=teacher), labels=torch.tensor([0, 1, 2, 0]))
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(student.grad).all()


@pytest.mark.parametrize('settings', [dict(width=0), dict(tau=0.), dict(tau=float('nan')), dict(queue_size=-1)])
def test_bad_settings_are_refused(settings):
    with pytest.raises(ValueError, match='CRD needs width of at least 1, queue_size of at least 0 and tau'):
        TRANSFER_LOSSES.build(dict(type='CRD', **settings))


@pytest.mark.parametrize(('labels', 'message'), [
    (torch.tensor([0, -1, 2]), 'CRD got the label -1, expected class indices from 0'),
    (torch.tensor([0, 1]), r'CRD takes labels of shape \(3,\) or \(3, classes\), got \(2,\)'),
])
def test_bad_labels_are_refused(labels, message):
    with pytest.raises(ValueError, match=message):
        make()(*batch(), labels=labels)


def test_maps_instead_of_embeddings_are_named():
    with pytest.raises(ValueError, match='CRD takes embedding of shape .* but the teacher gives'):
        TRANSFER_LOSSES.build(dict(type='CRD'))(dict(embedding=torch.zeros(2, 8)),
                                                dict(embedding=torch.zeros(2, 8, 4, 4)))
