"""Captions and questions that lack something, by name."""

import json

import pytest

from rstoolbox.datasets.falcon.converters import CaptionRecords, QuestionRecords


@pytest.mark.parametrize('entry, message', [
    ('a.png', "captions.json' is no list of objects: number 1 is 'a.png'"),
    (dict(file='a.png', sentences=['A field.']), 'image 1 has no captions, expected'),
    (dict(file='a.png', sentences=None), 'image 1 has no captions, expected'),
    (dict(file='a.png', captions='field'), 'image 1 has no captions, expected'),
    (dict(file=5, captions=['A field.']), 'captions.json, image 1 names the file 5, expected a text as "filename" or'),
    (dict(filename=['a.png'], captions=['A field.']), r"image 1 names the file \['a.png'\], expected a text"),
    (dict(captions=['A field.']), 'image 1 names the file None, expected a text'),
])
def test_captions_of_another_form_are_named(image, tmp_path, entry, message):
    (tmp_path / 'captions.json').write_text(json.dumps([entry]))
    with pytest.raises(ValueError, match=message):
        list(CaptionRecords(tmp_path / 'captions.json', image))


@pytest.mark.parametrize('question, answer, message', [
    (dict(img_id=None), {}, 'a_questions.json, question 1 has no "img_id", only active, answers_ids, question'),
    (dict(question=None), {}, 'question 1 has no "question"'),
    (dict(answers_ids=None), {}, 'question 1 has no "answers_ids"'),
    (dict(answers_ids=1), {}, 'a_questions.json, question 1 has the "answers_ids" 1, expected a list of ids'),
    (dict(answers_ids=[[0]]), {}, r'question 1 has the "answers_ids" \[\[0\]\], expected a list of ids'),
    ({}, dict(id=None), 'a_answers.json, answer 1 has no "id", only active, answer'),
    ({}, dict(id=[0]), r'a_answers.json, answer 1 has the "id" \[0\], expected a number or a text'),
    ({}, dict(answer=None), 'answer 1 has no "answer"'),
])
def test_questions_that_lack_a_key_are_named(image, tmp_path, question, answer, message):
    for name, entry in (
            ('questions', dict(active=True, img_id='a', question='What?', answers_ids=[0]) | question),
            ('answers', dict(active=True, id=0, answer='a field') | answer)):
        content = {name: [{key: value for key, value in entry.items() if value is not None}]}
        (tmp_path / f'a_{name}.json').write_text(json.dumps(content))
    with pytest.raises(ValueError, match=message):
        list(QuestionRecords(tmp_path / 'a_questions.json', image))


def test_questions_and_answers_of_one_id_are_refused(image, tmp_path):
    question, answer = dict(img_id='a', question='What?', answers_ids=[0]), dict(id=0, answer='a field')
    for questions, answers, message in (
            ([question], [answer, dict(active=False), answer | dict(answer='a lake')],
             'a_answers.json, answer 3 has the "id" 0, which is that of number 1 already'),
            ([question | dict(id=7), question | dict(id=7)], [answer],
             'a_questions.json, question 2 has the "id" 7, which is that of number 1 already')):
        for name, entries in (('questions', questions), ('answers', answers)):
            content = {name: [dict(active=True) | entry for entry in entries]}
            (tmp_path / f'a_{name}.json').write_text(json.dumps(content))
        with pytest.raises(ValueError, match=message):
            list(QuestionRecords(tmp_path / 'a_questions.json', image))
