"""Answers that are words or numbers, and the five tasks of a whole image."""

import re

from ..registry import HEADS
from ..structures import Answer
from .base import TaskHead, drop_full_stop, says_absent
from .grammar import IMAGE, STRUCTURE, strip_special_tokens
from .patterns import labels_pattern, number_pattern, text_pattern

# Few enough digits for any number type.
_NUMBER = r'[0-9]{1,9}(\.[0-9]{1,20})?'


class LabelHead(TaskHead):
    """Class names, joined by ', ' and ended by a full stop.

    Attributes:
        several (bool): Whether a model may answer with more than one of a closed list of classes.
    """

    several = False
    scored_as = 'classification'
    names_classes = True

    def encode(self, annotation, image_size=None):
        return f'{", ".join(self._names(annotation.labels))}.'

    def decode(self, text, image_size=None):
        if says_absent(text):
            return Answer(text=strip_special_tokens(text))
        labels = [label.strip() for label in drop_full_stop(text).split(',')]
        labels = list(dict.fromkeys(filter(None, labels)))  # said twice, it is one
        return Answer(text=strip_special_tokens(text), labels=labels, failures=int(not labels))

    def pattern(self, classes=None):
        return text_pattern() if classes is None else labels_pattern(self._names(classes), self.several)

    def _names(self, labels):
        if isinstance(labels, str) or not len(labels):
            raise ValueError(f'{self.tag} answers with a list of class names, but the list given is {labels!r}.')
        names = [' '.join(str(label).split()) for label in labels]
        for name in names:
            if not name or ',' in name or any(token in name for token in (*STRUCTURE, IMAGE)):
                raise ValueError(f"{self.tag} cannot write the label '{name}': labels are not empty, hold no special "
                                 'token, and a comma stands between labels.')
        return names


class CaptionHead(TaskHead):
    """One or more sentences, kept as they are."""

    scored_as = 'captions'

    def encode(self, annotation, image_size=None):
        return _text_of(annotation, self.tag)

    def decode(self, text, image_size=None):
        text = strip_special_tokens(text)
        return Answer(text=text, failures=int(not text))

    def pattern(self, classes=None):
        return text_pattern()


@HEADS.register_module(name='IMG_CLS')
class ImageClassification(LabelHead):
    """Name the scene; several labels are allowed."""

    tag = 'IMG_CLS'
    several = True
    prompts = (
        'Classify the image.\nUse one or a few words.',
        'What kind of scene does the image show?\nUse one or a few words.',
        'Name the scene category of this image.\nUse one or a few words.',
        'Which land use is seen in the image?\nAnswer in one or a few words.',
        'Give the class of this remote sensing image.\nAnswer in one or a few words.',
    )


@HEADS.register_module(name='IMG_VQA')
class VisualQuestionAnswering(TaskHead):
    """Answer a question in a few words."""

    tag = 'IMG_VQA'
    scored_as = 'vqa'
    prompts = (
        '{question}',
        'Answer the question about the image.\n{question}',
        'Look at the image and answer.\n{question}',
        'Question: {question}\nAnswer in one or a few words.',
        '{question}\nUse one or a few words.',
    )

    def encode(self, annotation, image_size=None):
        return f'{_text_of(annotation, self.tag).removesuffix(".")}.'

    def decode(self, text, image_size=None):
        text = drop_full_stop(text)
        return Answer(text=text, failures=int(not text))

    def pattern(self, classes=None):
        return text_pattern()


@HEADS.register_module(name='IMG_CT')
class Counting(TaskHead):
    """Count the objects of a class; none is 0."""

    tag = 'IMG_CT'
    scored_as = 'counting'
    prompts = (
        'Count the number of {category}.',
        'How many {category} are there in the image?',
        'Give the number of {category} in the image.',
        'How many objects of the class {category} can be seen?\nAnswer with a number.',
        'Find out how often {category} occurs in this image.\nAnswer with a number.',
    )

    def encode(self, annotation, image_size=None):
        count = str(annotation.count).removesuffix('.0')
        if not re.fullmatch(_NUMBER, count):
            raise ValueError(f'{self.tag} answers with a number from 0 to 999999999, but the count of the annotation '
                             f'is {annotation.count!r}.')
        return f'{count}.'

    def decode(self, text, image_size=None):
        answer = drop_full_stop(text)
        if says_absent(text):
            answer = '0'
        if not re.fullmatch(_NUMBER, answer):
            return Answer(text=strip_special_tokens(text), failures=1)
        return Answer(text=strip_special_tokens(text), count=float(answer) if '.' in answer else int(answer))

    def pattern(self, classes=None):
        return number_pattern()


@HEADS.register_module(name='IMG_CAP')
class Captioning(CaptionHead):
    """Describe the image in a sentence."""

    tag = 'IMG_CAP'
    prompts = (
        'Describe the image.',
        'Give a short description of the image.',
        'What does the image show?',
        'Write a caption for this image.',
        'Say in one sentence what can be seen in the image.',
    )


@HEADS.register_module(name='IMG_CAP_DETAILED')
class DetailedCaptioning(CaptionHead):
    """Describe the image in several sentences."""

    tag = 'IMG_CAP_DETAILED'
    prompts = (
        'Describe the image in detail.',
        'Give a detailed description of the image.',
        'What does the image show? Tell all that can be seen.',
        'Write several sentences about the objects in the image and where they are.',
        'Describe this image thoroughly.',
    )


def _text_of(annotation, tag):
    text = annotation.text.strip() if isinstance(annotation.text, str) else ''
    if not text or text == '.':
        raise ValueError(f'{tag} answers with a text, but the text of the annotation is {annotation.text!r}.')
    return text
