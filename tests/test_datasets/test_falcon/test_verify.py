"""What the check of records finds beside what a training stops at."""

import json

import pytest
from PIL import Image

from commands import run_command
from rstoolbox.datasets.falcon import Record, RecordStore, verify_records, write_records

NAME = dict(task='REG_CLS_HBB', answer='ship.')
ASK = 'Classify the region of {}.\nUse one or a few words.'
GOOD = Record(images=['a.png'], prompt=ASK.format('<box><1><2><30><40></box>'), **NAME)


@pytest.fixture
def folder(tmp_path):
    for name in ('a.png', 'b.png'):
        Image.new('RGB', (8, 8)).save(tmp_path / name)
    return tmp_path


@pytest.mark.parametrize('task, prompt, names', [
    ('REG_CLS_HBB', ASK.format('<box><1><2><30><40></box>'), True),
    ('REG_CLS_HBB', 'Is <box><loc_1><loc_2><loc_30><loc_40></box> a ship?', True),
    ('REG_CLS_HBB', ASK.format('<box><1200><2><30><40></box>'), False),
    ('REG_CLS_HBB', ASK.format('<box><1><2><30></box>'), False),
    ('REG_CLS_HBB', ASK.format('<quad><1><2><30><2><30><40><1><40></quad>'), False),
    ('REG_CLS_HBB', ASK.format('the ship'), False),
    ('REG_CAP', 'Describe the <box><1><2><30><40></box><box><1><2><30><40></box> in this image.', False),
    ('REG_CLS_OBB', ASK.format('<quad><1><2><30><2><30><40><1><40></quad>'), True),
    ('REG_CLS_OBB', ASK.format('<quad><1><2><30><2><30><40><1></quad>'), False),
    ('PIX_CLS', ASK.format('<poly><1><2><30><2><30><40><sep><5><6><7><6><7><8></poly>'), True),
    ('PIX_CLS', ASK.format('<poly><1><2><30><2><30><40><sep><5><6></poly>'), False),
])
def test_the_region_of_a_prompt_is_read(folder, task, prompt, names):
    write_records([Record(images=['a.png'], task=task, prompt=prompt, answer='ship.')], folder / 'records.jsonl')
    findings = verify_records(folder / 'records.jsonl', folder).findings
    assert [text.partition(' or several')[0] for text in findings] == \
        ([] if names else ['record 1: its prompt names no region that can be read,'])


def test_broken_records_of_the_other_split_are_findings(folder):
    write_records([GOOD], folder / 'records.jsonl')
    other = Record(images=['b.png'], prompt=GOOD.prompt, **NAME)
    (folder / 'other.jsonl').write_text(f'{{"images": \n{json.dumps(vars(other))}\n')
    report = verify_records(folder / 'records.jsonl', folder, folder / 'other.jsonl')
    assert report.found == 1 and 'other.jsonl, line 1' in report.findings[0] and report.records == 1
    (folder / 'other.json').write_text('[')
    report = verify_records(folder / 'records.jsonl', folder, folder / 'other.json')
    assert report.found == 1 and 'other.json, line 1' in report.findings[0] and report.records == 1


def test_an_image_is_one_however_it_is_spelt(folder):
    spelt = [Record(images=[name], prompt=GOOD.prompt, **NAME)
             for name in ('a.png', './a.png', 'x/../a.png', str(folder / 'a.png'))]
    (folder / 'x').mkdir()
    write_records(spelt, folder / 'records.jsonl')
    write_records([spelt[1]], folder / 'other.jsonl')
    report = verify_records(folder / 'records.jsonl', folder, folder / 'other.jsonl')
    assert report.images == 1
    assert [text.partition(' is an image of')[0] for text in report.findings] == \
        [f'record {number}: {record.images[0]}' for number, record in enumerate(spelt, 1)]


@pytest.mark.parametrize('name, content', [('a.json', '[]'), ('a.json', ''), ('a.jsonl', ''), ('a.arrow', None)])
def test_a_file_without_records_is_a_finding(folder, name, content):
    if content is None:
        RecordStore.create([], folder / name)
    else:
        (folder / name).write_text(content)
    write_records([GOOD], folder / 'good.jsonl')
    for report in (verify_records(folder / name, folder), verify_records(folder / 'good.jsonl', folder, folder / name)):
        assert report.found == 1 and name in report.findings[0]
    assert run_command('dataset_converters/verify_records.py', folder / name).returncode == 1


def test_classes_that_are_asked_for_in_unknown_words_are_counted(folder):
    known = 'Detect all ship in the image.\nUse horizontal bounding boxes.'
    box = dict(images=['a.png'], task='REG_DET_HBB', answer='<box><1><2><30><40></box>')
    write_records([Record(prompt=known, **box), Record(prompt='Ships, please!', **box),
                   Record(prompt='Ships, please!', category='ship', **box), GOOD], folder / 'records.jsonl')
    report = verify_records(folder / 'records.jsonl', folder)
    assert (report.records, report.found, report.unclassed) == (4, 0, 1)
    done = run_command('dataset_converters/verify_records.py', folder / 'records.jsonl', '--image-root', folder)
    assert done.returncode == 0 and '1 records ask for a class in words of their own' in done.stdout


def test_several_other_splits_are_compared(folder):
    for name, image in (('train', 'a.png'), ('val', 'b.png'), ('test', 'a.png')):
        write_records([Record(images=[image], prompt=GOOD.prompt, **NAME)], folder / f'{name}.jsonl')
    done = run_command('dataset_converters/verify_records.py', folder / 'train.jsonl', '--image-root', folder,
                       '--other', folder / 'val.jsonl', folder / 'test.jsonl')
    assert done.returncode == 1 and 'test.jsonl too' in done.stdout and 'val.jsonl' not in done.stdout
