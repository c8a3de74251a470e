"""The matcher: its loss, what it learns, its modes, two ranks, bad configs."""

import math

import pytest
import torch
import torch.nn.functional as F
from mmpretrain.structures import DataSample

from commands import run_ranks
from rstoolbox.evaluation import MatcherMetric
from rstoolbox.models import CheckpointError, load_state, save_student
from rstoolbox.models.sembridge.matcher import SceneMatcher, info_nce
from rstoolbox.registry import MODELS

RGB = ('R', 'G', 'B')
MS = ('B02', 'B03', 'B04', 'B08')


def encoder(bands, mean=0.5, neck=True):
    return dict(type='SceneClassifier', bands=bands,
                backbone=dict(type='ResNet', depth=18, stem_channels=8, base_channels=8),
                neck=dict(type='GlobalAveragePooling') if neck else None,
                data_preprocessor=dict(statistics={band: dict(mean=mean, std=0.25) for band in bands}))


@pytest.fixture
def matcher():
    torch.manual_seed(0)
    model = MODELS.build(dict(type='SceneMatcher', ms_encoder=encoder(MS), rgb_encoder=encoder(RGB), embedding_dim=16))
    model.init_weights()
    return model


def batch(size=8, seed=0):
    """Scenes of few colours, so that a small network soon tells them apart."""
    random = torch.Generator().manual_seed(seed)
    ms = torch.rand(size, 4, 1, 1, generator=random).expand(size, 4, 32, 32)
    ms = ms + 0.05 * torch.rand(size, 4, 32, 32, generator=random)
    return dict(inputs=dict(ms=list(ms), rgb=list(ms[:, [2, 1, 0]])), data_samples=[DataSample() for _ in range(size)])


def test_info_nce_is_the_mean_of_both_directions():
    ms, rgb = (F.normalize(torch.randn(5, 8), dim=1) for _ in range(2))
    similarity = 14 * ms @ rgb.T
    rows = -similarity.log_softmax(1).diagonal()
    columns = -similarity.log_softmax(0).diagonal()
    assert torch.allclose(info_nce(ms, rgb, 14), (rows + columns) / 2, atol=1e-5)


def test_it_learns_to_bring_both_views_together(matcher):
    optimizer = torch.optim.Adam(matcher.parameters(), 3e-3)
    losses = []
    for _ in range(30):
        data = matcher.data_preprocessor(batch(), True)
        loss = matcher(**data, mode='loss')['loss']
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
    assert matcher.log_scale.item() != pytest.approx(-math.log(0.07))


def test_predict_gives_what_the_loss_of_all_batches_together_is_made_of(matcher):
    matcher.eval()
    whole, metric = batch(12), MatcherMetric()
    with torch.no_grad():
        expected = matcher(**matcher.data_preprocessor(batch(12)), mode='loss')['loss'].item()
        for part in (slice(0, 8), slice(8, 12)):
            inputs = {side: images[part] for side, images in whole['inputs'].items()}
            samples = matcher.val_step(dict(inputs=inputs, data_samples=whole['data_samples'][part]))
            metric.process(None, [sample.to_dict() for sample in samples])
    assert metric.evaluate(12)['loss'] == pytest.approx(expected, rel=1e-4)


def test_embeddings_are_normalised_and_of_raw_images(matcher):
    matcher.eval()
    data = batch()
    with torch.no_grad():
        ms, rgb = matcher(matcher.data_preprocessor(data)['inputs'])
        assert torch.allclose(matcher.embed_ms(data['inputs']['ms']), ms, atol=1e-6)
        assert torch.allclose(matcher.embed_rgb(torch.stack(data['inputs']['rgb'])), rgb, atol=1e-6)
    assert torch.allclose(ms.norm(dim=1), torch.ones(8))


def test_the_scale_is_held_at_100_and_comes_back(matcher):
    with torch.no_grad():
        matcher.log_scale.fill_(9.)
    loss = matcher(**matcher.data_preprocessor(batch(seed=2)), mode='loss')['loss']
    assert matcher.scale.item() == pytest.approx(100, rel=1e-4)
    loss.backward()
    assert matcher.log_scale.grad != 0


