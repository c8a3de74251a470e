"""A model as a folder: what it holds is taken up again, and what is wrong with a file is said."""

import json

import pytest
import torch

from rstoolbox.models import CheckpointError, Falcon


@pytest.mark.parametrize('name, content, message', [
    ('config.json', [], "config.json' holds a list, expected names with values"),
    ('config.json', dict(vision_config=None), 'describes a model of the type None'),
    ('preprocessor_config.json', dict(size=64), "key 'size': expected a width and a height in pixels, got 64"),
    ('preprocessor_config.json', dict(size=dict(shortest_edge=64)), "key 'size': expected a width and a height"),
    ('generation_config.json', 3, "generation_config.json' holds a int")])
def test_a_folder_with_a_file_of_another_form_names_it(build, tmp_path, name, content, message):
    build().save_pretrained(tmp_path)
    (tmp_path / name).write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match=message):
        Falcon.from_pretrained(tmp_path)


def test_what_marks_a_sequence_is_published_where_a_folder_does_not_say_it(build, batch, tmp_path):
    build().save_pretrained(tmp_path)
    (tmp_path / 'generation_config.json').write_text(json.dumps(dict(num_beams=1, max_new_tokens=4)))
    loaded = Falcon.from_pretrained(tmp_path, constrain=True)
    assert loaded.network.generation_config.decoder_start_token_id == 2
    assert not loaded.test_step(batch((0,)))[0].pred_answer.failures
    loaded.save_pretrained(tmp_path / 'again')
    again = Falcon.from_pretrained(tmp_path / 'again').network.generation_config
    assert again.to_dict() == loaded.network.generation_config.to_dict()
    assert again.num_beams == 1 and not again.early_stopping


def test_a_folder_of_weights_that_went_astray_is_refused(build, tmp_path):
    model = build()
    torch.nn.init.constant_(model.network.lm_head.weight, float('nan'))
    model.save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="model.safetensors' has weights that are NaN"):
        Falcon.from_pretrained(tmp_path)
