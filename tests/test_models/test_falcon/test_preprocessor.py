"""Images and texts as the network reads them."""

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import Florence2Processor

from rstoolbox.structures import FalconDataSample

PROMPT = 'Count the number of ship.'


def prepare(model, image, prompt=PROMPT, answer=None, training=False):
    sample = FalconDataSample(metainfo=dict(sample_id='harbour 7'), prompt=prompt, answer=answer)
    return model.data_preprocessor(dict(inputs=[image], data_samples=[sample]), training)['inputs']


def smooth(height, width):
    y, x = np.mgrid[:height, :width]
    channels = [127 + 100 * np.sin(x / 9 + phase) * np.cos(y / 7) for phase in range(3)]
    return np.stack(channels, 2).astype(np.uint8)


@pytest.mark.parametrize('shape', [(32, 64), (120, 90), (17, 150)])
def test_it_prepares_what_transformers_processor_prepares(build, tmp_path, shape):
    model, image = build(image_size=(64, 32)), smooth(*shape)
    model.save_pretrained(tmp_path)
    processor = Florence2Processor.from_pretrained(tmp_path)
    expected = processor(images=[Image.fromarray(image)], text=[PROMPT], return_tensors='pt')
    inputs = prepare(model, torch.from_numpy(image))
    assert torch.equal(inputs['input_ids'], expected['input_ids'])
    assert torch.equal(inputs['attention_mask'], expected['attention_mask'])
    # a grey level is 1 / 255 / 0.225 = 0.0174; Pillow rounds after each direction, this once
    assert (inputs['pixel_values'] - expected['pixel_values']).abs().max() < 0.036
    assert 'labels' not in inputs


def test_labels_are_the_answer_between_its_marks_and_padding_is_ignored(build, batch):
    model = build()
    inputs = model.data_preprocessor(batch((0, 1)), True)['inputs']
    two = model.tokenizer('2', add_special_tokens=False).input_ids
    assert inputs['labels'][1].tolist() == [0, *two, 2] + [-100] * (inputs['labels'].shape[1] - 2 - len(two))
    assert model.tokenizer.decode(inputs['labels'][0]) == f'<s>{batch()["data_samples"][0].answer}</s>'


def test_a_long_answer_is_cut_after_a_whole_object_and_its_end_is_not_taught(build, batch, logged):
    model = build()
    box = '<box><100><200><300><400></box>'
    labels = prepare(model, torch.zeros(8, 8, 3, dtype=torch.uint8), answer=box * 20, training=True)['labels'][0]
    text = model.tokenizer.decode(labels)
    kept = text.count('<box>')
    assert len(labels) <= 64 and 1 <= kept < 20 and text == '<s>' + box * kept
    assert len(model.tokenizer(box * (kept + 1), add_special_tokens=False).input_ids) + 2 > 64
    assert any(f"'harbour 7' is too long for 64 positions: {20 - kept} of its 20 objects" in line for line in logged)


@pytest.mark.parametrize('texts, message', [
    (dict(prompt='Look at <image> now.'), "prompt of record 'harbour 7' contains '<image>'"),
    (dict(prompt='Stop.</s>'), "contains '</s>'"),
    (dict(answer='<pad>'), "answer of record 'harbour 7' contains '<pad>'"),
    (dict(prompt='word ' * 99), "prompt of record 'harbour 7' has .* 64 positions"),
    (dict(answer='word ' * 99), "answer of record 'harbour 7' has .* cannot be cut"),
    (dict(prompt=''), "'harbour 7' has no prompt"),
    (dict(prompt=None), "'harbour 7' has no prompt"),
    (dict(answer=None), "'harbour 7' has no answer"),
])
def test_texts_that_cannot_be_written_name_the_record(build, texts, message):
    with pytest.raises(ValueError, match=message):
        prepare(build(), torch.zeros(8, 8, 3, dtype=torch.uint8), **{'answer': '2', **texts}, training=True)


@pytest.mark.parametrize('image', [torch.zeros(3, 8, 8, dtype=torch.uint8), torch.zeros(8, 8, 3),
                                   torch.zeros(8, 8, dtype=torch.uint8), torch.zeros(0, 8, 3, dtype=torch.uint8)])
def test_images_of_another_form_name_the_record(build, image):
    with pytest.raises(ValueError, match=r"image of record 'harbour 7' has shape .*expected \(height, width, 3\)"):
        prepare(build(), image)


def test_coordinates_that_are_special_tokens_pass(build):
    model = build()
    model.tokenizer.add_tokens(['<poly>', '</poly>'], special_tokens=True)
    inputs = prepare(model, torch.zeros(8, 8, 3, dtype=torch.uint8), 'Classify <poly><1><2><3><4><5><6></poly>.')
    assert model.tokenizer.convert_tokens_to_ids('<poly>') in inputs['input_ids']


def test_an_image_that_comes_again_is_encoded_once_and_changes_neither_loss_nor_gradients(build, batch):
    found = []
    for paths in (('a', 'a', 'b', 'a'), (None,) * 4):
        model, data = build().train(), batch((0, 1, 2, 0))
        # Of one name but other pixels: the third record of 'a' is no repetition.
        data['inputs'] = [data['inputs'][row] for row in (0, 0, 2, 1)]
        for sample, path in zip(data['data_samples'], paths):
            sample.set_metainfo(dict(img_path=path))
        inputs = model.data_preprocessor(data, True)['inputs']
        loss = model.double().loss({key: value.double() if key == 'pixel_values' else value
                                    for key, value in inputs.items()}, data['data_samples'])['loss']
        loss.backward()
        gradients = torch.cat([weight.grad.flatten() for weight in model.parameters() if weight.grad is not None])
        found.append((inputs['image_rows'].tolist(), len(inputs['pixel_values']), loss.detach(), gradients))
    (rows, images, loss, gradients), (own_rows, own_images, own_loss, own_gradients) = found
    assert (rows, images) == ([0, 0, 1, 2], 3) and (own_rows, own_images) == ([0, 1, 2, 3], 4)
    torch.testing.assert_close(loss, own_loss)
    torch.testing.assert_close(gradients, own_gradients)
