"""The model: its loss, its answers, and how it is trained."""

import math

import numpy as np
import pytest
import torch
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from torch.nn.functional import cross_entropy
from transformers import Florence2ForConditionalGeneration

from rstoolbox.engine.cpu_amp import CPUAmpOptimWrapper
from rstoolbox.models import CheckpointError, Falcon, NonFiniteLossError
from rstoolbox.models.falcon import train_tokenizer
from rstoolbox.models.falcon.network import shift_right
from rstoolbox.registry import MODELS
from rstoolbox.structures import FalconDataSample


def one_by_one(batch):
    for row in range(len(batch['inputs'])):
        yield {key: value[row:row + 1] for key, value in batch.items()}


@torch.no_grad()
def loss_of(model, batch):
    return model(**model.data_preprocessor(batch, True), mode='loss')['loss']


def trained(model, batch, steps=30, wrapper=OptimWrapper, **options):
    model.train()
    weights = [value for value in model.parameters() if value.requires_grad]
    optimizer = wrapper(optimizer=torch.optim.AdamW(weights, 3e-3), **options)
    losses = [model.train_step(batch, optimizer)['loss'].item() for _ in range(steps)]
    model.eval()
    return losses


@pytest.mark.parametrize('rows', [(0, 1, 2), (2, 0, 1, 0, 2, 1, 0, 1, 2)], ids=['few', 'more than groups of lengths'])
def test_the_loss_is_the_mean_over_the_tokens_of_all_answers(build, batch, rows):
    model, records = build(), batch(rows)
    with torch.no_grad():
        inputs = model.data_preprocessor(records, True)['inputs']
        logits = model(inputs)
    tokens = [model.tokenizer(f'<s>{sample.answer}</s>', add_special_tokens=False).input_ids
              for sample in records['data_samples']]
    terms = [-torch.log_softmax(logits[row, place], 0)[token] for row, ids in enumerate(tokens)
             for place, token in enumerate(ids)]
    assert loss_of(model, records) == pytest.approx(float(torch.stack(terms).mean()), rel=1e-5)


def test_a_batch_gives_the_losses_that_its_members_give(build, batch):
    model, records = build(), batch()
    with torch.no_grad():
        inputs = model.data_preprocessor(records, True)['inputs']
        logits = model(inputs)
    for row, single in enumerate(one_by_one(records)):
        together = cross_entropy(logits[row], inputs['labels'][row])
        assert loss_of(model, single) == pytest.approx(float(together), rel=1e-5)


@pytest.mark.parametrize('beams', [1, 3])
def test_a_batch_gives_the_answers_that_its_members_give_every_time(build, batch, beams):
    model = build(generation=dict(num_beams=beams, max_new_tokens=16))
    trained(model, batch(), steps=8)
    together = [sample.pred_answer for sample in model.test_step(batch())]
    again = [sample.pred_answer for sample in model.test_step(batch())]
    alone = [model.test_step(single)[0].pred_answer for single in one_by_one(batch())]
    for answer, other, single in zip(together, again, alone):
        assert answer.text == other.text == single.text
        np.testing.assert_allclose(answer.scores, single.scores, rtol=1e-4)


def test_padding_gets_no_gradient_and_changes_nothing(build, batch):
    model, records = build(), batch()
    inputs = model.data_preprocessor(records, True)['inputs']
    embedding = model.network.get_input_embeddings()
    read = []

    def keep(module, ids, output):
        output.retain_grad()
        read.append(output)

    hook = embedding.register_forward_hook(keep)
    model.loss(inputs, records['data_samples'])['loss'].backward()
    hook.remove()
    padding = inputs['attention_mask'][:, model.data_preprocessor.image_tokens:] == 0
    assert padding.any() and not read[0].grad[padding].any() and read[0].grad[~padding].any()

    longer = dict(inputs, input_ids=torch.cat([inputs['input_ids'], torch.ones(3, 5, dtype=int)], 1),
                  attention_mask=torch.cat([inputs['attention_mask'], torch.zeros(3, 5, dtype=int)], 1),
                  labels=torch.cat([inputs['labels'], torch.full((3, 4), -100)], 1))
    with torch.no_grad():
        assert torch.allclose(model.loss(longer, records['data_samples'])['loss'],
                              model.loss(inputs, records['data_samples'])['loss'], rtol=1e-5)


