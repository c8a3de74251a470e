"""The loss of an image's cells: which of them hold what the prompt asks for."""

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from rstoolbox.heads import head_for
from rstoolbox.heads.base import ABSENT
from rstoolbox.models.falcon.cell_loss import START, CellLoss
from rstoolbox.structures import FalconDataSample


def sample(task, answer, img_path='scene.png', size=(100, 50)):
    made = FalconDataSample(metainfo=dict(task=task, img_path=img_path, image_size=size))
    made.gt_answer = head_for(task).decode(answer, size)
    return made


def target_of(task, answer):
    """The cells, of two rows of three, that a record names."""
    rows, targets = CellLoss(10, 4, (3, 2))._targets([sample('IMG_CT', '2.'), sample(task, answer)])
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


def batch_of(prompts, image_tokens):
    """Prompts of word numbers, padded on the right."""
    length = max(map(len, prompts))
    ids = [[9] * image_tokens + prompt + [1] * (length - len(prompt)) for prompt in prompts]
    mask = [[1] * (image_tokens + len(prompt)) + [0] * (length - len(prompt)) for prompt in prompts]
    return dict(input_ids=torch.tensor(ids), attention_mask=torch.tensor(mask))


@torch.no_grad()
def test_each_word_is_a_linear_classifier_and_padding_is_none():
    torch.manual_seed(0)
    loss, features = CellLoss(10, 4, (3, 2)), torch.randn(2, 7, 4)
    inputs = batch_of([[3, 4, 4], [5]], 7)
    # The second record is about the first image, the first about the second.
    inputs['image_rows'] = torch.tensor([1, 0])
    samples = [sample('REG_DET_HBB', '<box><0><0><200><200></box>'), sample('PIX_SEG', ABSENT)]
    words = loss.words.weight
    logits = torch.stack([features[1, 1:] @ (words[3] + 2 * words[4]), features[0, 1:] @ words[5]]) + START
    expected = binary_cross_entropy_with_logits(logits, torch.tensor([[1., 0, 0, 0, 0, 0], [0.] * 6]))
    assert float(loss(features, inputs, samples)) == pytest.approx(float(expected), rel=1e-6)


@pytest.mark.parametrize('others', [
    [sample('IMG_CT', '2.'), sample('REG_CLS_HBB', 'ship.')],
    [sample('PIX_CHG', '<poly><10><10><200><10><200><90></poly>', ['before.png', 'after.png']),
     FalconDataSample(metainfo=dict(img_path='scene.png'))]])
def test_records_that_name_no_place_in_one_image_do_not_count(others):
    torch.manual_seed(0)
    loss, features = CellLoss(10, 4, (3, 2)), torch.randn(3, 7, 4, requires_grad=True)
    counted = sample('REG_VG', '<box><400><600><600><900></box>')
    inputs = batch_of([[3, 4], [5], [6]], 7)
    alone = loss(features[:1], {key: value[:1] for key, value in inputs.items()}, [counted])
    assert torch.allclose(loss(features, inputs, [counted, *others]), alone)
    nothing = loss(features, {key: value[1:] for key, value in inputs.items()}, others)
    assert nothing == 0
    # All its weights take part even so, without which processes that train together would wait for one another.
    nothing.backward()
    assert all(weight.grad is not None and not weight.grad.any() for weight in loss.parameters())


def test_a_falcon_learns_by_it_and_is_saved_without_it(build, batch, tmp_path):
    model, data = build(cell_loss=2.), batch()
    for record in data['data_samples']:
        record.set_metainfo(dict(img_path='scene.png'))
        record.gt_answer = head_for(record.task).decode(record.answer, record.image_size)
    data = model.data_preprocessor(data, True)
    losses = model.loss(**data)
    plain = build()
    assert torch.allclose(losses['loss'], plain.loss(**data)['loss'])
    assert 'loss_cells' not in plain.loss(**data)
    expected = model.cell_loss(model.network.get_image_features(data['inputs']['pixel_values']), data['inputs'],
                               data['data_samples'])
    assert torch.allclose(losses['loss_cells'], 2 * expected)
    losses['loss_cells'].backward()
    assert all(weight.grad.abs().sum() > 0 for weight in model.network.model.vision_tower.convs.parameters())
    model.save_pretrained(tmp_path / 'model')
    again = build(pretrained=tmp_path / 'model')
    assert again.cell_loss is None
    assert torch.equal(again.logits(data['inputs']), model.eval().logits(data['inputs']))
