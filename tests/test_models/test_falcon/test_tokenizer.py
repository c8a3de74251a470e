"""Tokenizers from folders and from records."""


import pytest
from hypothesis import given
from hypothesis import strategies as st

from rstoolbox.models import CheckpointError
from rstoolbox.models.falcon import load_tokenizer, train_tokenizer

TEXTS = ('Detect all ship in the image.', '<box><1><22><333><1000></box>') * 3
TOKENIZERS = {coordinates: train_tokenizer(TEXTS, 400, coordinates) for coordinates in ('text', 'tokens')}


@pytest.mark.parametrize('coordinates', TOKENIZERS)
@given(text=st.text(st.characters(exclude_categories=['Cs'])))
def test_any_text_comes_back(coordinates, text):
    tokenizer = TOKENIZERS[coordinates]
    ids = tokenizer(text, add_special_tokens=False).input_ids
    assert tokenizer.decode(ids, clean_up_tokenization_spaces=False) == text


def test_coordinates_are_spelled_or_are_tokens():
    box = '<box><1><22><333><1000></box>'
    assert TOKENIZERS['tokens'].tokenize(box) == ['<box>', '<1>', '<22>', '<333>', '<1000>', '</box>']
    assert not {'<1>', '<22>', '<box>'} & set(TOKENIZERS['text'].tokenize(box))
    with pytest.raises(ValueError, match="'text' or 'tokens', not 'words'"):
        train_tokenizer(TEXTS, 400, 'words')


def test_special_tokens_have_their_places_and_survive_a_folder(tmp_path):
    for name, tokenizer in TOKENIZERS.items():
        tokenizer.save_pretrained(tmp_path / name)
        loaded = load_tokenizer(tmp_path / name)
        assert loaded.get_vocab() == tokenizer.get_vocab()
        assert loaded.convert_tokens_to_ids(['<s>', '<pad>', '</s>']) == [0, 1, 2]
        assert loaded.image_token_id == len(loaded) - 1


def test_the_published_vocabulary_is_completed_to_its_size(shared):
    folder = shared('data/bpe_vocab_50265')
    assert len(load_tokenizer(folder)) == 50265 + 1
    tokenizer = load_tokenizer(folder, rows=51289)
    assert len(tokenizer) == 51289 + 1 and tokenizer.image_token_id == 51289
    assert tokenizer.convert_tokens_to_ids(['<loc_0>', '<loc_999>', '<and>']) == [50269, 51268, 51288]


def test_folders_without_a_tokenizer_are_explained(tmp_path):
    with pytest.raises(FileNotFoundError, match='neither tokenizer.json nor vocab.json'):
        load_tokenizer(tmp_path)
    (tmp_path / 'tokenizer.json').write_text('{}')
    with pytest.raises(CheckpointError, match='cannot be read'):
        load_tokenizer(tmp_path)
