"""A tokenizer's tokens as bytes, and as steps of an automaton over bytes."""

import numpy as np

from .automaton import Automaton


class Vocabulary:
    """The tokens of a tokenizer by their bytes, in a tree, so that tokens with a common beginning are tried once.

    Args:
        tokenizer (transformers.PreTrainedTokenizerBase): Any; coordinates may be single tokens or ordinary pieces.
    """

    def __init__(self, tokenizer):
        self.end = tokenizer.eos_token_id
        self._tree = {}
        for token, content in _token_bytes(tokenizer).items():
            node = self._tree
            for byte in content:
                node = node.setdefault(byte, {})
            node.setdefault(None, []).append(token)

    def steps(self, automaton, state):
        """Return token -> state for every token that may follow in a state."""
        found, open_nodes = {}, [(self._tree, state)]
        while open_nodes:
            node, at = open_nodes.pop()
            for byte, below in node.items():
                if byte is None:
                    found.update(dict.fromkeys(below, at))
                elif (after := automaton.step(at, byte)) is not None:
                    open_nodes.append((below, after))
        return found


class TokenAutomaton:
    """An expression over the tokens of a vocabulary: which may follow, and how many tokens the shortest end takes.

    Args:
        expression: As built by :mod:`rstoolbox.heads.automaton`.
        vocabulary (Vocabulary): The tokens.

    Raises:
        ValueError: If no sequence of tokens spells a text that fits.
    """

    END = -1

    def __init__(self, expression, vocabulary):
        automaton = Automaton(expression)
        self.steps, states = {}, [0]
        while states:
            state = states.pop()
            if state not in self.steps:
                self.steps[state] = vocabulary.steps(automaton, state)
                states += set(self.steps[state].values())
        for state, steps in self.steps.items():
            if automaton.accepts(state):
                steps[vocabulary.end] = self.END
        self.steps[self.END] = {vocabulary.end: self.END}
        self.lengths = self._shortest_ends()
        if 0 not in self.lengths:
            raise ValueError('The tokenizer has no tokens that spell an answer of this form without blanks in between: '
                             'it needs pieces for <, >, / and digits, or one token for each tag and number.')
        self._choices = {}

    def choices(self, state):
        """Return the tokens that may follow, and the length in tokens of the shortest end after each, as arrays."""
        if state not in self._choices:
            steps, lengths = self.steps[state], self.lengths
            pairs = [(token, lengths[after]) for token, after in steps.items() if after in lengths]
            self._choices[state] = tuple(np.array(pairs, np.int64).T)
        return self._choices[state]

    def _shortest_ends(self):
        before = {}
        for state, steps in self.steps.items():
            for after in set(steps.values()):
                before.setdefault(after, []).append(state)
        lengths, rim = {self.END: 0}, [self.END]
        while rim:
            reached = [state for after in rim for state in before.get(after, ()) if state not in lengths]
            lengths.update(dict.fromkeys(reached, lengths[rim[0]] + 1))
            rim = list(dict.fromkeys(reached))
        return lengths


def _token_bytes(tokenizer):
    """Map every token that stands for text to its bytes."""
    names = ('bos', 'eos', 'pad', 'unk', 'cls', 'sep', 'mask')
    silent = {getattr(tokenizer, f'{name}_token_id') for name in names}
    added = {token: content for content, token in tokenizer.get_added_vocab().items()}
    spell = _byte_level_speller(tokenizer) or _decoding_speller(tokenizer)
    tokens = {token: added[token].encode() if token in added else spell(token, piece)
              for piece, token in tokenizer.get_vocab().items() if token not in silent}
    return {token: content for token, content in tokens.items() if content}


def _byte_level_speller(tokenizer):
    """Byte-level tokenizers name a token by one character for each of its bytes, also where these are half a letter."""
    from transformers.models.gpt2.tokenization_gpt2 import bytes_to_unicode

    backend = getattr(tokenizer, 'backend_tokenizer', None)
    if not (hasattr(tokenizer, 'byte_decoder') or 'ByteLevel' in repr(getattr(backend, 'decoder', None))):
        return None
    bytes_of = {character: byte for byte, character in bytes_to_unicode().items()}
    return lambda token, piece: bytes(bytes_of[character] for character in piece)


def _decoding_speller(tokenizer):
    """Other tokenizers say what a token adds to a text when they decode it behind another one."""
    anchor = tokenizer.encode('.', add_special_tokens=False)[-1:]
    before = tokenizer.decode(anchor, clean_up_tokenization_spaces=False)

    def spell(token, piece):
        return tokenizer.decode([*anchor, token], clean_up_tokenization_spaces=False)[len(before):].encode()

    return spell
