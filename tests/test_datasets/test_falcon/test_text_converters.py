"""Captions and questions that lack something, by name."""

import json

import pytest

from rstoolbox.datasets.falcon.converters import CaptionRecords, QuestionRecords


@pytest.mark.parametrize('entry, message', [
    ('a.png', "captions.json' is no list of objects: number 1 is 'a.png'"),
    (dict(file='a.png', sentences=['A field.']), 'image 1 has no captions, expected'),
    (dict(file='a.png', sentences=None), 'image 1 has no captions, expected'),
    (dict(file='a.png', captions='field'), 'image 1 has no captions, expected'),
])
def test_captions_of_another_form_are_named(image, tmp_path, entry, message):
    (tmp_path / 'captions.json').write_text(json.dumps([entry]))
    with pytest.raises(ValueError, match=message):
        list(CaptionRecords(tmp_path / 'captions.json', image))


@pytest.mark.parametrize('question, answer, message', [
    (dict(img_id=None), {}, 'a_questions.json, question 1 has no "img_id", only active, answers_ids, question'),
    (dict(question=None), {}, 'question 1 has no "question"'),
    (dict(answers_ids=None), {}, 'question 1 has no "answers_ids"'),
    ({}, dict(id=None), 'a_answers.json, answer 1 has no "id", only active, answer'),
])
def test_questions_that_lack_a_key_are_named(image, tmp_path, question, answer, message):
    for name, entry in (
            ('questions', dict(active=True, img_id='a', question='What?', answers_ids=[0]) | question),
            ('answers', dict(active=True, id=0, answer='a field') | answer)):
        content = {name: [{key: value for key, value in entry.items() if value is not None}]}
        (tmp_path / f'a_{name}.json').write_text(json.dumps(content))
    with pytest.raises(ValueError, match=message):
        list(QuestionRecords(tmp_path / 'a_questions.json', image))
