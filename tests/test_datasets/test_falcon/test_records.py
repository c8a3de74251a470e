"""Records: what is read from each kind of file, what is written, and what is wrong with a bad one."""

import json
import pickle

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from commands import run_command
from rstoolbox.datasets.falcon import Record, RecordStore, read_records, record_files, write_records
from rstoolbox.datasets.falcon.records import SCHEMA

PUBLISHED = dict(
    images=['FCD/a.png'], crop=[0, 0, 448, 448],
    conversations=[dict(role='user', content='<image>\n[REG_DET_HBB]\nDetect all ship in the image.\nUse boxes.'),
                   dict(role='assistant', content='<box><1><2><3><4></box>')])
text = st.text(st.characters(codec='utf-8', exclude_characters='\x00\r'), max_size=20)
records = st.builds(
    Record, images=st.lists(st.text('abc/.', min_size=1, max_size=8), max_size=2),
    crop=st.sampled_from([[], [0., 1., 5., 7.5]]), task=st.sampled_from(['', 'IMG_CLS', 'PIX_CHG']),
    prompt=text.filter(lambda value: value.strip() and not value.startswith(('<image>', '['))),
    answer=text.filter(str.strip), references=st.lists(text, max_size=2), category=text)


def test_a_published_record_is_taken_apart(tmp_path):
    path = tmp_path / 'records.json'
    path.write_text(json.dumps([PUBLISHED]))
    assert list(read_records(path)) == [
        Record(['FCD/a.png'], [0., 0., 448., 448.], 'REG_DET_HBB', 'Detect all ship in the image.\nUse boxes.',
               '<box><1><2><3><4></box>')]


def test_tag_crop_and_images_may_be_missing(tmp_path):
    path = tmp_path / 'records.jsonl'
    path.write_text(json.dumps(dict(images=None, conversations=[dict(content='Why?'), dict(content='So.')])) + '\n')
    assert list(read_records(path)) == [Record(prompt='Why?', answer='So.')]


@pytest.mark.parametrize('header', [
    '<image>\n[PIX_CHG]\n', '<image>\n<image>\n[PIX_CHG]\n', '<image><image>\n[PIX_CHG]\n', '<image>\r\n[PIX_CHG]\r\n',
    '[PIX_CHG] \n'])
def test_marks_and_tag_are_no_part_of_the_prompt(tmp_path, header):
    turns = [dict(content=f'{header}Find changes.'), dict(content='none')]
    (tmp_path / 'records.json').write_text(json.dumps([dict(images=['a', 'b'], conversations=turns)]))
    record, = read_records(tmp_path / 'records.json')
    assert (record.task, record.prompt) == ('PIX_CHG', 'Find changes.')


@pytest.mark.parametrize('suffix', ['.json', '.jsonl'])
def test_a_mark_of_the_byte_order_is_no_part_of_a_file(tmp_path, suffix):
    path = tmp_path / f'records{suffix}'
    text = json.dumps([PUBLISHED] if suffix == '.json' else PUBLISHED)
    path.write_text(text, encoding='utf-8-sig')
    assert len(list(read_records(path))) == 1
    path.write_bytes(text.encode().replace(b'FCD', b'\xe9'))
    with pytest.raises(ValueError, match=rf'records{suffix}, .*line 1: it is not text in UTF-8'):
        list(read_records(path))


