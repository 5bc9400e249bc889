from __future__ import annotations

import pytest
import tokenizers
from hard_texts import CORPUS
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

from glassbox.errors import BadInput
from glassbox.tokenizers.bytepair import BytePairTokenizer
from glassbox.tokenizers.bytepair_trainers import train
from glassbox.tokenizers.characters import CharacterTokenizer
from glassbox.tokenizers.digits import DigitTokenizer
from glassbox.tokenizers.huggingface import HuggingFaceTokenizer
from glassbox.tokenizers.inspection import Inspection, inspect

OURS = train(CORPUS, 600)
THEIRS = HuggingFaceTokenizer(OURS.to_tokenizer_json())


def learned(model: tokenizers.models.Model, trainer: trainers.Trainer, **parts: object) -> HuggingFaceTokenizer:
    library = tokenizers.Tokenizer(model)
    for name, part in parts.items():
        setattr(library, name, part)
    library.train_from_iterator(CORPUS, trainer)
    return HuggingFaceTokenizer(library.to_str())


WORDPIECE = learned(
    models.WordPiece(unk_token="[UNK]"),
    trainers.WordPieceTrainer(vocab_size=300, special_tokens=["[UNK]"], show_progress=False),
    normalizer=normalizers.Lowercase(),
    pre_tokenizer=pre_tokenizers.Whitespace(),
)

# As Llama 2's: blanks become a mark, characters outside of the vocabulary become bytes.
SENTENCEPIECE = learned(
    models.BPE(byte_fallback=True, fuse_unk=True, unk_token="<unk>"),
    trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=["<unk>", *(f"<0x{byte:02X}>" for byte in range(256))],
        limit_alphabet=60,
        show_progress=False,
    ),
    normalizer=normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]),
    decoder=decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]),
)


def assert_merges_lead_to_the_tokens(seen: Inspection) -> None:
    for piece in seen.pieces:
        parts = piece.merges[0].parts if piece.merges else piece.tokens
        for merge in piece.merges:
            assert merge.parts == parts
            assert merge.place in merge.candidates
            parts = merge.after
        assert parts == piece.tokens


@given(st.text(max_size=40) | st.sampled_from(CORPUS))
def test_tokens_lie_side_by_side_over_the_bytes_of_any_text(text: str):
    seen = inspect(OURS, text)
    assert [token.id for token in seen.tokens] == OURS.encode(text)
    reached = 0
    for token in seen.tokens:
        assert token.start == reached
        assert text.encode()[token.start : token.end] == token.bytes
        reached += len(token.bytes)
    assert reached == len(text.encode())
    assert b"".join(piece.bytes for piece in seen.pieces) == text.encode()
    assert [token for piece in seen.pieces for token in piece.tokens] == [token.bytes for token in seen.tokens]
    assert_merges_lead_to_the_tokens(seen)


@given(st.text(max_size=40) | st.sampled_from(CORPUS))
def test_the_library_s_byte_pairs_are_merged_in_the_very_steps_of_ours(text: str):
    assert inspect(THEIRS, text) == inspect(OURS, text)


def test_a_word_becomes_tokens_merge_by_merge():
    tokenizer = BytePairTokenizer([(67, 64), (256, 83)])  # "d" "a" (GPT-2's order of bytes), then "da" "t"
    [piece] = inspect(tokenizer, "data").pieces
    assert [merge.parts for merge in piece.merges] == [(b"d", b"a", b"t", b"a"), (b"da", b"t", b"a")]
    assert piece.tokens == (b"dat", b"a")


@given(st.text(max_size=30) | st.sampled_from(CORPUS))
def test_sentencepiece_merges_are_shown_where_they_end_as_the_library_s_tokens(text: str):
    seen = inspect(SENTENCEPIECE, text)
    assert [token.id for token in seen.tokens] == SENTENCEPIECE.encode(text)
    assert_merges_lead_to_the_tokens(seen)


def test_sentencepiece_shows_merges_of_plain_text():
    [piece] = inspect(SENTENCEPIECE, "the other").pieces
    assert len(piece.merges) > 3
    assert_merges_lead_to_the_tokens(inspect(SENTENCEPIECE, "the other"))


def test_places_are_the_library_s_where_it_changes_the_text():
    text = "Thé WORLD"
    seen = inspect(WORDPIECE, text)
    encoding = tokenizers.Tokenizer.from_str(WORDPIECE.to_tokenizer_json()).encode(text, add_special_tokens=False)
    expected = [tuple(len(text[:place].encode()) for place in span) for span in encoding.offsets]
    assert [(token.start, token.end) for token in seen.tokens] == expected
    assert seen.pieces == ()


def test_words_of_digits_are_found_between_the_blanks():
    seen = inspect(DigitTokenizer(), "  Max ( 1 2 )")
    assert [(token.text, token.start, token.end) for token in seen.tokens] == [
        ("Max", 2, 5), ("(", 6, 7), ("1", 8, 9), ("2", 10, 11), (")", 12, 13),
    ]  # fmt: skip


def test_part_of_a_character_is_shown_with_its_bytes():
    seen = inspect(BytePairTokenizer([]), "é")
    assert [(token.bytes, token.text) for token in seen.tokens] == [(b"\xc3", "\ufffd"), (b"\xa9", "\ufffd")]


def test_special_tokens_are_marked_where_they_are_allowed():
    text = "a<|endoftext|>b"
    assert not any(token.special for token in inspect(OURS, text).tokens)
    seen = inspect(OURS, text, allow_special=True)
    assert [token.special for token in seen.tokens] == [False, True, False]
    assert [(token.start, token.end) for token in seen.tokens] == [(0, 1), (1, 14), (14, 15)]


def test_a_text_that_cannot_be_encoded_is_refused():
    with pytest.raises(BadInput, match="'x'"):
        inspect(CharacterTokenizer("ab"), "abx")
    with pytest.raises(BadInput, match="surrogate"):
        inspect(THEIRS, "\ud800")


def test_a_piece_too_long_to_be_shown_has_tokens_but_no_steps():
    [piece] = inspect(OURS, "a" * 5_000).pieces
    assert piece.merges == ()
    assert b"".join(piece.tokens) == b"a" * 5_000
    assert inspect(THEIRS, "a" * 5_000).pieces == ()
