"""Checkpoints of the published layout, there and back."""

import json
import runpy
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers.modeling_outputs import BaseModelOutput

from rstoolbox.models import CheckpointError, Falcon
from rstoolbox.models.falcon.conversion import EMBEDDING, HEAD, from_original, to_original
from rstoolbox.models.falcon.network import encode

TOOL = Path(__file__).resolve().parents[3] / 'tools' / 'model_converters' / 'falcon_from_original.py'
DECODER = 'language_model.model.decoder.embed_{}.weight'


@pytest.fixture
def published(build, tmp_path):
    """A function to a small model of the published layout, with a tokenizer that knows no image token."""

    def make(tied=True):
        build(tied=tied).save_pretrained(tmp_path / 'native')
        to_original(tmp_path / 'native', tmp_path / 'published')
        return tmp_path / 'published'

    return make


@pytest.fixture
def golden(shared, tmp_path):
    """The converted golden checkpoint, and its inputs and outputs."""
    source = shared('golden/florence2_tiny_tied')
    from_original(source, tmp_path / 'golden')
    with np.load(source / 'io.npz') as file:
        return Falcon.from_pretrained(tmp_path / 'golden', image_size=128), {
            key: torch.from_numpy(file[key]) for key in file.files}


def batch_of(model, values, labels='in/labels'):
    image = torch.full((1, model.data_preprocessor.image_tokens), model.network.config.image_token_id)
    ids = torch.cat([image, values['in/input_ids']], 1)
    return dict(pixel_values=values['in/pixel_values'], input_ids=ids, attention_mask=torch.ones_like(ids),
                labels=values[labels])


@torch.no_grad()
def test_the_golden_checkpoint_gives_the_original_logits_and_losses(golden):
    model, values = golden
    batch = batch_of(model, values)
    assert (model(batch) - values['out/logits']).abs().max() < 1e-4
    native = model.network(**{key: value for key, value in batch.items() if key != 'labels'},
                           decoder_input_ids=torch.cat([torch.tensor([[2]]), values['in/labels'][:, :-1]], 1)).logits
    assert (native - values['out/logits']).abs().max() < 1e-4
    for name in ('loss', 'loss_masked'):
        loss = model.loss(batch_of(model, values, f'in/{name.replace("loss", "labels")}'), [{}])['loss']
        assert float(loss) == pytest.approx(float(values[f'out/{name}']), abs=1e-4)
    assert abs(float(values['trap/loss_if_labels_are_shifted_twice'] - values['out/loss'])) > 0.1


@torch.no_grad()
@pytest.mark.parametrize('key, rules', [
    ('greedy_ids', dict(num_beams=1, early_stopping=False, forced_bos_token_id=None, forced_eos_token_id=None)),
    ('greedy_ids_published_rules', dict(num_beams=1, early_stopping=False, no_repeat_ngram_size=3)),
    ('beam3_ids_published_rules', dict(no_repeat_ngram_size=3)),
    ('beam3_ids_plain', dict(early_stopping=False, forced_bos_token_id=None, forced_eos_token_id=None))])
def test_the_golden_checkpoint_generates_the_original_tokens(golden, key, rules):
    model, values = golden
    batch = batch_of(model, values)
    del batch['labels']
    hidden = encode(model.network, model.network.get_image_features(batch.pop('pixel_values')), **batch)
    assert (hidden - values['out/encoder_last_hidden_state']).abs().max() < 1e-4
    ids = model.network.generate(encoder_outputs=BaseModelOutput(hidden), attention_mask=batch['attention_mask'],
                                 max_new_tokens=24, **rules)
    assert torch.equal(ids, values[f'out/{key}'])


@pytest.mark.parametrize('name', ['model.safetensors', 'model_all_keys.safetensors'])
def test_there_and_back_every_weight_of_the_golden_checkpoint_is_the_same(shared, tmp_path, name):
    source = tmp_path / 'source'
    source.mkdir()
    given = shared('golden/florence2_tiny_tied')
    shutil.copy(given / 'config.json', source)
    shutil.copy(given / name, source / 'model.safetensors')
    changes = from_original(source, tmp_path / 'ours')
    to_original(tmp_path / 'ours', tmp_path / 'back')
    expected, back = load_file(given / 'model.safetensors'), load_file(tmp_path / 'back' / 'model.safetensors')
    assert back.keys() == expected.keys() and all(torch.equal(back[key], expected[key]) for key in expected)
    assert {change.key for change in changes if change.action != 'missing'} == load_file(given / name).keys()
    assert [change.key for change in changes if change.action == 'transposed'] == ['image_projection']


@pytest.mark.parametrize('tied', [True, False])
def test_a_token_for_the_image_is_added_and_taken_away_again(published, build, batch, tmp_path, tied):
    source = published(tied)
    state = load_file(source / 'model.safetensors')
    # A network that ends before the token of the image, as the published ones do.
    for key in {EMBEDDING, HEAD} & state.keys():
        state[key] = state[key][:-1].clone()
    state['language_model.final_logits_bias'] = torch.zeros(1, len(state[EMBEDDING]))
    save_file(state, source / 'model.safetensors')
    changes = from_original(source, tmp_path / 'ours')
    assert sum(change.action == 'extended' for change in changes) == (1 if tied else 2)
    model = build(pretrained=tmp_path / 'ours')
    assert (HEAD in state) != tied and model.network.config.text_config.tie_word_embeddings is tied
    with torch.no_grad():
        logits = model(model.data_preprocessor(batch(), True)['inputs'])
    assert logits.shape[-1] == len(state[EMBEDDING]) + 1 and (logits[..., -1] < logits.amax(-1)).all()
    to_original(tmp_path / 'ours', tmp_path / 'back')
    back = load_file(tmp_path / 'back' / 'model.safetensors')
    assert back.keys() == state.keys() and all(torch.equal(back[key], state[key]) for key in state)


