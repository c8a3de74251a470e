"""Dicts that inherit another by reference: late, with keys of their own, and with errors that name the nearest key."""

import pytest

from rstoolbox.engine.config import ConfigError, load_config, resolve

BASE = """
size = 64
nets = dict(
    small=dict(type='mmpretrain.ResNet', depth=18, norm_cfg=dict(type='BN', eps=1e-5)),
    large=dict(type='mmpretrain.ResNet', depth=50, stem_channels='${size}'))
net = 'small'
first = dict(_inherit_='${nets.${net}}')
second = dict(_inherit_='${nets.${net}}', depth=34)
again = '${second}'
chain = [dict(_inherit_='${second}', base_channels=8)]
"""


@pytest.fixture
def base(tmp_path):
    path = tmp_path / 'base.py'
    path.write_text(BASE)
    return path


def test_a_dict_holds_what_it_inherits_and_its_own_keys(base):
    cfg = resolve(load_config(base))
    small = dict(type='mmpretrain.ResNet', depth=18, norm_cfg=dict(type='BN', eps=1e-5))
    assert cfg.first == small and cfg.second == cfg.again == dict(small, depth=34)
    assert cfg.chain[0] == dict(small, depth=34, base_channels=8)


def test_what_is_inherited_is_chosen_by_the_last_override(base, tmp_path):
    child = tmp_path / 'child.py'
    child.write_text("_base_ = './base.py'\nsecond = dict(norm_cfg=dict(eps=1e-3))\n")
    assert resolve(load_config(child)).second.norm_cfg == dict(type='BN', eps=1e-3)
    large = resolve(load_config(child, {'net': 'large', 'size': 32})).second
    assert large == dict(type='mmpretrain.ResNet', depth=34, stem_channels=32, norm_cfg=dict(eps=1e-3))


def test_an_override_of_one_heir_leaves_the_others_alone(base):
    cfg = resolve(load_config(base, {'first.depth': 101, 'first.norm_cfg.eps': 0.1, 'first.deep_stem': True}))
    assert (cfg.first.depth, cfg.first.norm_cfg.eps, cfg.first.deep_stem) == (101, 0.1, True)
    assert (cfg.second.depth, cfg.second.norm_cfg.eps, cfg.nets.small.depth) == (34, 1e-5, 18)


def test_an_override_reaches_what_is_inherited_beside_a_key_of_its_own(base, tmp_path):
    child = tmp_path / 'child.py'
    child.write_text("_base_ = './base.py'\nsecond = dict(norm_cfg=dict(eps=1e-3))\n")
    cfg = resolve(load_config(child, {'second.norm_cfg.type': 'SyncBN'}))
    assert cfg.second.norm_cfg == dict(type='SyncBN', eps=1e-3) and cfg.first.norm_cfg.type == 'BN'


def test_a_reference_that_is_inherited_is_followed(base):
    cfg = resolve(load_config(base, {'net': 'large', 'first.stem_channels': 16}))
    assert cfg.first.stem_channels == cfg.second.stem_channels == cfg.size == 16


def test_an_heir_can_start_afresh(base, tmp_path):
    child = tmp_path / 'child.py'
    child.write_text("_base_ = './base.py'\nfirst = dict(_delete_=True, type='mmpretrain.MobileNetV2')\n")
    assert resolve(load_config(child)).first == dict(type='mmpretrain.MobileNetV2')


@pytest.mark.parametrize(('options', 'message'), [
    ({'net': 'smal'}, "'nets.smal' not found at key 'first._inherit_'. Nearest keys: nets.small"),
    ({'first.dept': 3}, "'dept' is not a key of first. Did you mean 'first.depth'"),
    ({'first.norm_cfg.epz': 3}, "Did you mean 'first.norm_cfg.eps'"),
    ({'first.depth.deeper': 3}, "'first.depth' is 18, which has no keys"),
])
def test_what_is_wrong_is_named(base, options, message):
    with pytest.raises(ConfigError) as error:
        resolve(load_config(base, options))
    assert message in str(error.value)
