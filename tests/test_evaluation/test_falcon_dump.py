"""Files of predictions, both forms."""

import json

import numpy as np
import pytest
from mmengine.logging import MMLogger

from rstoolbox.evaluation import read_dump, score_records, write_dump

LINE = dict(task='REG_DET_HBB', image='a.png', size=[1000, 500], answer='<box><100><200><300><400></box>', scores=[0.5],
            question='Detect all storage tank in the image.\nUse horizontal bounding boxes.',
            gt='<box><100><200><300><400></box>')


def _published(path, task, **record):
    path.write_text(json.dumps(dict(info=dict(task=task), data=[dict(image=['a.png'], crop=[], question='') | record])))
    return next(read_dump(path))


def test_a_dump_comes_back(tmp_path):
    path = tmp_path / 'deep' / 'dump.jsonl'
    write_dump((LINE | dict(image=f'{number}.png') for number in range(3)), path)
    assert [json.loads(line)['image'] for line in path.read_text().splitlines()] == ['0.png', '1.png', '2.png']
    records = list(read_dump(path))
    assert [record.image_id for record in records] == ['0.png', '1.png', '2.png']
    record = records[0]
    assert record.prediction.bboxes == pytest.approx(np.array([[100.5, 100.25, 300.5, 200.25]]))
    assert record.category == 'storage tank' and record.prediction.scores == [0.5] and record.image_size == (1000, 500)
    assert score_records(records)[0]['REG_DET_HBB/AP'] == 100


def test_a_caption_keeps_all_its_references(tmp_path):
    caption = dict(task='IMG_CAP', image='a.png', question='Describe the image.', answer='a red boat in the port',
                   gt='some trees near houses', references=['a red boat in the port'])
    write_dump([caption, caption | dict(image='b.png')], tmp_path / 'dump.jsonl')
    scalars, report = score_records(read_dump(tmp_path / 'dump.jsonl'))
    assert scalars['IMG_CAP/BLEU-4'] == pytest.approx(100)
    assert report['IMG_CAP']['num_samples'] == 2 and report['IMG_CAP']['num_references'] == 4


def test_parts_of_one_image_share_no_objects(tmp_path):
    """An object of one part is no hit for a box of another."""
    there = '<box><600><600><700><700></box>'
    write_dump([LINE | dict(crop=[0, 0, 100, 50], answer=there), LINE | dict(crop=[100, 0, 200, 50], gt=there)],
               tmp_path / 'dump.jsonl')
    assert score_records(read_dump(tmp_path / 'dump.jsonl'))[0]['REG_DET_HBB/AP50'] == 0


def test_a_record_that_fails_leaves_no_file(tmp_path):
    path = tmp_path / 'dump.jsonl'
    with pytest.raises(ValueError, match="Record 2 has no 'gt', nearest is 'gts'"):
        write_dump([LINE, {**{key: value for key, value in LINE.items() if key != 'gt'}, 'gts': ''}], path)
    assert list(tmp_path.iterdir()) == []


def test_the_category_is_read_from_any_wording(tmp_path):
    questions = ['Find every ship in this image.\nUse horizontal bounding boxes.', 'Find the ships.']
    write_dump([LINE | dict(question=question) for question in questions], tmp_path / 'dump.jsonl')
    assert [record.category for record in read_dump(tmp_path / 'dump.jsonl')] == ['ship', None]


def test_published_lists_and_text_are_the_same(tmp_path):
    path = tmp_path / 'result.json'
    lists = _published(path, 'REG_DET_HBB', answer=[['1', '2', '30', '40']], gt=[], size=[448, 448])
    text = _published(path, 'REG_DET_HBB', answer='<box><1><2><30><40></box>', gt='The object does not exist.',
                      size=[448, 448])
    assert lists.prediction.bboxes == pytest.approx(text.prediction.bboxes)
    assert len(text.truth.bboxes) == 0 and text.truth.failures == 0


def test_published_change_lies_on_the_canvas_and_text_on_one_image(tmp_path):
    path = tmp_path / 'result.json'
    ring = [0., 0., 32., 0., 32., 32., 0., 32.]
    lists = _published(path, 'PIX_CHG', answer=[[ring]], gt=[[ring]], crop=[10, 10, 74, 74])
    assert lists.on_canvas and lists.image_size == (128, 128)
    corners = ''.join(f'<{number}>' for number in (0, 0, 250, 0, 250, 250, 0, 250))
    text = _published(path, 'PIX_CHG', answer=f'<poly>{corners}</poly>', gt='<poly></poly>', size=[128, 128])
    assert not text.on_canvas and text.image_size == (64, 64)
    assert text.prediction.polygons[0][0].max() == pytest.approx(32, abs=0.1)


def test_boxes_need_no_size_for_their_overlaps(tmp_path):
    path = tmp_path / 'dump.jsonl'
    write_dump([{key: value for key, value in LINE.items() if key not in ('size', 'scores')}], path)
    scalars, report = score_records(read_dump(path))
    assert scalars['REG_DET_HBB/AP50'] == 100 and report['REG_DET_HBB']['ranked_by'] == 'output order'