@pytest.mark.parametrize('suffix', ['.json', '.jsonl', '.parquet'])
@given(made=st.lists(records, max_size=5), chunk=st.integers(1, 50))
@settings(max_examples=25, deadline=None)
def test_what_is_written_is_read_again(suffix, made, chunk, tmp_path_factory):
    path = tmp_path_factory.mktemp('records') / f'records{suffix}'
    assert write_records(iter(made), path) == len(made)
    size, record_files.CHUNK = record_files.CHUNK, chunk  # pieces that cut records anywhere
    try:
        assert list(read_records(path)) == made
    finally:
        record_files.CHUNK = size
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize('content, message', [
    ('[\n{"images": [],\n "conversations": [}]', 'line 3, column 20'),
    ('[\n' + json.dumps(PUBLISHED) + ',\n' + json.dumps(PUBLISHED)[:-2], 'line 3'),
    ('[\n' + json.dumps(PUBLISHED) + '\n' + json.dumps(PUBLISHED) + ']', "line 3: expected ',' or ']'"),
    ('[' + json.dumps(PUBLISHED), 'found the end of the file'),
    ('{"a": 1}', r"line 1: expected '\['"),
    ('', 'found the end of the file'),
    ('[\n{"image": 1, "conversation": []}]', r'record 1 \(line 2\) has no "conversations".*"conversation"'),
    (json.dumps([PUBLISHED, dict(PUBLISHED, crop=[0, 0, 5])]), 'record 2.*"crop"'),
    (json.dumps([dict(PUBLISHED, crop=[5, 0, 5, 9])]), 'record 1.*empty'),
    (json.dumps([{'image': 'a.png', **{key: value for key, value in PUBLISHED.items() if key != 'images'}}]),
     'record 1.* has "image", which means nothing; "images" does'),
    (json.dumps([dict(PUBLISHED, images=['a', 'b', 'c'])]), 'record 1.*3 images'),
    (json.dumps([dict(PUBLISHED, conversations=[dict(content='a')])]), 'record 1.*two objects'),
    (json.dumps([dict(PUBLISHED, conversations=[dict(content='a'), dict(content=' ')])]), 'record 1.*empty answer'),
    (json.dumps([dict(PUBLISHED, conversations=[dict(content='<image>\n'), dict(content='a')])]), '1.*empty prompt'),
    (json.dumps([PUBLISHED]) + '\n' + json.dumps([PUBLISHED]), 'line 2: the list of records ends, but'),
    (json.dumps([[1]]), 'record 1.*list'),
    (json.dumps([dict(PUBLISHED, crop=[0, 0, float('inf'), 9])]), r'record 1.*"crop" is \[0, 0, inf, 9\], expected'),
    (json.dumps([dict(PUBLISHED, images=['a\ud83d.png'])]), r"record 1.*holds '\\ud83d', half of a character"),
    ('[\n{"id": ' + 5000 * '1' + '}]', 'line 2: .*5000 digits'),
])
def test_bad_json_names_the_record_and_the_line(tmp_path, content, message):
    path = tmp_path / 'records.json'
    path.write_text(content)
    with pytest.raises(ValueError, match=f'(?s)records.json.*{message}'):
        list(read_records(path))


@settings(max_examples=40, deadline=None)
@given(indent=st.sampled_from([None, 1]), count=st.integers(1, 6), data=st.data(),
       chunk=st.sampled_from([1, 5, 100, 1 << 16]))
def test_bad_json_is_found_where_python_finds_it(indent, count, data, chunk, tmp_path_factory):
    path = tmp_path_factory.mktemp('bad') / 'records.json'
    texts = [json.dumps(PUBLISHED, indent=indent) for _ in range(count)]
    number = data.draw(st.integers(0, count - 1), 'broken record')
    texts[number] = texts[number].replace('"content": "<box>', '"content"; "<box>')
    path.write_text('[\n' + ',\n'.join(texts) + '\n]')
    with pytest.raises(json.JSONDecodeError) as expected:
        json.loads(path.read_text())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(record_files, 'CHUNK', chunk)
        with pytest.raises(ValueError, match=f'line {expected.value.lineno}, column {expected.value.colno}: '):
            list(read_records(path))


def test_bad_lines_files_and_suffixes(tmp_path):
    path = tmp_path / 'records.jsonl'
    path.write_text(json.dumps(PUBLISHED) + '\n{"images": \n')
    with pytest.raises(ValueError, match='line 2'):
        list(read_records(path))
    path.write_text('{"id": ' + 5000 * '1' + '}\n' + json.dumps(PUBLISHED))
    error, record = record_files.read_entries(path)
    assert 'line 1: ' in str(error) and record.answer == '<box><1><2><3><4></box>'
    with pytest.raises(FileNotFoundError, match='no file'):
        list(read_records(tmp_path / 'none.json'))
    (tmp_path / 'records.csv').write_text('')
    with pytest.raises(ValueError, match='.parquet'):
        list(read_records(tmp_path / 'records.csv'))
    with pytest.raises(ValueError, match='.parquet'):
        write_records([], tmp_path / 'out.csv')
    (tmp_path / 'cut.parquet').write_bytes(b'PAR1')
    with pytest.raises(ValueError, match='no whole Parquet file'):
        list(read_records(tmp_path / 'cut.parquet'))
    parquet.write_table(pa.table(dict(prompt=['a'])), tmp_path / 'few.parquet')
    with pytest.raises(ValueError, match="no column 'answer'"):
        list(read_records(tmp_path / 'few.parquet'))


