"""Every named network of ``configs/_base_/models/nets.py`` as teacher and as student, and the pairs of them."""

import copy
import math
from pathlib import Path

import pytest
import torch
from mmpretrain.structures import DataSample

from rstoolbox.engine.config import ConfigError, load_config, resolve
from rstoolbox.registry import DISTILLERS, MODELS, TRANSFER_LOSSES

SEMBRIDGE = Path(__file__).resolve().parents[2] / 'configs/sembridge/r18_ms2rgb.py'
EXPERIMENT = load_config(SEMBRIDGE)
PAIRS = [
    # the six of the paper
    ('resnet34', 'resnet34'), ('mobilenet_v2', 'mobilenet_v2'), ('shufflenet_v2_x0_5', 'shufflenet_v2_x0_5'),
    ('resnet34', 'mobilenet_v2'), ('resnet34', 'shufflenet_v2_x0_5'), ('mobilenet_v2', 'shufflenet_v2_x0_5'),
    ('resnet18', 'resnet18'), ('resnet50', 'resnet18'), ('swin_tiny', 'resnet18'),
    ('convnext_tiny', 'mobilenet_v3_large'), ('vit_small', 'vit_tiny'),
    ('timm_efficientnet_b0', 'timm_mobilenetv3_small')]


def resolved(teacher='resnet18', student='resnet18', values=None):
    cfg = copy.deepcopy(EXPERIMENT)
    cfg.merge_from_dict(dict(teacher_net=teacher, student_net=student, **(values or {})))
    return resolve(cfg)


def distiller(teacher, student, losses, taps=None, values=None):
    cfg = resolved(teacher, student, values)
    return DISTILLERS.build(dict(type='Distiller', student=cfg.student, teacher=cfg.teacher, losses=losses, taps=taps,
                                 image_size=64))


def steps(model, count=2, batch=4):
    """Train on one batch; the losses of every step."""
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    images = dict(student=torch.randn(batch, 3, 64, 64), teacher=torch.randn(batch, 10, 64, 64))
    samples = [DataSample(metainfo=dict(sample_id=f's{row}')).set_gt_label(row) for row in range(batch)]
    history = []
    for _ in range(count):
        losses = {name: value for name, value in model(images, samples, mode='loss').items() if 'loss' in name}
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
        history.append({name: value.item() for name, value in losses.items()})
    return history


@pytest.mark.parametrize('net', EXPERIMENT.nets)
def test_each_net_reads_the_bands_of_either_side(net):
    cfg = resolved(net, net)
    for side, bands in (('teacher', 10), ('student', 3)):
        model = MODELS.build(cfg[side]).eval()
        with torch.no_grad():
            maps = model.backbone(torch.randn(2, bands, 64, 64))[-1]
            embedding = model.neck((maps,))[-1]
            logits = model.head((embedding,))
        assert maps.ndim == 4 and maps.shape[:2] == (2, cfg.nets[net].width)
        assert logits.shape == (2, 8) and torch.isfinite(logits).all()


@pytest.mark.parametrize('net', EXPERIMENT.nets)
def test_the_layout_in_memory_changes_no_net_but_by_rounding(net):
    images = torch.randn(2, 3, 64, 64)
    model = MODELS.build(resolved(student=net).student).eval()
    assert any(weight.ndim == 4 and not weight.is_contiguous() for weight in model.parameters())
    other = MODELS.build(resolved(student=net, values=dict(channels_last=False)).student).eval()
    other.load_state_dict(model.state_dict())
    assert all(weight.is_contiguous() for weight in other.parameters())
    with torch.no_grad():
        torch.testing.assert_close(model(images), other(images), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(('teacher', 'student'), PAIRS)
def test_each_pair_distils_with_the_losses_of_sembridge(teacher, student):
    model = distiller(teacher, student, dict(kd=dict(type='KD', tau=3.), ska=dict(type='SKA')))
    before = copy.deepcopy(model.student.state_dict())
    for losses in steps(model):
        assert set(losses) == {'loss_task', 'loss_kd', 'loss_ska'}
        assert all(map(math.isfinite, losses.values())) and min(losses['loss_task'], losses['loss_kd']) > 0, losses
    moved = [name for name, parameter in model.student.named_parameters() if not torch.equal(before[name], parameter)]
    assert {name.split('.')[0] for name in moved} == {'backbone', 'head'}


@pytest.mark.parametrize(('teacher', 'student', 'stages'), [
    ('swin_tiny', 'vit_tiny', dict(teacher=(2, 3), student=(5, 11))),
    ('timm_efficientnet_b0', 'shufflenet_v2_x0_5', {})])
def test_every_transfer_loss_takes_maps_of_other_sizes_and_widths(teacher, student, stages):
    names = {name for name, kind in TRANSFER_LOSSES.module_dict.items() if kind.__module__.startswith('rstoolbox.')}
    names -= set() if stages else {'KDSVD'}  # which needs two maps
    places = {f'{side}.backbone.out_indices': indices for side, indices in stages.items()}
    model = distiller(teacher, student, {name: dict(type=name) for name in sorted(names)}, values=places)
    (losses,) = steps(model, 1, batch=4)
    assert set(losses) == {'loss_task', *(f'loss_{name}' for name in names)}
    assert all(map(math.isfinite, losses.values())), losses


def test_tokens_with_a_class_token_are_tapped_inside_of_a_transformer():
    last = dict(tokens='backbone.layers.11')
    for student, taps in (('vit_tiny', dict(teacher=last, student=last)), ('resnet18', dict(teacher=last))):
        model = distiller('vit_tiny', student, dict(ska=dict(type='SKA')), taps)
        assert model.teacher.example()['tokens'].shape == (2, 1 + 16, 192)
        assert math.isfinite(steps(model, 1)[0]['loss_ska'])
    with pytest.raises(ValueError, match=r"has no module 'backbone.layers.12' to tap; nearest: .*backbone.layers.11"):
        distiller('vit_tiny', 'resnet18', dict(ska=dict(type='SKA')),
                  dict(teacher=dict(tokens='backbone.layers.12')))
    with pytest.raises(ValueError, match=r"feats='backbone.layers.11' of the teacher gives \(2, 17, 192\), expe"):
        distiller('vit_tiny', 'resnet18', dict(at=dict(type='AT')), dict(teacher=dict(feats='backbone.layers.11')))


@pytest.mark.parametrize(('net', 'near'), [('resnet5', 'nets.resnet50'), ('mobilenetv2', 'nets.mobilenet_v2')])
def test_a_net_of_an_unknown_name_is_an_error_with_the_nearest(net, near):
    with pytest.raises(ConfigError, match=f"nets.{net}.backbone' not found .*Nearest keys: {near}.backbone"):
        resolved(student=net)


def test_a_side_is_changed_without_the_other():
    cfg = resolve(load_config(SEMBRIDGE, {'student_net': 'resnet34', 'student.backbone.base_channels': 8,
                                          'student.head.in_channels': 64}))
    thin = dict(cfg.teacher.backbone, depth=34, base_channels=8)
    assert thin == cfg.student.backbone == cfg.matcher.rgb_encoder.backbone
    assert (cfg.teacher.head.in_channels, cfg.student.head.in_channels) == (512, 64)
