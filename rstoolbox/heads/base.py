"""What every Falcon task does: word its prompt, write an annotation as answer text, read an answer."""

import re
from functools import lru_cache
from string import Formatter

from ..registry import HEADS, UnknownTypeError
from ..structures import nearest
from .grammar import COORDINATE, strip_special_tokens

ABSENT = 'The object does not exist.'


class TaskHead:
    """One task of the Falcon family: annotation <-> prompt and answer text.

    A subclass sets :attr:`tag` and :attr:`prompts` and implements :meth:`encode`, :meth:`decode` and :meth:`pattern`.

    Args:
        coordinate (str): How a coordinate is written: ``'<{}>'`` as Falcon does, or ``'<loc_{}>'`` with the tokens that
            Florence-2's vocabulary already has. Both are read.

    Attributes:
        tag (str): The task's name, such as 'REG_DET_OBB'.
        num_images (int): How many images the task is about, 1 or a pair of dates.
        prompts (tuple[str]): Wordings of the prompt with their slots in braces; the first is the published one.
        scored_as (str, optional): How ``FalconMetric`` scores answers: 'classification', 'vqa', 'counting', 'captions',
            'hbb', 'obb', 'grounding' or 'masks'; without one it leaves the task to metrics of its own.
        names_classes (bool): Whether answers are class names, so that :meth:`pattern` makes use of ``classes``.
    """

    tag = ''
    num_images = 1
    prompts = ()
    scored_as = None
    names_classes = False

    def __init__(self, coordinate=COORDINATE):
        if coordinate.count('{}') != 1 or not re.fullmatch(r'<(loc_)?\{\}>', coordinate):
            raise ValueError(f"Coordinates are written '<{{}}>' or '<loc_{{}}>', got {coordinate!r}.")
        self.coordinate = coordinate

    @property
    def slots(self):
        """tuple[str]: What a prompt has to be told, for example ('category',)."""
        return tuple(name for _, name, _, _ in Formatter().parse(self.prompts[0]) if name)

    def prompt(self, image_size=None, paraphrase=0, **slots):
        """Word the task.

        Args:
            image_size (tuple, optional): (width, height) in pixels; needed where a slot holds coordinates.
            paraphrase (int | numpy.random.Generator): Which of :attr:`prompts`; 0 is the published one. A generator
                draws one, for dynamic prompt training.
            **slots: The value of each of :attr:`slots`: class names and texts as they are, coordinates in pixels.

        Returns:
            str: The prompt, without task tag.

        Raises:
            ValueError: If a slot is missing, unknown or cannot be written, or there is no such paraphrase.
        """
        for name in slots:
            if name not in self.slots:
                raise ValueError(f"The prompt of {self.tag} has no slot '{name}'{nearest(name, self.slots)}. "
                                 f'It has: {", ".join(self.slots) or "none"}.')
        for name in self.slots:
            if name not in slots:
                raise ValueError(f"The prompt of {self.tag} needs '{name}': {self.prompts[0]!r}.")
        whole = self.read_prompt(slots['category']) if isinstance(slots.get('category'), str) else None
        if whole and whole.get('category') not in (None, slots['category'].strip()):
            raise ValueError(f"'category' of {self.tag} is a class, but {slots['category']!r} is a whole prompt; give "
                             f"'{whole['category']}'.")
        template = self.prompts[self._index(paraphrase)]
        return template.format(**{name: self.write_slot(name, value, image_size) for name, value in slots.items()})

    def read_prompt(self, prompt):
        """Take a prompt in any of the wordings apart.

        Args:
            prompt (str): Without task tag.

        Returns:
            dict[str, str] | None: What stands in each of :attr:`slots`, coordinates as text; None if the wording is
            unknown.
        """
        matches = (pattern.fullmatch(prompt.strip()) for pattern in _patterns(self.prompts))
        return next((match.groupdict() for match in matches if match), None)

    def reword(self, prompt, paraphrase):
        """The same prompt in another wording, or as it is where its wording is unknown.

        Args:
            prompt (str): Without task tag.
            paraphrase (int | numpy.random.Generator): As for :meth:`prompt`.
        """
        slots = self.read_prompt(prompt)
        return prompt if slots is None else self.prompts[self._index(paraphrase)].format(**slots)

    def write_slot(self, name, value, image_size):
        """Write the value of one slot as it stands in the prompt."""
        if not isinstance(value, str) or not value.strip():
            raise ValueError(f"'{name}' of {self.tag} is a text that is not empty, got {value!r}.")
        return value.strip()

    def encode(self, annotation, image_size):
        """Write an annotation as answer text.

        Args:
            annotation (Answer): In pixels of the original image.
            image_size (tuple): (width, height) of the image in pixels.

        Returns:
            str: The text a model is to answer.

        Raises:
            ValueError: If the annotation lacks what this task answers, or holds what text cannot.
        """
        raise NotImplementedError

    def decode(self, text, image_size):
        """Read an answer. Never raises for a text: what cannot be read is counted in ``failures``.

        Args:
            text (str): What a model answered; special tokens may stand around it.
            image_size (tuple): (width, height) of the original image in pixels.

        Returns:
            Answer: In pixels of the original image.
        """
        raise NotImplementedError

    def pattern(self, classes=None):
        """Tell which answers a constrained model may give (:mod:`rstoolbox.heads.constraint`); all can be read.

        Args:
            classes (Sequence[str], optional): The only class names that may be answered.

        Returns:
            The expression, as built by :mod:`rstoolbox.heads.automaton`.
        """
        raise NotImplementedError

    def _index(self, paraphrase):
        if hasattr(paraphrase, 'integers'):
            return int(paraphrase.integers(len(self.prompts)))
        if isinstance(paraphrase, bool) or not isinstance(paraphrase, int) or not 0 <= paraphrase < len(self.prompts):
            raise ValueError(f'A paraphrase of {self.tag} is a number from 0 to {len(self.prompts) - 1} or a '
                             f'numpy.random.Generator to draw it with, got {paraphrase!r}.')
        return paraphrase


def head_for(tag, **options):
    """Build the head of a task.

    Args:
        tag (str): One of the 14 task tags, such as 'REG_DET_OBB', or one that a plug-in registered.
        **options: Arguments of the head.

    Returns:
        TaskHead: The head.

    Raises:
        UnknownTypeError: If there is no such task, with the nearest and the list of all.
    """
    # Asked for every record; the registry's own look-up writes a line of debug log each time.
    if isinstance(tag, str) and tag in HEADS.module_dict:
        return HEADS.module_dict[tag](**options)
    known = HEADS.known_names()
    if not isinstance(tag, str) or tag.rpartition('.')[2] not in known:  # behind a scope, perhaps
        raise UnknownTypeError(f"There is no task '{tag}'{nearest(str(tag).upper(), known)}. "
                               f'The tasks are: {", ".join(known)}.')
    return HEADS.build(dict(type=tag, **options))


@lru_cache
def _patterns(prompts):
    """Regular expressions of prompts, the wordier ones first: a question alone would match anything."""
    return [re.compile(re.sub(r'\\{(\w+)\\}', r'(?P<\1>.+)', re.escape(prompt)), re.DOTALL)
            for prompt in sorted(prompts, key=len, reverse=True)]


def says_absent(text):
    """Tell whether a text says that there is no such object, which is an answer and no failure."""
    return drop_full_stop(text).casefold() == drop_full_stop(ABSENT).casefold()


def drop_full_stop(text):
    """Drop special tokens, surplus blanks and one full stop at the end: '2.5.' is read as '2.5'."""
    return ' '.join(strip_special_tokens(text).split()).removesuffix('.').strip()
