"""RSVQA: questions about images."""

from rstoolbox.structures import Answer

from ..record_files import check_keys, read_lists
from .base import Converter
from .keys import by_key, is_key


class QuestionRecords(Converter):
    """``*_questions.json`` (the source) with ``*_answers.json`` beside it; entries that are not active are left out.

    Images are named by their number, ``<img_id>.tif`` or ``.png``.
    """

    tasks = ('IMG_VQA',)

    def records(self):
        questions, = read_lists(self.source, 'questions')
        path = self.source.with_name(self.source.name.replace('_questions', '_answers'))
        answers = _active(*read_lists(path, 'answers'))
        for number, entry in answers:
            check_keys(entry, ('id', 'answer'), f'{path}, answer {number}')
        answers = by_key(answers, 'id', f'{path}, answer')
        questions = _active(questions)
        by_key([pair for pair in questions if pair[1].get('id') is not None], 'id', f'{self.source}, question')
        for number, entry in questions:
            where = f'{self.source}, question {number}'
            check_keys(entry, ('img_id', 'question', 'answers_ids'), where)
            if not isinstance(entry['answers_ids'], list) or not all(map(is_key, entry['answers_ids'])):
                raise ValueError(f'{where} has the "answers_ids" {entry["answers_ids"]!r:.60}, expected a list of ids '
                                 'of answers.')
            found = [str(answers[key]['answer']) for key in entry['answers_ids'] if key in answers]
            if not found:
                raise ValueError(f'{where} has no answer in {path}.')
            image = self.image_of(str(entry['img_id']))
            if image is None:
                raise FileNotFoundError(f"{where} is about the image {entry['img_id']}, which is not in "
                                        f"'{self.images}'.")
            yield self.record('IMG_VQA', [image], None, Answer(text=found[0]), references=found[1:],
                              question=entry['question'])


def _active(entries):
    """The entries that count, each behind its number in the file."""
    return [(number, entry) for number, entry in enumerate(entries, 1) if entry.get('active')]