@pytest.mark.parametrize('coordinates', ['text', 'tokens'])
def test_it_learns_a_batch_by_heart_and_is_then_sure_of_its_boxes(build, batch, coordinates):
    records = batch()
    texts = [text for sample in records['data_samples'] for text in (sample.prompt, sample.answer)]
    model = build(tokenizer=train_tokenizer(texts, 400, coordinates), generation=dict(num_beams=2, max_new_tokens=60))
    losses = trained(model, records, steps=60)
    assert losses[2] < losses[0] and losses[-1] < 0.05
    ships, count, water = (sample.pred_answer for sample in model.test_step(batch()))
    # bins 100 200 300 400 of 1000, of an image of 320 x 400 pixels; read as the centres of bins
    np.testing.assert_allclose(ships.bboxes, [[32.16, 80.2, 96.16, 160.2], [160.16, 80.2, 224.16, 160.2]])
    assert ships.scores.shape == (2,) and (ships.scores > 0.8).all() and (ships.scores <= 1).all()
    assert count.text == '2' and count.count == 2 and count.scores.shape == (1,)
    assert len(water.polygons) == 1 and water.scores.shape == (1,) and water.scores[0] > 0.8


def test_constrained_answers_can_be_read_without_any_training(build, batch):
    model = build(constrain=True, generation=dict(num_beams=2, max_new_tokens=40))
    answers = [sample.pred_answer for sample in model.test_step(batch())]
    assert [answer.failures for answer in answers] == [0, 0, 0]
    assert answers[1].count is not None
    assert all(((0 <= answer.scores) & (answer.scores <= 1)).all() for answer in answers)
    records = batch()
    del records['data_samples'][2].task
    with pytest.raises(ValueError, match="'r2' has no task"):
        model.test_step(records)


def test_any_number_of_prompts_comes_back_in_order(build, batch):
    model = build()
    trained(model, batch(), steps=8)
    rows = (2, 0, 1, 0, 2)
    expected = [sample.pred_answer.text for sample in model.test_step(batch(rows))]
    records = batch(rows)
    answered = model.answer(records['inputs'], records['data_samples'], batch_size=2)
    assert [sample.sample_id for sample in answered] == [f'r{row}' for row in rows]
    assert [sample.pred_answer.text for sample in answered] == expected


def test_two_steps_lower_the_loss_with_gradient_checkpointing_as_without(build, batch):
    plain = trained(build(), batch(), steps=3)
    again = trained(build(gradient_checkpointing=True), batch(), steps=3)
    assert plain[2] < plain[0]
    assert again == pytest.approx(plain, rel=1e-4)


def test_gradient_checkpointing_computes_image_and_text_layers_twice(build, batch):
    model = build(gradient_checkpointing=True).train()
    calls = dict(image=0, text=0)
    language = model.network.model.language_model

    def count(kind):
        def hook(*_):
            calls[kind] += 1
        return hook

    model.network.model.vision_tower.blocks[0][0].spatial_block.register_forward_hook(count('image'))
    language.encoder.layers[0].self_attn.register_forward_hook(count('text'))
    model(**model.data_preprocessor(batch(), True), mode='loss')['loss'].backward()
    assert calls == dict(image=2, text=2)


def test_bfloat16_trains(build, batch):
    losses = trained(build(), batch(), steps=20, wrapper=CPUAmpOptimWrapper)
    exact = trained(build(), batch(), steps=1)
    assert losses[0] == pytest.approx(exact[0], rel=0.02) and losses[-1] < losses[0] / 2


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
def test_bfloat16_trains_and_answers_on_a_gpu(build, batch):
    model = build().cuda()
    losses = trained(model, batch(), steps=20, wrapper=AmpOptimWrapper, dtype='bfloat16')
    assert losses[-1] < losses[0] / 2
    with torch.autocast('cuda', torch.bfloat16):
        assert all(sample.pred_answer.scores.size for sample in model.test_step(batch()))


def test_compiled_steps_give_the_losses_of_plain_ones(build, batch):
    plain, model = trained(build(), batch(), steps=1), build()
    # What takes minutes to trace is the optimizer in train_step, which the runner's switch compiles too.
    model.forward = torch.compile(model.forward, backend='eager')
    assert trained(model, batch(), steps=1) == pytest.approx(plain, rel=1e-4)


def test_a_config_builds_it_with_the_tokenizer_of_a_folder(tmp_path):
    train_tokenizer(['Describe it.', 'A river.'], vocab_size=300).save_pretrained(tmp_path)
    config = dict(type='Falcon', geometry='tiny', image_size=(64, 32), max_positions=64,
                  tokenizer=str(tmp_path))
    model = MODELS.build(config)
    assert model.image_size == (64, 32) and model.data_preprocessor.image_tokens == 1 + 4 * 2
    assert 1e6 < sum(value.numel() for value in model.parameters()) < 3e6
    sample = FalconDataSample(prompt='Describe it.', answer='A river.')
    batch = dict(inputs=[torch.zeros(10, 20, 3, dtype=torch.uint8)], data_samples=[sample])
    assert loss_of(model, batch) == pytest.approx(math.log(len(model.tokenizer)), rel=0.2)
    assert model.eval().test_step(batch)[0].pred_answer.scores.shape == (1,)