@pytest.mark.parametrize('second, message', [
    ('{"task": ', r'dump.jsonl, line 2: this is no JSON \(Expecting value'),
    ('[1]', 'dump.jsonl, line 2: a record is an object with task, answer, gt, got list'),
    (dict(task='REG_DET_OOB'), "line 2, key 'task': There is no task 'REG_DET_OOB', nearest is 'REG_DET_OBB'"),
    (dict(size=[10]), r"line 2, key 'size': expected \[width, height\] in whole pixels, got \[10\]"),
    (dict(answer=7), "line 2, key 'answer': the answer of REG_DET_HBB is text, got int 7"),
    (dict(gt=[['1', '2', '3']]), "line 2, key 'gt': a box is a list of 4 bins"),
    (dict(scores=[.5, .6]), r'line 2: Record of REG_DET_HBB.* scores of the prediction have shape \(2,\)'),
    (dict(references='a text'), "line 2, key 'references': expected a list of texts, got a text"),
    (dict(question=7), "line 2, key 'question': expected text, got 7"),
    (dict(category=['ship']), r"line 2, key 'category': expected text, got \['ship'\]"),
    (dict(image=[None]), r"line 2, key 'image': expected a path or a list of them, got \[None\]"),
    (dict(size=None, crop=['0', '0', '5', '5']), r"line 2, key 'crop': expected \[x1, y1, x2, y2\] in pixels"),
    (dict(size=None, crop=[5, 0, 5, 5]), r"line 2, key 'crop': .* got \[5, 0, 5, 5\]"),
    (dict(size=None, crop=[0, 0, float('inf'), 5]), r"line 2, key 'crop': .* got \[0, 0, inf, 5\]"),
    (dict(scores=['high']), "line 2, key 'scores': expected a list of numbers, got"),
    (dict(scores=[float('nan')]), 'line 2: .*scores of the prediction hold nan'),
    (dict(task='PIX_SEG', size=None, answer='', gt=''), "line 2 has no 'size', and masks are drawn on the image"),
    (dict(task='PIX_SEG', answer=[[['a', 'b']]]), "line 2, key 'answer': polygons are instances of rings"),
    (dict(task='PIX_SEG', answer=[[[1., 2., float('nan'), 4.]]]), 'line 2: .*polygons of the prediction hold nan'),
    # pycocotools would end the process.
    (dict(task='PIX_SEG', gt=[[[0., 0., 1e10, 0., 9., 9.]]]), 'line 2: .*polygons of the truth hold 1.*, 1,000,000 at'),
])
def test_a_malformed_line_is_named(tmp_path, second, message):
    path = tmp_path / 'dump.jsonl'
    line = second if isinstance(second, str) else json.dumps(LINE | second)
    path.write_text(f'{json.dumps(LINE)}\n{line}\n')
    with pytest.raises(ValueError, match=message):
        list(read_dump(path))


@pytest.mark.parametrize('content, message', [
    (b'', 'holds no JSON lines, and as a whole: this is no JSON'),
    (b'{"task": 1', 'holds no JSON lines, and as a whole: this is no JSON'),
    (b'[]', 'is no file of predictions: expected a record on each line, or one object with info and data'),
    (b'{"data": []}', 'is no file of predictions'),
    (b'{"info": {}, "data": [{"answer": "a", "gt": "b"}]}', "record 1 has no 'task'"),
    (b'\xff\xfe', 'is not text in UTF-8'),
])
def test_what_is_no_dump_is_named(tmp_path, content, message):
    (tmp_path / 'file').write_bytes(content)
    with pytest.raises(ValueError, match=message):
        list(read_dump(tmp_path / 'file'))
    with pytest.raises(FileNotFoundError, match="no file of predictions at '.*absent'"):
        list(read_dump(tmp_path / 'absent'))


def test_lines_may_be_blank_also_the_first(tmp_path):
    path = tmp_path / 'dump.jsonl'
    path.write_text(f'\n{json.dumps(LINE)}\n\n{json.dumps(LINE)}\n')
    assert len(list(read_dump(path))) == 2


def test_scores_of_unreadable_boxes_are_not_used(tmp_path):
    path = tmp_path / 'dump.jsonl'
    write_dump([LINE | dict(answer='<box><1><2><3></box>' + LINE['answer'], scores=[.9, .5])], path)
    record, = read_dump(path)
    assert record.prediction.scores is None and record.prediction.failures == 1


def test_the_score_of_an_answer_without_objects_is_no_matter_of_warning(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(MMLogger.get_current_instance(), 'warning', said.append)
    truth = '<box><1><1><9><9></box>'
    for scores, count in (([.3], 0), ([.3, .4], 1)):
        write_dump([LINE | dict(answer='gibberish', scores=scores),
                    LINE | dict(image='b.png', answer=truth, scores=[.8])], tmp_path / 'dump.jsonl')
        first, second = read_dump(tmp_path / 'dump.jsonl')
        assert first.prediction.scores is None and second.prediction.scores.tolist() == [.8]
        assert len(said) == count
    assert '2 scores for the 0 objects that could be read' in said[0]


@pytest.mark.parametrize('listed', ['answer', 'gt'])
def test_published_lists_of_a_change_lie_on_the_canvas_also_beside_text(tmp_path, listed):
    shapes = dict.fromkeys(('answer', 'gt'), '<poly><0><0><250><0><250><250></poly>')
    record = _published(tmp_path / 'a.json', 'PIX_CHG', crop=[0, 0, 100, 100],
                        **shapes | {listed: [[[100, 100, 150, 100, 150, 150]]]})
    assert score_records([record])[0]['PIX_CHG/mIoU'] > 95  # the same triangle, on the later date


def test_records_that_stand_in_a_dump_twice_are_told(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(MMLogger.get_current_instance(), 'warning', said.append)
    caption = dict(task='IMG_CAP', image='a.png', question='Describe.', answer='A boat.', gt='A boat.')
    write_dump([LINE, LINE | dict(image='b.png'), caption, caption], tmp_path / 'once.jsonl')
    write_dump([LINE, LINE | dict(image='b.png'), LINE], tmp_path / 'twice.jsonl')
    assert len(list(read_dump(tmp_path / 'once.jsonl'))) == 4 and not said
    assert len(list(read_dump(tmp_path / 'twice.jsonl'))) == 3
    assert 'twice.jsonl: 1 records say the same' in said[0] and len(said) == 1
