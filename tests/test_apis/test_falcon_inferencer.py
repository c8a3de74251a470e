"""Asking a Falcon about images, from Python and from the command line."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from rstoolbox.apis import FalconInferencer
from rstoolbox.models.falcon import Falcon, load_tokenizer

TOKENIZER = 'configs/_base_/models/falcon_tiny_tokenizer'
SLOTS = dict(IMG_CT=dict(category='ship'), REG_DET_HBB=dict(category='ship'), REG_DET_OBB=dict(category='ship'),
             PIX_SEG=dict(category='ship'), IMG_VQA=dict(question='What is the ground?'), REG_VG=dict(text='the ship'),
             REG_CLS_HBB=dict(bbox=[4, 4, 20, 20]), REG_CAP=dict(bbox=[4, 4, 20, 20]),
             REG_CLS_OBB=dict(quad=[4, 4, 20, 4, 20, 20, 4, 20]), PIX_CLS=dict(polygon=[4, 4, 20, 4, 20, 20]))
TASKS = ('IMG_CLS', 'IMG_CAP', 'IMG_CAP_DETAILED', *SLOTS)


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """A model with random weights, and two images of one size."""
    root = tmp_path_factory.mktemp('falcon')
    model = Falcon('tiny', tokenizer=load_tokenizer(TOKENIZER), image_size=64, max_positions=256)
    model.save_pretrained(root / 'model')
    rng = np.random.default_rng(0)
    for name in ('a.png', 'b.png'):
        Image.fromarray(rng.integers(0, 256, (40, 60, 3), np.uint8)).save(root / name)
    return root


@pytest.fixture(scope='module')
def ask(folder):
    return FalconInferencer(folder / 'model', device='cpu', constrain=True, num_beams=1, max_new_tokens=40)


@pytest.mark.parametrize('task', TASKS)
def test_every_task_gives_text_json_and_a_picture(ask, folder, tmp_path, task):
    sample, = ask(folder / 'a.png', task, out_dir=tmp_path, **SLOTS.get(task, {}))
    assert sample.pred_answer.text and not sample.pred_answer.failures
    written = json.loads((tmp_path / f'a_{task}.json').read_text())
    assert written['task'] == task and written['text'] == sample.pred_answer.text and written['size'] == [60, 40]
    assert np.allclose(np.reshape(written['bboxes'], (-1, 4)), sample.pred_answer.bboxes, atol=0.01)
    assert Image.open(tmp_path / f'a_{task}.png').size[0] >= 480


def test_a_pair_of_dates(ask, folder, tmp_path):
    sample, = ask((folder / 'a.png', folder / 'b.png'), 'PIX_CHG', out_dir=tmp_path)
    assert sample.image_size == (60, 40) and (tmp_path / 'b_PIX_CHG.png').is_file()


def test_images_of_one_name_each_keep_their_answer(ask, folder, tmp_path):
    (tmp_path / 'later').mkdir()
    twin = shutil.copy(folder / 'b.png', tmp_path / 'later/a.png')
    ask([folder / 'a.png', twin], 'IMG_CLS', out_dir=tmp_path / 'out')
    written = {path.name: json.loads(path.read_text())['image'] for path in (tmp_path / 'out').glob('*.json')}
    assert written == {'a_IMG_CLS.json': str(folder / 'a.png'), 'a_2_IMG_CLS.json': str(twin)}


def test_several_images_are_answered_in_their_order(ask, folder):
    arrays = [np.asarray(Image.open(folder / name)) for name in ('a.png', 'b.png', 'a.png')]
    samples = ask(arrays, 'IMG_CAP', batch_size=2)
    assert samples[0].pred_answer.text == samples[2].pred_answer.text
    assert samples[0].pred_answer.text == ask(folder / 'a.png', 'IMG_CAP')[0].pred_answer.text


@pytest.mark.parametrize('images, task, slots, message', [
    ('a.png', 'REG_DET', {}, 'REG_DET_HBB'),
    ('a.png', 'REG_DET_HBB', {}, "needs 'category'"),
    ('a.png', 'REG_DET_HBB', dict(categry='ship'), "no slot 'categry'.*category"),
    ('a.png', 'PIX_CHG', {}, 'pair of images'),
    ('gone.png', 'IMG_CLS', {}, 'gone.png'),
    ('a.png', 'IMG_VQA', dict(question='<image>?'), 'special token'),
])
def test_wrong_questions_say_what_is_wrong(ask, folder, images, task, slots, message):
    with pytest.raises((ValueError, KeyError, FileNotFoundError), match=message):
        ask(folder / images, task, **slots)


def test_unequal_pairs_and_models_without_weights(ask):
    with pytest.raises(ValueError, match='60 x 40.*30 x 40'):
        ask((np.zeros((40, 60, 3), np.uint8), np.zeros((40, 30, 3), np.uint8)), 'PIX_CHG')
    with pytest.raises(ValueError, match='uint8'):
        ask(np.zeros((40, 60, 3)), 'IMG_CLS')
    with pytest.raises(ValueError, match='give a checkpoint'):
        FalconInferencer('configs/falcon/tiny_mini.py')
    with pytest.raises(ValueError, match="no config file 'nowhere.py'"):
        FalconInferencer('nowhere.py')


def test_the_command_prints_json_and_writes_pictures(folder, tmp_path):
    command = [sys.executable, 'tools/predict.py', f'{folder}/a.png', '--model', f'{folder}/model', '--beams', '1']
    done = subprocess.run([*command, '--task', 'REG_CLS_HBB', '--prompt', '4,4,20,20', '--out', str(tmp_path)],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])['task'] == 'REG_CLS_HBB'
    assert (tmp_path / 'a_REG_CLS_HBB.png').is_file()
    bad = subprocess.run([*command, '--task', 'IMG_CLS', '--prompt', 'ship'], capture_output=True, text=True)
    assert bad.returncode == 1 and 'takes no --prompt' in bad.stderr
