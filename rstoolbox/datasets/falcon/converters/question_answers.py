"""RSVQA: questions about images."""

from rstoolbox.structures import Answer

from ..record_files import check_keys, read_lists
from .base import Converter


class QuestionRecords(Converter):
    """``*_questions.json`` (the source) with ``*_answers.json`` beside it; entries that are not active are left out.

    Images are named by their number, ``<img_id>.tif`` or ``.png``.
    """

    tasks = ('IMG_VQA',)

    def records(self):
        questions, = read_lists(self.source, 'questions')
        path = self.source.with_name(self.source.name.replace('_questions', '_answers'))
        answers = {}
        for number, entry in enumerate(*read_lists(path, 'answers'), 1):
            if entry.get('active'):
                check_keys(entry, ('id', 'answer'), f'{path}, answer {number}')
                answers[entry['id']] = entry['answer']
        for number, entry in enumerate(questions, 1):
            if not entry.get('active'):
                continue
            where = f'{self.source}, question {number}'
            check_keys(entry, ('img_id', 'question', 'answers_ids'), where)
            found = [answers[key] for key in entry['answers_ids'] if key in answers]
            if not found:
                raise ValueError(f'{where} has no answer in {path}.')
            image = self.image_of(str(entry['img_id']))
            if image is None:
                raise FileNotFoundError(f"{where} is about the image {entry['img_id']}, which is not in "
                                        f"'{self.images}'.")
            yield self.record('IMG_VQA', [image], None, Answer(text=str(found[0])),
                              references=[str(answer) for answer in found[1:]], question=entry['question'])