def test_an_interrupted_writing_leaves_nothing(tmp_path):
    def broken():
        yield Record(prompt='a', answer='b')
        raise RuntimeError('stop')

    for write, name in ((write_records, 'out.json'), (RecordStore.create, 'out.arrow')):
        with pytest.raises(RuntimeError, match='stop'):
            write(broken(), tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_a_store_gives_every_record_also_in_another_process(tmp_path, monkeypatch):
    monkeypatch.setattr('rstoolbox.datasets.falcon.record_store.ROWS', 7)
    made = [Record(images=[f'{number}.png'], prompt='?', answer=str(number), task='IMG_CT') for number in range(40)]
    store = RecordStore.create(iter(made), tmp_path / 'store.arrow')
    assert len(store) == 40 and list(store) == made
    assert [store[number] for number in (0, 6, 7, 39, -1)] == [made[number] for number in (0, 6, 7, 39, -1)]
    assert pickle.loads(pickle.dumps(store))[13] == made[13]
    assert set(store.column('task').to_pylist()) == {'IMG_CT'}
    with pytest.raises(IndexError, match='no record 40'):
        store[40]
    monkeypatch.undo()
    assert [RecordStore(store.path)[number] for number in (13, 39)] == [made[13], made[39]]
    empty = RecordStore.create([], tmp_path / 'empty.arrow')
    assert len(empty) == 0 and list(empty) == [] and empty.column('task').to_pylist() == []


def test_what_is_no_store_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match='make_record_store'):
        RecordStore(tmp_path / 'none.arrow')
    store = RecordStore.create([Record(prompt='a', answer='b')] * 10, tmp_path / 'store.arrow')
    (tmp_path / 'cut.arrow').write_bytes(store.path.read_bytes()[:-20])
    with pytest.raises(ValueError, match='no whole record store'):
        RecordStore(tmp_path / 'cut.arrow')
    content = store.path.read_bytes()
    head = content.rindex(b'\xff\xff\xff\xff', 0, content.index(b'a' * 10))
    (tmp_path / 'damaged.arrow').write_bytes(content[:head + 8] + bytes(64) + content[head + 72:])
    with pytest.raises(ValueError, match='damaged.arrow.* no whole record store'):
        RecordStore(tmp_path / 'damaged.arrow')
    with pa.OSFile(str(tmp_path / 'other.arrow'), 'wb') as sink, \
            pa.ipc.new_file(sink, pa.schema([('a', pa.int64())])) as writer:
        writer.write_batch(pa.RecordBatch.from_pylist([dict(a=1)]))
    with pytest.raises(ValueError, match='has the columns a'):
        RecordStore(tmp_path / 'other.arrow')
    # Batches of other sizes, of which the number of a record does not tell its batch.
    table = pa.Table.from_batches([pa.RecordBatch.from_pylist([vars(Record(prompt='a', answer='b'))] * rows, SCHEMA)
                                   for rows in (2, 3)])
    with pa.OSFile(str(tmp_path / 'foreign.arrow'), 'wb') as sink, pa.ipc.new_file(sink, SCHEMA) as writer:
        writer.write_table(table)
    with pytest.raises(ValueError, match='foreign.arrow.* was written by something else.*in parts of equal size'):
        RecordStore(tmp_path / 'foreign.arrow')


def test_a_damaged_store_is_named_and_ends_no_process(tmp_path):
    made = [Record(images=[f'{number}.png'], prompt='What is it?', answer='é' * number) for number in range(40)]
    content = RecordStore.create(made, tmp_path / 'store.arrow').path.read_bytes()
    damaged, refused = tmp_path / 'damaged.arrow', 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        place = rng.integers(len(content) - 64)
        damaged.write_bytes(content[:place] + rng.bytes(64) + content[place + 64:])
        found = _reading(damaged)
        assert found is None or 'damaged.arrow' in found and 'make_record_store.py' in found
        refused += found is not None
    assert refused > 20


