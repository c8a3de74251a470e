"""Records split by their images."""

import json
import re
from collections import Counter

import pytest

from commands import run_command
from rstoolbox.datasets.falcon import Record, write_records

PARTS = ('train', 'val', 'test')


def scenes(count=40):
    return [Record([f'scenes/{number}.png'], [], 'IMG_CLS', 'Classify.', 'sea.' if number % 2 else 'a field.')
            for number in range(count)]


@pytest.fixture
def split(tmp_path):
    """A function that splits records with some arguments, and the records of each part that it writes."""

    def run(records, *arguments, out='out'):
        write_records(records, tmp_path / 'records.jsonl')
        done = run_command('dataset_converters/split_records.py', tmp_path / 'records.jsonl', tmp_path / out,
                           *arguments)
        assert done.returncode == 0, done.stderr
        tasks = {record.task for record in records}
        assert all(re.search(f'^{task or "without a task"} +(train|val) +[0-9]', done.stdout, re.M) for task in tasks)
        files = {part: tmp_path / out / f'{part}.jsonl' for part in PARTS}
        return {part: [json.loads(line) for line in path.read_text().splitlines()]
                for part, path in files.items() if path.exists()}

    return run


def images(records):
    return {name for record in records for name in record['images']}


def test_no_image_stands_in_two_parts_and_none_is_lost(split):
    records = scenes() + [Record([f'./scenes/{number % 40}.png'], [], 'IMG_CT', f'How many {number}?', '1.')
                          for number in range(90)]
    parts = split(records, '--ratio', 0.5, 0.25, 0.25)
    assert sorted(record['prompt'] + record['images'][0] for part in parts.values() for record in part) == sorted(
        record.prompt + record.images[0] for record in records)
    shares = [{name.removeprefix('./') for name in images(part)} for part in parts.values()]
    assert [len(share) for share in shares] == [20, 10, 10] and len(set.union(*shares)) == 40


def test_scene_classes_are_shared_out_evenly(split):
    parts = split(scenes(), '--ratio', 0.8, 0.1, 0.1)
    assert {part: Counter(record['answer'] for record in records) for part, records in parts.items()} == {
        'train': {'sea.': 16, 'a field.': 16}, 'val': {'sea.': 2, 'a field.': 2}, 'test': {'sea.': 2, 'a field.': 2}}


def test_many_classes_of_few_images_leave_no_part_empty(split):
    records = [Record([f'{name}/{number}.png'], [], 'IMG_CLS', 'Classify.', f'class {name}.')
               for name in range(30) for number in range(4)]
    parts = split(records)
    assert {part: len(images(found)) for part, found in parts.items()} == {'train': 96, 'val': 12, 'test': 12}
    assert all(len({record['answer'] for record in parts[part]}) == 12 for part in ('val', 'test'))


def test_a_file_that_is_read_is_not_written(tmp_path):
    write_records(scenes(), tmp_path / 'train.jsonl')
    before = (tmp_path / 'train.jsonl').read_bytes()
    done = run_command('dataset_converters/split_records.py', tmp_path / 'train.jsonl', tmp_path)
    assert done.returncode == 2 and 'is read, and would be written' in done.stderr
    assert (tmp_path / 'train.jsonl').read_bytes() == before and len(list(tmp_path.iterdir())) == 1


def test_images_of_a_pair_stay_together(split):
    chains = [Record([f'{number}_{date}.png', f'{number}_{date + 1}.png'], [], 'PIX_CHG', 'Find changes.', 'x')
              for number in range(20) for date in range(3)]
    alone = [Record([f'{number}_3.png'], [], 'IMG_CT', 'Count.', '1.') for number in range(20)]
    parts = split(chains + alone, '--ratio', 0.5, 0.2, 0.3)
    places = [{name.partition('_')[0] for name in images(part)} for part in parts.values()]
    assert [len(place) for place in places] == [10, 4, 6] and len(set.union(*places)) == 20


def test_the_order_of_records_does_not_matter_and_the_seed_does(split):
    lakes = [Record([f'scenes/{number}.png'], [], 'IMG_CLS', 'Classify.', 'a lake.') for number in range(9)]
    records = scenes() + lakes
    first, turned = (split(some, out=out) for some, out in ((records, 'first'), (records[::-1], 'turned')))
    other = split(records, '--seed', 1, out='other')
    assert images(first['test']) == images(turned['test']) != images(other['test'])


def test_a_part_without_a_share_is_not_written_and_records_without_an_image_are_trained_on(split):
    parts = split([*scenes(10), Record([], [], '', 'What is a SAR image?', 'An image.')], '--ratio', 0.8, 0, 0.2)
    assert set(parts) == {'train', 'test'} and len(parts['train']) == 9
    assert not all(record['images'] for record in parts['train'])


def test_records_without_an_image_are_never_lost(split):
    parts = split([*scenes(10), Record([], [], '', 'What is a SAR image?', 'An image.')], '--ratio', 0, 0.5, 0.5)
    assert [len(records) for records in parts.values()] == [6, 5]


def test_too_few_images_are_refused_before_anything_is_written(tmp_path):
    write_records(scenes(2), tmp_path / 'records.jsonl')
    done = run_command('dataset_converters/split_records.py', tmp_path / 'records.jsonl', tmp_path / 'out')
    assert done.returncode == 1 and 'val would have no image: there are 2 (pairs of) images' in done.stderr
    assert not list((tmp_path / 'out').iterdir())