def test_pickled_weights_load_as_data_and_pickled_code_is_refused(published, tmp_path):
    source = published()
    state = load_file(source / 'model.safetensors')
    (source / 'model.safetensors').unlink()
    torch.save(state, source / 'pytorch_model.bin')
    from_original(source, tmp_path / 'ours')
    assert Falcon.from_pretrained(tmp_path / 'ours').tokenizer is not None
    torch.save(dict(state, code=print), source / 'pytorch_model.bin')
    with pytest.raises(CheckpointError, match='could run code on loading. Nothing of it was run'):
        from_original(source, tmp_path / 'again')


@pytest.mark.parametrize('change, message', [
    (lambda state: state.pop('image_projection'), '1 missing: model.multi_modal_projector.image_projection.weight'),
    (lambda state: state.update(extra=torch.zeros(1)), '1 unexpected: extra'),
    (lambda state: state.update({'image_proj_norm.bias': torch.zeros(3)}), r'image_proj_norm.bias \(3,\) instead of'),
    (lambda state: state.pop(EMBEDDING), f"they hold no '{EMBEDDING}'"),
    (lambda state: state['language_model.final_logits_bias'].fill_(1), 'is not 0'),
    (lambda state: state.update({DECODER.format('tokens'): torch.zeros(344, 128)}), 'differs'),
    (lambda state: state.update({DECODER.format('positions'): torch.zeros(9, 128)}),
     '66 rows in the encoder and 9 in the decoder'),
])
def test_weights_that_do_not_fit_are_named(published, tmp_path, change, message):
    source = published()
    state = load_file(source / 'model.safetensors')
    change(state)
    save_file(state, source / 'model.safetensors')
    with pytest.raises(CheckpointError, match=message):
        from_original(source, tmp_path / 'ours')
    assert not (tmp_path / 'ours' / 'model.safetensors').exists()


def test_folders_without_what_they_need_say_what_is_missing(published, tmp_path):
    source = published()
    with pytest.raises(CheckpointError, match='layout of the published checkpoints; convert it: python tools/'):
        Falcon.from_pretrained(source)
    with pytest.raises(FileNotFoundError, match='there is no folder'):
        Falcon.from_pretrained(tmp_path / 'nowhere')
    with pytest.raises(CheckpointError, match='vision_config has no .dim_embed.'):
        from_original(tmp_path / 'native', tmp_path / 'ours')
    (tmp_path / 'native' / 'model.safetensors').write_bytes(b'no weights')
    with pytest.raises(CheckpointError, match='is damaged'):
        Falcon.from_pretrained(tmp_path / 'native')
    (tmp_path / 'native' / 'model.safetensors').unlink()
    with pytest.raises(FileNotFoundError, match='holds no model.safetensors'):
        Falcon.from_pretrained(tmp_path / 'native')
    (tmp_path / 'native' / 'config.json').unlink()
    with pytest.raises(FileNotFoundError, match='holds no config.json'):
        Falcon.from_pretrained(tmp_path / 'native')


def test_a_folder_of_another_geometry_names_the_weights(build, tmp_path):
    build().save_pretrained(tmp_path)
    config = json.loads((tmp_path / 'config.json').read_text())
    config['text_config']['decoder_layers'] = 1
    (tmp_path / 'config.json').write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match='unexpected: model.language_model.decoder.layers.1.encoder_attn'):
        Falcon.from_pretrained(tmp_path)


def test_the_tool_reports_every_weight_and_stops_with_one_line(published, tmp_path, monkeypatch, capsys):
    source = published()

    def run(*arguments):
        monkeypatch.setattr(sys, 'argv', [str(TOOL), *map(str, arguments)])
        runpy.run_path(str(TOOL), run_name='__main__')
        return capsys.readouterr().out

    out = run(source, tmp_path / 'ours')
    assert 'transposed  image_projection -> model.multi_modal_projector.image_projection.weight' in out
    assert all(key in out for key in load_file(source / 'model.safetensors'))
    run(tmp_path / 'ours', tmp_path / 'back', '--reverse')
    assert (tmp_path / 'back' / 'model.safetensors').is_file()
    for folder, option in ((source, ()), (tmp_path / 'ours', ('--reverse',))):
        with pytest.raises(SystemExit, match='^error: .*name another folder to write to'):
            run(folder, folder / '.', *option)
    shutil.copytree(source, tmp_path / 'mute', ignore=shutil.ignore_patterns('tokenizer*', 'vocab*', 'merges*'))
    assert 'holds no tokenizer' in run(tmp_path / 'mute', tmp_path / 'mute_ours') and 'holds no tokenizer' not in out
    with pytest.raises(SystemExit, match='^error: .*has the published layout already; leave --reverse out'):
        run(source, tmp_path / 'other', '--reverse')
    with pytest.raises(SystemExit, match='^error: .*nowhere'):
        run(tmp_path / 'nowhere', tmp_path / 'other')