def _reading(path):
    """What is said on reading all of a store in every way; None if nothing."""
    try:
        store = RecordStore(path)
        assert len([store[number] for number in range(len(store))]) == len(list(store)) == len(store.column('images'))
        assert len(store.lengths('answer')) == len(store)
    except ValueError as error:
        return str(error)


def test_the_command_converts_several_files(tmp_path):
    write_records([Record(prompt='a', answer='b')] * 3, tmp_path / 'one.json')
    write_records([Record(prompt='c', answer='d')], tmp_path / 'two.jsonl')
    tool = 'dataset_converters/make_record_store.py'
    done = run_command(tool, tmp_path / 'one.json', tmp_path / 'two.jsonl', tmp_path / 'all.arrow')
    assert done.returncode == 0 and '4 records' in done.stdout, done.stderr
    assert [record.answer for record in RecordStore(tmp_path / 'all.arrow')] == ['b', 'b', 'b', 'd']
    bad = run_command(tool, tmp_path / 'nope.json', tmp_path / 'all.arrow')
    assert bad.returncode == 1 and bad.stderr.strip().splitlines()[-1].startswith('error: There is no file')


@pytest.mark.parametrize('head', [
    '<image>\n[REG_DET_HBB]\n', '<image>\n[REG_DET_HBB] ', '[REG_DET_HBB]', '<image>\n [REG_DET_HBB]\n',
    '\n<image>\n[REG_DET_HBB]\n', '<image>\r\n[REG_DET_HBB]\r\n'])
def test_a_tag_is_read_wherever_it_stands_before_the_prompt(tmp_path, head):
    path, turns = tmp_path / 'records.json', PUBLISHED['conversations']
    first = dict(content=head + 'Detect all ship.\r\nUse boxes.')
    path.write_text(json.dumps([dict(PUBLISHED, conversations=[first, turns[1]])]))
    record, = read_records(path)
    # Lines end alike, whatever machine they were written on.
    assert (record.task, record.prompt) == ('REG_DET_HBB', 'Detect all ship.\nUse boxes.')


@pytest.mark.parametrize('words', ['[a note] Count.', '[NOTE] Count.', '[x]Count.', '[SAR_IMAGE] Count.', '[NDVI_MAP]'])
def test_other_brackets_belong_to_the_prompt(tmp_path, words):
    path = tmp_path / 'records.json'
    path.write_text(json.dumps([dict(images=['a.png'], conversations=[dict(content=words), dict(content='1.')])]))
    record, = read_records(path)
    assert (record.task, record.prompt) == ('', words)


@pytest.mark.parametrize('key, meant', [('tag', 'task'), ('Task', 'task'), ('categorys', 'category'),
                                        ('reference', 'references')])
def test_a_key_that_means_nothing_is_named(tmp_path, key, meant):
    (tmp_path / 'records.jsonl').write_text(json.dumps({'prompt': 'a', 'answer': 'b', key: 'REG_DET_HBB'}))
    with pytest.raises(ValueError, match=f'record 1 .*has "{key}", which means nothing; "{meant}" does'):
        list(read_records(tmp_path / 'records.jsonl'))


def test_keys_of_other_tools_are_passed_over(tmp_path):
    others = dict(image_id=1, category_id=3, tag='winter', preference=1, question_id=2, id=7)
    (tmp_path / 'records.jsonl').write_text(json.dumps(dict(prompt='a', answer='b', images=['a.png'], **others)))
    assert list(read_records(tmp_path / 'records.jsonl')) == [Record(['a.png'], prompt='a', answer='b')]


@pytest.mark.parametrize('ending', ['json', 'jsonl', 'parquet'])
def test_a_file_name_in_another_encoding_is_named_when_it_is_written(tmp_path, ending):
    # As Python reads the name of a file that is not in UTF-8.
    records = [Record([b'caf\xe9.png'.decode(errors='surrogateescape')], prompt='a', answer='b')]
    with pytest.raises(ValueError, match=r"out.*cannot hold '\\udce9' in '.*caf"):
        write_records(records, tmp_path / f'out.{ending}')
    assert not list(tmp_path.iterdir())
