"""A student that starts from the RGB encoder of a matcher."""

import pytest
import torch

from rstoolbox.models import CheckpointError, load_state, save_student
from rstoolbox.registry import MODELS


@pytest.fixture
def matcher_file(classifier_config, tmp_path):
    """A function that writes a matcher's checkpoint, of which only the RGB encoder's backbone counts."""

    def write(width):
        encoder = MODELS.build(classifier_config(width=width))
        weights = {f'encoders.rgb.{key}': value for key, value in encoder.state_dict().items() if 'backbone' in key}
        save_student(tmp_path / 'matcher.pth', weights, {})
        return str(tmp_path / 'matcher.pth'), encoder.backbone.state_dict()

    return write


def distiller(classifier_config, start):
    return MODELS.build(dict(type='Distiller', student=classifier_config(), losses={}, start=start, image_size=32))


def test_the_student_starts_from_the_matchers_rgb_encoder(classifier_config, matcher_file):
    path, saved = matcher_file(width=8)
    model = distiller(classifier_config, path)
    model.init_weights()
    weights = model.student.backbone.state_dict()
    assert weights.keys() == saved.keys()
    for key, value in saved.items():
        assert torch.equal(weights[key], value), key


def test_an_encoder_of_another_kind_is_no_start(classifier_config, matcher_file, tmp_path):
    path, _ = matcher_file(width=16)
    with pytest.raises(CheckpointError, match=r"rgb_encoder.backbone='\$\{student.backbone\}'"):
        distiller(classifier_config, path).init_weights()
    save_student(tmp_path / 'classifier.pth', MODELS.build(classifier_config()).state_dict(), {})
    with pytest.raises(CheckpointError, match='not the checkpoint of a SceneMatcher'):
        distiller(classifier_config, str(tmp_path / 'classifier.pth')).init_weights()


def test_an_encoder_whose_training_went_astray_is_no_start(classifier_config, matcher_file):
    path, _ = matcher_file(width=8)
    weights = load_state(path)['state_dict']
    weights['encoders.rgb.backbone.bn1.bias'][0] = float('nan')
    save_student(path, weights, {})
    with pytest.raises(CheckpointError, match=r'matcher.pth.*NaN or infinite \(first: bn1.bias\)'):
        distiller(classifier_config, path).init_weights()
