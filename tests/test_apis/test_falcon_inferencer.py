"""Asking a Falcon about images, from Python and from the command line."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from commands import run_command
from rstoolbox.apis import FalconInferencer, falcon_inferencer
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


@pytest.mark.parametrize('mode', ['RGBA', 'L', 'P', 'LA', 'CMYK', '1'])
def test_a_picture_is_read_as_its_file_is(ask, folder, tmp_path, mode):
    picture = Image.open(folder / 'a.png').convert(mode)
    path = tmp_path / ('a.tif' if mode == 'CMYK' else 'a.png')
    picture.save(path)
    first, second = ask([picture, path], 'IMG_CLS')
    assert first.pred_answer.text == second.pred_answer.text
    assert first.pred_answer.scores.tolist() == second.pred_answer.scores.tolist()


def test_rules_of_one_inferencer_are_not_those_of_another(folder):
    model = Falcon.from_pretrained(folder / 'model', generation=dict(num_beams=2))
    first, second = (FalconInferencer(model, device='cpu', max_new_tokens=count) for count in (5, 9))
    assert model.generation == dict(no_repeat_ngram_size=0, num_beams=2)
    assert first.model.generation['max_new_tokens'] == 5 and second.model.generation['max_new_tokens'] == 9
    with pytest.raises(ValueError, match="generation: there is no rule 'beams'"):
        FalconInferencer(model, device='cpu', beams=2)


def test_a_pair_of_dates(ask, folder, tmp_path):
    sample, = ask((folder / 'a.png', folder / 'b.png'), 'PIX_CHG', out_dir=tmp_path)
    assert sample.image_size == (60, 40) and (tmp_path / 'b_PIX_CHG.png').is_file()


def test_images_of_one_name_each_keep_their_answer(ask, folder, tmp_path):
    (tmp_path / 'later').mkdir()
    twin = shutil.copy(folder / 'b.png', tmp_path / 'later/a.png')
    ask([folder / 'a.png', twin], 'IMG_CLS', out_dir=tmp_path / 'out')
    written = {path.name: json.loads(path.read_text())['image'] for path in (tmp_path / 'out').glob('*.json')}
    assert written == {'a_IMG_CLS.json': str(folder / 'a.png'), 'a_2_IMG_CLS.json': str(twin)}
    second = shutil.copy(folder / 'b.png', tmp_path / 'a_2.png')
    ask([folder / 'a.png', second, twin], 'IMG_CLS', out_dir=tmp_path / 'three')
    written = {path.name: json.loads(path.read_text())['image'] for path in (tmp_path / 'three').glob('*.json')}
    assert written == {'a_IMG_CLS.json': str(folder / 'a.png'), 'a_2_IMG_CLS.json': str(second),
                       'a_3_IMG_CLS.json': str(twin)}


def test_a_folder_stands_for_its_images_and_two_for_the_pairs_of_one_name(ask, folder, tmp_path):
    for place, names in (('before', ('y.png', 'x.png')), ('after', ('x.png', 'y.png')), ('other', ('x.png',))):
        (tmp_path / place).mkdir()
        for name in names:
            shutil.copy(folder / 'a.png', tmp_path / place / name)
    (tmp_path / 'before/notes.txt').touch()
    (tmp_path / 'empty').mkdir()
    found = ask([tmp_path / 'before', folder / 'b.png'], 'IMG_CLS')
    assert [sample.img_path for sample in found] == [
        str(path) for path in (tmp_path / 'before/x.png', tmp_path / 'before/y.png', folder / 'b.png')]
    assert [sample.img_path for sample in ask((tmp_path / 'before', tmp_path / 'after'), 'PIX_CHG')] == [
        f'{tmp_path}/before/{name} {tmp_path}/after/{name}' for name in ('x.png', 'y.png')]
    for images, message in (((tmp_path / 'before', tmp_path / 'other'), "Not all of the folders .* image 'y.png'"),
                            ((tmp_path / 'before', folder / 'a.png'), 'before. is a folder, the other is none'),
                            ((tmp_path / 'before', tmp_path / 'empty'), 'empty. holds no image')):
        with pytest.raises(ValueError, match=message):
            ask(images, 'PIX_CHG')


def test_only_the_given_classes_are_answered(ask, folder):
    classes = ['tennis court', 'river']
    for task in ('IMG_CLS', 'REG_CLS_HBB', 'REG_CLS_OBB', 'PIX_CLS'):
        for sample in ask([folder / 'a.png', folder / 'b.png'], task, classes=classes, **SLOTS.get(task, {})):
            assert sample.pred_answer.labels and set(sample.pred_answer.labels) <= set(classes)
    free = FalconInferencer(folder / 'model', device='cpu', constrain=False)
    with pytest.raises(ValueError, match='constrain=True'):
        free(folder / 'a.png', 'IMG_CLS', classes=classes)


def test_each_answer_comes_with_its_batch(ask, folder, tmp_path):
    (tmp_path / 'cut.png').write_bytes((folder / 'b.png').read_bytes()[:-500])
    answers = ask.answers([folder / 'a.png', tmp_path / 'cut.png'], 'IMG_CLS', batch_size=1)
    assert next(answers).pred_answer.text
    with pytest.raises(ValueError, match='cut.png.* is cut off'):
        next(answers)


def test_several_images_are_answered_in_their_order(ask, folder):
    assert ask(Image.open(folder / 'a.png'), 'IMG_CAP')[0].image_size == (60, 40)
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
    ('a.png', 'REG_CAP', dict(bbox=[60, 0, 90, 40]), 'region of the prompt lies outside .*a.png.* of 60 x 40 pix'),
    ('a.png', 'PIX_CLS', dict(polygon=[-9, 0, -1, 0, -1, 9]), 'x from -9 to -1, y from 0 to 9'),
    ('a.png', 'IMG_CAP', dict(classes=['ship']), 'IMG_CAP does not answer with class names'),
    ('a.png', 'IMG_CLS', dict(classes=['ship, boat']), "cannot write the label 'ship, boat'"),
    ('a.png', 'IMG_CLS', dict(batch_size=0), 'batch_size .*1 or more, got 0'),
])
def test_wrong_questions_say_what_is_wrong(ask, folder, images, task, slots, message):
    with pytest.raises((ValueError, KeyError, FileNotFoundError), match=message):
        ask(folder / images, task, **slots)


def test_a_region_is_drawn_in_any_form_that_the_prompt_takes(ask, folder, tmp_path):
    box, ring, hole = [4, 4, 20, 20], [[4, 4], [20, 4], [20, 20], [4, 20]], [[6, 6], [9, 6], [9, 9]]
    flat = ask(folder / 'a.png', 'REG_CAP', out_dir=tmp_path / 'flat', bbox=box)[0]
    rows = ask(folder / 'a.png', 'REG_CAP', out_dir=tmp_path / 'rows', bbox=np.reshape(box, (2, 2)))[0]
    turned = ask(folder / 'a.png', 'REG_CAP', bbox=[20, 4, 4, 20])[0]
    assert flat.prompt == rows.prompt == turned.prompt == 'Describe the <box><66><100><333><500></box> in this image.'
    assert (tmp_path / 'flat/a_REG_CAP.png').read_bytes() == (tmp_path / 'rows/a_REG_CAP.png').read_bytes()
    sample, = ask(folder / 'a.png', 'PIX_CLS', out_dir=tmp_path, polygon=[ring, hole])
    assert '<sep>' in sample.prompt and (tmp_path / 'a_PIX_CLS.png').is_file()


def test_answers_are_written_as_they_come(ask, folder, tmp_path):
    (tmp_path / 'cut.png').write_bytes((folder / 'b.png').read_bytes()[:-500])
    with pytest.raises(ValueError, match='cut.png.* is cut off'):
        ask([folder / 'a.png', tmp_path / 'cut.png'], 'IMG_CLS', out_dir=tmp_path / 'out', batch_size=1)
    assert (tmp_path / 'out/a_IMG_CLS.json').is_file()


def test_what_is_wrong_is_found_before_the_first_answer(ask, folder, tmp_path):
    with pytest.raises(FileNotFoundError, match='gone.png'):
        ask([folder / 'a.png', folder / 'gone.png'], 'IMG_CLS', out_dir=tmp_path / 'out', batch_size=1)
    assert not list((tmp_path / 'out').iterdir())
    Image.new('RGB', (30, 40)).save(tmp_path / 'narrow.png')
    pairs = [(folder / 'a.png', folder / name) for name in ('b.png', tmp_path / 'narrow.png')]
    with pytest.raises(ValueError, match="a.png' is 60 x 40 and '.*narrow.png' is 30 x 40"):
        ask(pairs, 'PIX_CHG', out_dir=tmp_path / 'out', batch_size=1)
    assert not list((tmp_path / 'out').iterdir())
    (tmp_path / 'file').touch()
    with pytest.raises(ValueError, match="out_dir: '.*file' is a file"):
        ask(folder / 'gone.png', 'IMG_CLS', out_dir=tmp_path / 'file')


def test_a_device_that_is_not_there_and_more_tokens_than_positions(folder):
    with pytest.raises(ValueError, match="The device 'nowhere' cannot be used"):
        FalconInferencer(folder / 'model', device='nowhere')
    ask = FalconInferencer(folder / 'model', device='cpu', constrain=False, num_beams=1, max_new_tokens=1000)
    # More would be refused by the table of positions; what random weights say does not matter.
    assert len(ask(folder / 'a.png', 'IMG_CAP')) == 1


def test_unequal_pairs_and_models_without_weights(ask, tmp_path):
    with pytest.raises(ValueError, match='60 x 40.*30 x 40'):
        ask((np.zeros((40, 60, 3), np.uint8), np.zeros((40, 30, 3), np.uint8)), 'PIX_CHG')
    for strange, message in ((np.zeros((0, 5, 3), np.uint8), r'uint8, got \(0, 5, 3\)'),
                             (Image.new('I;16', (4, 4)), "eight bits a value, got the mode 'I;16'")):
        with pytest.raises(ValueError, match=message):
            ask(strange, 'IMG_CLS')
    with pytest.raises(ValueError, match='uint8'):
        ask(np.zeros((40, 60, 3)), 'IMG_CLS')
    with pytest.raises(ValueError, match='give a checkpoint'):
        FalconInferencer('configs/falcon/tiny_mini.py')
    with pytest.raises(ValueError, match="no config file 'nowhere.py'"):
        FalconInferencer('nowhere.py')
    for path in ('work_dirs/nowhere', 'falcon.pth'):
        with pytest.raises(ValueError, match=f"'{path}' is neither the folder of a model nor a config.*checkpoint"):
            FalconInferencer(path)
    (tmp_path / 'open.py').write_text('model = dict(')
    with pytest.raises(ValueError, match='open.py, line 1 is no Python'):
        FalconInferencer(tmp_path / 'open.py', 'falcon.pth')


def test_the_command_prints_json_and_writes_pictures(folder, tmp_path):
    command = ['predict.py', f'{folder}/a.png', '--model', f'{folder}/model', '--beams', '1']
    done = run_command(*command, '--task', 'REG_CLS_HBB', '--prompt', '4,4,20,20', '--out', tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)['task'] == 'REG_CLS_HBB'
    assert (tmp_path / 'a_REG_CLS_HBB.png').is_file()
    bad = run_command(*command, '--task', 'IMG_CLS', '--prompt', 'ship')
    assert bad.returncode == 1 and 'takes no --prompt' in bad.stderr
    for task, option, message in (('PIX_CHG', [], 'is about two dates: name the later ones by --image2'),
                                  ('IMG_CAP', ['--image2', 'b.png'], 'is about one date: leave --image2 out')):
        bad = run_command(*command, '--task', task, *option)
        assert bad.returncode == 2 and f'{task} {message}' in bad.stderr
    for option, message in (('--out', '--out: '), ('--beams', "'0' is no whole number from 1 on"),
                            ('--batch-size', "'0' is no whole number from 1 on")):
        bad = run_command(*command, '--task', 'IMG_CLS', option, f'{folder}/a.png' if option == '--out' else '0')
        assert bad.returncode and message in bad.stderr and 'Traceback' not in bad.stderr


def test_where_pictures_are_that_are_only_shown_is_told(ask, folder, monkeypatch):
    shown, told = [], []
    monkeypatch.setattr(Image.Image, 'show', lambda image: shown.append(image.filename))
    monkeypatch.setattr(falcon_inferencer, 'print_log', lambda text, *_: told.append(text))
    ask(folder / 'a.png', 'IMG_CLS', show=True)
    assert told == [f'The pictures that are shown are in {Path(shown[0]).parent}']
