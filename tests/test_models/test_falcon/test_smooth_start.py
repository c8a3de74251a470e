"""Coordinates and cells that begin alike where they are near."""

import pytest
import torch

from rstoolbox.models.falcon import Falcon, train_tokenizer


@pytest.fixture(scope='module', params=['tokens', 'text'])
def model(request):
    torch.manual_seed(0)
    tokenizer = train_tokenizer(['Detect all ships: <box><1><2><3><4></box>'], 300, request.param)
    return Falcon('tiny', tokenizer=tokenizer, image_size=(96, 64)), request.param


def similarity(table):
    table = torch.nn.functional.normalize(table.detach(), dim=1)
    return table @ table.T


def test_near_coordinates_begin_alike_and_far_ones_do_not(model):
    model, coordinates = model
    embedding = model.network.get_input_embeddings().weight
    assert embedding.std().item() == pytest.approx(0.06, rel=0.05)
    assert model.network.lm_head.weight is embedding
    if coordinates == 'text':
        return
    ids = model.tokenizer.convert_tokens_to_ids([f'<{number}>' for number in range(1001)])
    likeness = similarity(embedding[ids])
    distance = (torch.arange(1001)[:, None] - torch.arange(1001)).abs()
    near, far = likeness[(distance > 0) & (distance <= 10)], likeness[distance > 300]
    assert near.min() > 0.9 and far.abs().mean() < 0.2
    words = embedding[[number for number in range(300) if number not in ids]]
    assert similarity(words).fill_diagonal_(0).abs().mean() < 0.15


def test_cells_of_the_image_begin_alike_where_they_are_near(model):
    place = model[0].network.model.multi_modal_projector.image_position_embed
    for table, count in ((place.column_embeddings, 6), (place.row_embeddings, 4)):
        assert table.weight.square().mean().item() == pytest.approx(1, abs=0.3)
        likeness = similarity(table.weight[:count])
        assert likeness.diagonal(1).mean() > likeness.diagonal(count - 1).mean() + 0.2