def test_a_loss_that_is_no_number_names_the_records(build, batch):
    model = build()
    model.network.lm_head.weight.data.fill_(float('nan'))
    with pytest.raises(NonFiniteLossError, match='r0, r1, r2'):
        loss_of(model, batch())


@pytest.mark.parametrize('arguments, message', [
    (dict(geometry=None), 'either a geometry'),
    (dict(geometry='huge'), "no geometry 'huge'.*tiny, base, large"),
    (dict(geometry='lage'), "nearest is 'large'"),
    (dict(tokenizer=None), 'needs a tokenizer'),
    (dict(image_size=4000), '50'),
])
def test_wrong_arguments_are_explained(build, arguments, message):
    with pytest.raises(ValueError, match=message):
        build(**arguments)


def test_a_record_with_a_task_but_no_size_is_named(build, batch):
    records = batch()
    del records['data_samples'][1].image_size
    with pytest.raises(ValueError, match="'r1' of IMG_CT has no image_size"):
        build().test_step(records)


def test_an_unknown_mode_is_explained(build):
    with pytest.raises(ValueError, match="'loss', 'predict' or 'tensor', not 'train'"):
        build()({}, mode='train')


def test_a_checkpoint_of_another_model_or_tokenizer_is_refused(build, tokenizer):
    model, state = build(), build(max_positions=32).state_dict()
    with pytest.raises(CheckpointError, match=r'embed_positions.weight \(34, 128\) instead of \(66, 128\)'):
        model.load_state_dict(state)
    with pytest.raises(CheckpointError, match='144 that only one of both has .network.model.vision_tower'):
        model.load_state_dict({key: value for key, value in model.state_dict().items() if 'vision' not in key})
    other = build()
    other.vocabulary += 1
    with pytest.raises(CheckpointError, match='another tokenizer'):
        model.load_state_dict(other.state_dict())


def test_a_checkpoint_that_went_astray_is_refused(build, tmp_path):
    model = build()
    state = model.state_dict()
    state['network.lm_head.weight'] = state['network.lm_head.weight'] * float('nan')
    torch.save(dict(state_dict=state), tmp_path / 'nan.pth')
    with pytest.raises(CheckpointError, match='nan.pth.* NaN or infinite .first: network.lm_head.weight'):
        model.load_weights(tmp_path / 'nan.pth')


@pytest.mark.parametrize('tied', [True, False])
def test_transformers_own_class_reads_a_saved_model(build, batch, tmp_path, tied):
    model = build(tied=tied)
    model.save_pretrained(tmp_path)
    native = Florence2ForConditionalGeneration.from_pretrained(tmp_path).eval()
    inputs = model.data_preprocessor(batch(), True)['inputs']
    labels = inputs.pop('labels')
    with torch.no_grad():
        logits = native(**inputs, decoder_input_ids=shift_right(labels)).logits
        assert torch.allclose(logits, model(dict(inputs, labels=labels)), atol=1e-4)


def test_from_pretrained_takes_up_what_was_saved(build, batch, tmp_path):
    model = build(tied=False, image_size=(32, 64))
    trained(model, batch(), steps=2)
    model.save_pretrained(tmp_path)
    loaded = Falcon.from_pretrained(tmp_path)
    assert loaded.image_size == (32, 64) and loaded.network.config.text_config.tie_word_embeddings is False
    assert loss_of(loaded, batch()) == loss_of(model, batch())
    language = loaded.network.model.language_model
    assert language.shared.weight is language.encoder.embed_tokens.weight is language.decoder.embed_tokens.weight
    assert loaded.network.lm_head.weight is not language.shared.weight


def test_a_folder_in_float16_whose_rules_forbid_repeats_is_used_as_any_other(build, batch, tmp_path):
    model = build()
    model.network.half().generation_config.no_repeat_ngram_size = 3
    model.save_pretrained(tmp_path)
    loaded = Falcon.from_pretrained(tmp_path, generation=dict(num_beams=1, max_new_tokens=4))
    assert loaded.test_step(batch((1,)))[0].pred_answer.scores.shape == (1,)
    assert {weight.dtype for weight in loaded.network.parameters()} == {torch.float32}
    assert loaded.generation['no_repeat_ngram_size'] == 0


@pytest.mark.parametrize('options, message', [
    (dict(image_size=0), 'image_size is one whole number of pixels or .* got 0'),
    (dict(image_size='96'), "got '96'"), (dict(image_size=(96,)), r'got \(96,\)'), (dict(image_size=96.5), 'got 96.5'),
    (dict(image_size=128, max_positions=64), '128 x 128 pixels becomes 65 tokens.* no room for a prompt in 64'),
])
def test_an_image_size_that_cannot_be_is_said_at_once(build, options, message):
    with pytest.raises(ValueError, match=message):
        build(**options)
