"""Confidence of answers."""

import numpy as np
import pytest
import torch

from rstoolbox.heads import head_for
from rstoolbox.models.falcon.generation import generate, read_answer, read_tokens
from rstoolbox.models.falcon.optional import optional

from .test_falcon import trained


def test_every_token_knows_its_characters_and_a_character_of_several_tokens_stands_once(tokenizer):
    text = 'Détect 水 <box><1></box>'
    ids = [0, *tokenizer(text, add_special_tokens=False).input_ids, 2, 1]
    generated = read_tokens(tokenizer, ids, np.zeros(len(ids)))
    assert generated.text == text
    assert ''.join(text[start:end] for start, end in generated.spans) == text
    assert len(generated.spans) == len(generated.log_probs) == len(ids) - 3


def test_confidence_is_the_geometric_mean_over_the_tokens_of_a_span(tokenizer):
    ids = tokenizer('ship water', add_special_tokens=False).input_ids
    generated = read_tokens(tokenizer, ids, -np.arange(1., 1 + len(ids)))
    start, end = generated.spans[1]
    assert generated.confidence(start, end) == pytest.approx(np.exp(-2))
    assert generated.confidence() == pytest.approx(np.exp(-(1 + len(ids)) / 2))
    assert generated.confidence(len(generated.text)) == 0


def test_each_object_gets_the_confidence_of_its_own_tokens(tokenizer):
    boxes = ['<box><1><2><3><4></box>', '<box><5><6><7></box>', '<box><5><6><7><8></box>']  # the second is broken
    lengths = [len(tokenizer(box, add_special_tokens=False).input_ids) for box in boxes]
    ids = [token for box in boxes for token in tokenizer(box, add_special_tokens=False).input_ids]
    values = np.repeat(np.log([0.9, 0.5, 0.2]), lengths)
    answer = read_answer(head_for('REG_DET_HBB'), read_tokens(tokenizer, ids, values), (1000, 1000))
    assert answer.bboxes[:, 0].tolist() == [1.5, 5.5] and answer.failures == 1
    np.testing.assert_allclose(answer.scores, [0.9, 0.2])


def test_log_probabilities_are_those_of_the_search(build, batch):
    model = build()
    trained(model, batch(), steps=8)
    inputs = model.data_preprocessor(batch())['inputs']
    del inputs['labels'], inputs['image_rows']  # transformers' own search knows neither
    generated = generate(model.network, model.tokenizer, **inputs, num_beams=1, max_new_tokens=10)
    searched = model.network.generate(**inputs, num_beams=1, early_stopping=False, max_new_tokens=10,
                                      output_logits=True, return_dict_in_generate=True)
    for row, answer in enumerate(generated):
        # the first token is the forced <s>, which is no part of the text, nor is the forced </s> at the end
        expected = [torch.log_softmax(logits[row], 0)[token].item() for logits, token in zip(
            searched.logits, searched.sequences[row, 1:]) if token not in (0, 1, 2)]
        np.testing.assert_allclose(answer.log_probs, expected, rtol=1e-3, atol=1e-4)


def test_a_package_that_is_absent_is_named_at_its_first_use():
    absent = optional('package_that_nobody_has.part')
    with pytest.raises(ImportError, match="'package_that_nobody_has', which is not installed. .*falcon"):
        absent.anything()


@pytest.mark.parametrize('generation, message', [
    (dict(beamz=2), "there is no rule 'beamz'"), (dict(num_beam=2), "nearest is 'num_beams'"),
    (dict(num_beams=0), 'num_beams is a whole number of at least 1, got 0'),
    (dict(num_beams='3'), "num_beams is a whole number of at least 1, got '3'"),
    (dict(max_new_tokens=2.5), 'max_new_tokens is a whole number of at least 1, got 2.5'),
    (dict(num_beams=None), 'num_beams is a whole number of at least 1, got None'),
    (dict(max_length=6), 'max_length is not left to be set.*max_new_tokens'),
    (dict(max_time=0.1), 'max_time is not left to be set'),
    (dict(num_return_sequences=2), 'num_return_sequences is not left to be set')])
def test_rules_of_generation_that_cannot_be_followed_are_said_at_once(build, generation, message):
    with pytest.raises(ValueError, match=f'generation: .*{message}'):
        build(generation=generation)
