"""Constrained generation: whatever a random model says, it can be read."""

import re
from functools import lru_cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip('torch')
transformers = pytest.importorskip('transformers', reason='needs requirements/falcon.txt')

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers  # noqa: E402

from rstoolbox.heads import head_for  # noqa: E402
from rstoolbox.heads.automaton import Automaton  # noqa: E402
from rstoolbox.heads.constraint import AnswerConstraint  # noqa: E402
from rstoolbox.structures import Answer  # noqa: E402

SIZE = (640, 480)
TAGS = ['IMG_CLS', 'IMG_VQA', 'IMG_CT', 'IMG_CAP', 'REG_DET_HBB', 'REG_DET_OBB', 'REG_VG', 'PIX_SEG', 'PIX_CHG']
CORPUS = ['The object does not exist.', 'a tennis court beside a river, and 12 ships in a harbour.', 'très jolie 345',
          '<box><1><20><300><999></box><quad></quad><poly><sep></poly>', '0 1 2 3 4 5 6 7 8 9 67 890 <loc_12>']
SPECIAL = ['<s>', '<pad>', '</s>', '<unk>']


def byte_pieces(added=()):
    """Coordinates as ordinary pieces, as with BART's tokenizer."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(CORPUS * 20, trainers.BpeTrainer(
        vocab_size=400, special_tokens=SPECIAL, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    return wrap(tokenizer, added)


def sentence_pieces():
    """Blanks as a character of their own and decoded at the beginning of a piece, as with SentencePiece."""
    tokenizer = Tokenizer(models.BPE(unk_token='<unk>'))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    tokenizer.train_from_iterator(CORPUS * 20, trainers.BpeTrainer(vocab_size=200, special_tokens=SPECIAL))
    return wrap(tokenizer)


def wrap(tokenizer, added=()):
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token='<s>', eos_token='</s>', pad_token='<pad>', unk_token='<unk>')
    fast.add_special_tokens(dict(additional_special_tokens=list(added)))
    return fast


# What touches the lower edge of the image before, which is the middle of the canvas.
AT_THE_EDGE = head_for('PIX_CHG').encode(Answer(polygons=[[np.array([[10., 480.], [90., 480.], [90., 400.]])]]), SIZE)
TOKENIZERS = {
    'byte pieces': byte_pieces,
    'sentence pieces': sentence_pieces,
    'single tokens': lambda: byte_pieces(['<box>', '</box>', '<quad>', '</quad>', '<poly>', '</poly>', '<sep>',
                                          *(f'<{number}>' for number in range(1000))]),
    "Florence-2's tokens": lambda: byte_pieces(['<poly>', '</poly>', '<sep>', *(f'<loc_{n}>' for n in range(1000))]),
}


@pytest.fixture(scope='module', params=TOKENIZERS)
def named_tokenizer(request):
    return request.param, TOKENIZERS[request.param]()


@pytest.fixture(scope='module')
def single_tokens():
    tokenizer = TOKENIZERS['single tokens']()
    return tokenizer, AnswerConstraint(tokenizer)


def tiny_model(tokenizer, seed):
    torch.manual_seed(seed)
    config = transformers.BartConfig(
        vocab_size=len(tokenizer) + 5, d_model=32, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=32, decoder_ffn_dim=32, max_position_embeddings=512, init_std=1.,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
        decoder_start_token_id=tokenizer.eos_token_id, forced_bos_token_id=tokenizer.bos_token_id,
        forced_eos_token_id=tokenizer.eos_token_id)
    return transformers.BartForConditionalGeneration(config).eval()


def tiny_florence(tokenizer):
    torch.manual_seed(0)
    text = tiny_model(tokenizer, 0).config.to_dict()
    vision = dict(embed_dim=[8, 8, 8, 8], num_heads=[1] * 4, num_groups=[1] * 4, depths=[1] * 4, window_size=2,
                  projection_dim=32)
    config = transformers.Florence2Config(text_config=text, vision_config=vision, image_token_id=len(tokenizer) + 1)
    return transformers.Florence2ForConditionalGeneration(config).eval()


def answers(model, tokenizer, heads, max_length, classes=None, constraint=None, **options):
    constraint = constraint or AnswerConstraint(tokenizer)
    inputs = torch.randint(5, len(tokenizer), (len(heads), 4))
    processor = constraint.processor(heads, max_length, classes=classes)
    ids = model.generate(inputs, max_length=max_length, logits_processor=[processor], no_repeat_ngram_size=0, **options)
    return tokenizer.batch_decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)


@pytest.mark.parametrize('options, max_length', [(dict(), 150), (dict(num_beams=3), 80), (dict(do_sample=True), 65)],
                         ids=['greedy', '3 beams', 'sampled'])
def test_every_answer_of_a_random_model_can_be_read(named_tokenizer, options, max_length):
    name, tokenizer = named_tokenizer
    coordinate = '<loc_{}>' if 'Florence' in name else '<{}>'
    heads = [head_for(tag, coordinate=coordinate) for tag in TAGS]
    constraint = AnswerConstraint(tokenizer)
    for seed in range(2):
        texts = answers(tiny_model(tokenizer, seed), tokenizer, heads, max_length, constraint=constraint, **options)
        for head, text in zip(heads, texts):
            assert text.count('</s>') == 2, f'{head.tag} did not end: {text}'
            assert head.decode(text, SIZE).failures == 0 and '\ufffd' not in text, f'{head.tag}: {text}'


@pytest.mark.parametrize('beams', [1, 3])
def test_only_the_given_classes_are_answered(beams):
    tokenizer, classes = byte_pieces(), ['tennis court', 'river', 'très jolie', 'riverside']
    heads = [head_for('IMG_CLS'), head_for('REG_CLS_HBB'), head_for('PIX_CLS')]
    for seed in range(3):
        texts = answers(tiny_model(tokenizer, seed), tokenizer, heads, 40, classes, num_beams=beams)
        labels = [head.decode(text, SIZE).labels for head, text in zip(heads, texts)]
        assert all(set(named) <= set(classes) for named in labels)
        assert labels[0] and len(labels[1]) == len(labels[2]) == 1
    # Or each sample has a list of its own, or none.
    texts = answers(tiny_model(tokenizer, 0), tokenizer, heads, 40, [['river'], None, ['sea']], num_beams=beams)
    assert set(heads[0].decode(texts[0], SIZE).labels) == {'river'}
    assert heads[2].decode(texts[2], SIZE).labels == ['sea']


@lru_cache
def automaton_of(tag):
    return Automaton(head_for(tag).pattern())


def accepted(tag, content):
    automaton, state = automaton_of(tag), 0
    for byte in content:
        state = automaton.step(state, byte)
        if state is None:
            return False
    return automaton.accepts(state)


@settings(deadline=None)
@given(st.one_of(st.text().map(str.encode), st.binary(max_size=6)))
def test_a_text_is_of_whole_characters(content):
    try:
        sound = (b'a' + content).decode().replace(' ', 'a').isprintable()
    except UnicodeDecodeError:
        sound = None
    if sound is None or b'<' in content:
        assert not accepted('IMG_CAP', b'a' + content)
    elif sound:
        assert accepted('IMG_CAP', b'a' + content)


@pytest.mark.parametrize('tag, fits, fits_not', [
    ('REG_DET_HBB', ['<box><0><10><999><5></box>', 'The object does not exist.', '<box><1><2><3><4></box>' * 2],
     ['', '<box><1><2><3></box>', '<box><1><2><3><1000></box>', '<box><01><2><3><4></box>', 'ship']),
    ('REG_VG', ['<box><1><2><3><4></box>'], ['<box><1><2><3><4></box>' * 2]),
    ('REG_DET_OBB', ['<quad>' + '<7>' * 8 + '</quad>'], ['<quad>' + '<7>' * 7 + '</quad>']),
    ('PIX_SEG', ['<poly>' + '<7>' * 6 + '<sep>' + '<500>' * 8 + '</poly>'],
     ['<poly>' + '<7>' * 7 + '</poly>', '<poly>' + '<7>' * 4 + '</poly>', '<poly>' + '<7>' * 6]),
    ('PIX_CHG', ['<poly>' + '<499>' * 6 + '</poly>', '<poly>' + '<500>' * 6 + '</poly>', AT_THE_EDGE],
     ['<poly>' + '<499>' * 3 + '<501>' * 3 + '</poly>']),
    ('IMG_CT', ['0.', '12.', '999999999.'], ['', '.', '012.', '1234567890.', 'two.']),
    ('IMG_CAP', ['Two ships.', 'très'], ['', ' ', '.', 'a < b']),
])
def test_the_pattern_of_a_head(tag, fits, fits_not):
    head = head_for(tag)
    assert all(accepted(tag, text.encode()) for text in fits)
    assert not any(accepted(tag, text.encode()) for text in fits_not)
    assert all(head.decode(text, SIZE).failures == 0 for text in fits)


def test_the_end_is_allowed_only_after_a_whole_answer_and_forced_in_time():
    tokenizer = TOKENIZERS['single tokens']()
    end = tokenizer.eos_token_id
    shortest = 2 + 6 + 1  # what stands before, <box>, four numbers, </box>, the end

    def allowed(text, max_length):
        ids = torch.tensor([[end, tokenizer.bos_token_id, *tokenizer.encode(text, add_special_tokens=False)]])
        processor = AnswerConstraint(tokenizer).processor([head_for('REG_VG')], max_length)
        return set(torch.isfinite(processor(ids, torch.zeros(1, len(tokenizer))))[0].nonzero().flatten().tolist())

    tag, numbers = tokenizer.convert_tokens_to_ids('<box>'), tokenizer.convert_tokens_to_ids(['<0>', '<999>'])
    assert tag in allowed('', 100) and end not in allowed('', 100)
    assert tag in allowed('', shortest) and tokenizer.convert_tokens_to_ids('<') not in allowed('', shortest)
    assert set(numbers) <= allowed('<box><1>', shortest)
    assert tokenizer.convert_tokens_to_ids('<') in allowed('<box>', 100) - allowed('<box>', shortest)
    assert allowed('<box><1><2><3><4></box>', 100) == {end}
    assert allowed('ship', 100) == {end}  # a beam that is out of the race


@pytest.mark.parametrize('parts', [1, 2], ids=['at once', 'in turns'])
@settings(max_examples=10)
@given(st.randoms(use_true_random=False))
def test_what_a_step_keeps_of_the_one_before_changes_nothing(single_tokens, parts, random):
    """Beams change places and go on differently; each step allows what reading the whole rows anew does."""
    tokenizer, constraint = single_tokens
    heads, beams = [head_for('REG_DET_HBB'), head_for('PIX_SEG')], 3

    def allowed(processor, rows):
        return torch.isfinite(processor(torch.tensor(rows), torch.zeros(len(rows), len(tokenizer))))

    kept = constraint.processor(heads, 60)
    searches = [[[tokenizer.eos_token_id, tokenizer.bos_token_id]] * len(heads) * beams for _ in range(parts)]
    for _ in range(12):
        for number, rows in enumerate(searches):
            found = allowed(kept, rows)
            assert torch.equal(found, allowed(constraint.processor(heads, 60), rows))
            parents = [row - row % beams + random.randrange(beams) for row in range(len(rows))]
            # One token in five is none that is allowed.
            searches[number] = [rows[parent] + [random.choice(found[parent].nonzero().flatten().tolist())
                                                if random.randrange(5) else 7] for parent in parents]


@pytest.mark.parametrize('beams', [1, 3])
def test_holds_florence_2(beams):
    tokenizer = byte_pieces()
    model, heads = tiny_florence(tokenizer), [head_for('REG_DET_OBB'), head_for('PIX_CHG')]
    images = torch.rand(2, 3, 64, 64)
    prompt = torch.tensor([[len(tokenizer) + 1] * 5 + [tokenizer.bos_token_id, 9, tokenizer.eos_token_id]] * 2)
    processor = AnswerConstraint(tokenizer).processor(heads, 90, answer_start=2)
    ids = model.generate(input_ids=prompt, pixel_values=images, max_length=90, num_beams=beams,
                         decoder_start_token_id=tokenizer.eos_token_id, forced_bos_token_id=tokenizer.bos_token_id,
                         eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
                         logits_processor=[processor])
    for head, text in zip(heads, tokenizer.batch_decode(ids)):
        assert head.decode(text, SIZE).failures == 0, text


def test_without_a_constraint_generation_is_as_before():
    tokenizer = byte_pieces()
    model = tiny_model(tokenizer, 0)
    inputs = torch.randint(5, len(tokenizer), (2, 4))
    before = model.generate(inputs, max_length=20)
    answers(model, tokenizer, [head_for('REG_VG')], 60)
    assert torch.equal(model.generate(inputs, max_length=20), before)


def test_refuses_too_little_room_and_a_tokenizer_that_cannot_spell():
    with pytest.raises(ValueError, match=r'shortest answer of REG_DET_OBB takes \d+ tokens .* max_length is 5'):
        AnswerConstraint(byte_pieces()).processor([head_for('REG_DET_OBB')], max_length=5)
    processor = AnswerConstraint(byte_pieces()).processor([head_for('REG_VG')] * 2, max_length=90)
    with pytest.raises(ValueError, match='made for 2 samples, but the batch has 3 rows'):
        processor(torch.zeros(3, 2, dtype=torch.long), torch.zeros(3, 400))
    with pytest.raises(ValueError, match='Pass forced_bos_token_id'):
        processor(torch.zeros(2, 1, dtype=torch.long), torch.zeros(2, 405))
    with pytest.raises(ValueError, match='something else forbids them'):
        processor(torch.zeros(2, 2, dtype=torch.long), torch.full((2, 405), -torch.inf))
    words = Tokenizer(models.WordLevel({'ship': 0, '.': 1, **{word: index + 2 for index, word in enumerate(SPECIAL)}},
                                       unk_token='<unk>'))
    with pytest.raises(ValueError, match=re.escape('pieces for <, >, / and digits')):
        AnswerConstraint(wrap(words)).processor([head_for('REG_DET_OBB')], max_length=50)
