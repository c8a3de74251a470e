"""Geometries by name."""

import pytest
import torch

from rstoolbox.models.falcon.network import build_network, image_tokens, network_config


def count(*arguments, **options):
    with torch.device('meta'):
        network = build_network(network_config(*arguments, **options))
    return network, sum(value.numel() for value in network.parameters())


def test_numbers_of_parameters_are_the_published_ones():
    assert count('base', 51289)[1] == pytest.approx(231.4e6, abs=5e4)
    assert count('large', 51289)[1] == 776_465_408
    network, parameters = count('large', 51289, max_positions=8192, tied=False)
    assert parameters == 837_373_952
    language = network.model.language_model
    assert language.decoder.embed_tokens.weight is language.encoder.embed_tokens.weight is language.shared.weight
    assert network.lm_head.weight is not language.shared.weight


@pytest.mark.parametrize('size, tokens', [((768, 768), 577), ((448, 448), 197), ((768, 448), 1 + 24 * 14)])
def test_an_image_becomes_its_mean_and_a_token_for_each_cell(size, tokens):
    assert image_tokens(network_config('large', 51289), size) == tokens


def test_the_number_of_image_tokens_is_what_the_network_makes():
    network = build_network(network_config('tiny', 300))
    for width, height in ((64, 64), (100, 37)):
        features = network.get_image_features(torch.zeros(1, 3, height, width))
        assert features.shape[1] == image_tokens(network.config, (width, height))
