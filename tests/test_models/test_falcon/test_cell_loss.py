"""The loss of an image's cells: which of them hold what the prompt asks for."""

import pytest
import torch
from PIL import Image
from torch.nn.functional import binary_cross_entropy_with_logits

from rstoolbox.datasets.falcon import FalconSFT, Record, write_records
from rstoolbox.heads import head_for
from rstoolbox.heads.base import ABSENT
from rstoolbox.models.falcon.cell_loss import START, CellLoss
from rstoolbox.models.falcon.network import encode
from rstoolbox.structures import FalconDataSample


def sample(task, answer, size=(100, 50)):
    made = FalconDataSample(metainfo=dict(task=task, image_size=size))
    made.gt_answer = head_for(task).decode(answer, size)
    return made


def target_of(task, answer):
    """The cells, of two rows of three, that a record names."""
    rows, targets = CellLoss(4, (3, 2))._targets([sample('IMG_CT', '2.'), sample(task, answer)])
    assert rows == [1]
    return targets.reshape(2, 3).tolist()


@pytest.mark.parametrize('task, answer, right', [
    ('REG_DET_HBB', '<box><0><0><200><200></box><box><900><900><1000><1000></box>', [(0, 0), (1, 2)]),
    ('REG_VG', '<box><400><600><600><900></box>', [(1, 1)]),
    ('REG_DET_OBB', '<quad><800><100><900><200><800><300><700><200></quad>', [(0, 2)]),
    ('PIX_SEG', '<poly><10><510><200><510><200><900></poly>', [(1, 0)]),
    ('PIX_SEG', ABSENT, [])])
def test_the_cell_of_an_objects_centre_is_right(task, answer, right):
    cells = target_of(task, answer)
    assert {(row, column) for row in range(2) for column in range(3) if cells[row][column]} == set(right)


def test_changes_of_a_pair_lie_in_the_upper_left_of_its_canvas(tmp_path):
    for name in ('before.png', 'after.png'):
        Image.new('RGB', (96, 64)).save(tmp_path / name)
    answer = '<poly><260><10><400><10><400><90></poly>'  # on the canvas, as the data set reads it
    write_records([Record(['before.png', 'after.png'], task='PIX_CHG', prompt='Find changes in the two images.',
                          answer=answer)], tmp_path / 'records.jsonl')
    item = FalconSFT(tmp_path / 'records.jsonl', tmp_path)[0]
    rows, targets = CellLoss(4, (6, 4))._targets([item['data_samples']])
    assert rows == [0] and targets.reshape(4, 6).nonzero().tolist() == [[0, 1]]


@torch.no_grad()
def test_each_cell_is_told_apart_by_its_state():
    torch.manual_seed(0)
    loss, hidden = CellLoss(4, (3, 2)), torch.randn(2, 9, 4)
    samples = [sample('REG_DET_HBB', '<box><0><0><200><200></box>'), sample('PIX_SEG', ABSENT)]
    logits = hidden[:, 1:7] @ loss.read.weight[0] + START
    expected = binary_cross_entropy_with_logits(logits, torch.tensor([[1., 0, 0, 0, 0, 0], [0.] * 6]))
    assert float(loss(hidden, samples)) == pytest.approx(float(expected), rel=1e-6)


def test_records_that_name_no_place_do_not_count():
    torch.manual_seed(0)
    loss, hidden = CellLoss(4, (3, 2)), torch.randn(3, 9, 4, requires_grad=True)
    counted = sample('REG_VG', '<box><400><600><600><900></box>')
    others = [sample('IMG_CT', '2.'), FalconDataSample()]
    assert torch.allclose(loss(hidden, [counted, *others]), loss(hidden[:1], [counted]))
    nothing = loss(hidden[1:], others)
    assert nothing == 0
    # All its weights take part even so, without which processes that train together would wait for one another.
    nothing.backward()
    assert all(weight.grad is not None and not weight.grad.any() for weight in loss.parameters())


def test_a_falcon_learns_by_it_and_is_saved_without_it(build, batch, tmp_path):
    model, data = build(cell_loss=2.), batch()
    for record in data['data_samples']:
        record.gt_answer = head_for(record.task).decode(record.answer, record.image_size)
    data = model.data_preprocessor(data, True)
    losses = model.loss(**data)
    plain = build()
    assert torch.allclose(losses['loss'], plain.loss(**data)['loss'])
    assert 'loss_cells' not in plain.loss(**data)
    inputs = data['inputs']
    image = model.network.get_image_features(inputs['pixel_values'])
    hidden = encode(model.network, image, inputs['input_ids'], inputs['attention_mask'], inputs['image_rows'])
    expected = model.cell_loss(hidden, data['data_samples'])
    assert torch.allclose(losses['loss_cells'], 2 * expected)
    losses['loss_cells'].backward()
    assert all(weight.grad.abs().sum() > 0 for weight in model.network.model.vision_tower.convs.parameters())
    model.save_pretrained(tmp_path / 'model')
    again = build(pretrained=tmp_path / 'model')
    assert again.cell_loss is None
    assert torch.equal(again.logits(data['inputs']), model.eval().logits(data['inputs']))