def test_it_starts_from_its_own_checkpoint(matcher):
    other = SceneMatcher(encoder(MS), encoder(RGB), embedding_dim=16)
    other.load_state_dict(matcher.state_dict())
    assert torch.equal(other.eval().embed_ms(batch()['inputs']['ms']), matcher.eval().embed_ms(batch()['inputs']['ms']))


def test_bad_configs_and_batches_are_named(matcher):
    with pytest.raises(ValueError, match='rgb_encoder must end in one feature'):
        SceneMatcher(encoder(MS), encoder(RGB, neck=False))
    with pytest.raises(ValueError, match='temperature must be at least'):
        SceneMatcher(encoder(MS), encoder(RGB), temperature=0.)
    with pytest.raises(ValueError, match='PackMatcherInputs'):
        matcher.data_preprocessor(dict(inputs=[torch.zeros(4, 8, 8)]))


RANK = """
import sys
import warnings
import torch
import torch.distributed as dist
import torch.nn.functional as F
from rstoolbox.models.sembridge.matcher import of_all_ranks, info_nce

warnings.simplefilter('error', FutureWarning)
rank, folder = int(sys.argv[1]), sys.argv[2]
dist.init_process_group('gloo', init_method=f'file://{folder}/store', rank=rank, world_size=2)
weight = torch.arange(6.).reshape(2, 3).requires_grad_()
images = torch.randn(4, 2, 2, generator=torch.Generator().manual_seed(0))[2 * rank:2 * rank + 2]
info_nce(*(of_all_ranks(F.normalize(images[:, view] @ weight, dim=1)) for view in range(2)), 5.).mean().backward()
dist.all_reduce(weight.grad)
torch.save(weight.grad / 2, f'{folder}/{rank}.pt')
dist.destroy_process_group()
"""


def test_two_ranks_give_the_gradient_of_one(tmp_path):
    run_ranks(RANK, tmp_path)
    weight = torch.arange(6.).reshape(2, 3).requires_grad_()
    images = torch.randn(4, 2, 2, generator=torch.Generator().manual_seed(0))
    info_nce(*(F.normalize(images[:, view] @ weight, dim=1) for view in range(2)), 5.).mean().backward()
    for rank in range(2):
        assert torch.allclose(torch.load(tmp_path / f'{rank}.pt'), weight.grad, atol=1e-6)


@pytest.fixture
def teacher_config():
    return dict(encoder(MS), head=dict(type='LinearClsHead', num_classes=3, in_channels=64))


@pytest.fixture
def teacher_file(teacher_config, tmp_path):
    teacher = MODELS.build(teacher_config)
    save_student(tmp_path / 'teacher.pth', teacher.state_dict(), dict(bands=MS))
    return str(tmp_path / 'teacher.pth')


def test_a_teacher_as_encoder_is_read_and_never_changes(teacher_config, teacher_file):
    model = MODELS.build(dict(type='SceneMatcher', ms_encoder=teacher_config, rgb_encoder=encoder(RGB),
                              teacher_checkpoint=teacher_file))
    model.init_weights()
    optimizer = torch.optim.Adam((p for p in model.parameters() if p.requires_grad), 3e-3)
    stem = model.encoders.rgb.backbone.conv1.weight
    stem_before = stem.detach().clone()
    model.train()
    losses = []
    for _ in range(20):
        loss = model(**model.data_preprocessor(batch(), True), mode='loss')['loss']
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    saved = load_state(teacher_file)['state_dict']
    after = model.encoders.ms.state_dict()
    assert all(torch.equal(after[key], saved[key]) for key in saved)
    assert not torch.equal(stem, stem_before)


def test_a_checkpoint_of_another_teacher_is_refused(teacher_file):
    other = dict(encoder(MS), head=dict(type='LinearClsHead', num_classes=4, in_channels=64))
    model = MODELS.build(dict(type='SceneMatcher', ms_encoder=other, rgb_encoder=encoder(RGB),
                              teacher_checkpoint=teacher_file))
    with pytest.raises(CheckpointError, match='tells 3 classes apart'):
        model.init_weights()


def test_a_head_that_is_not_used_waits_for_no_gradient(teacher_config):
    model = MODELS.build(dict(type='SceneMatcher', ms_encoder=teacher_config, rgb_encoder=encoder(RGB)))
    model(**model.data_preprocessor(batch(), True), mode='loss')['loss'].backward()
    assert [name for name, weight in model.named_parameters() if weight.requires_grad and weight.grad is None] == []
