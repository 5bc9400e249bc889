"""Byte-level BPE: what goes in comes out, and the ids are those of two other libraries."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tiktoken
import tokenizers
from hard_texts import CORPUS, texts
from hypothesis import example, given
from hypothesis import strategies as st

from glassbox.errors import BadInput
from glassbox.tokenizers import bytepair as module
from glassbox.tokenizers import load
from glassbox.tokenizers.byte_alphabet import IDS_BY_BYTE
from glassbox.tokenizers.bytepair import BytePairTokenizer
from glassbox.tokenizers.bytepair_trainers import train
from glassbox.tokenizers.splitting import GPT2, PATTERNS


@given(text=texts())
@example(text=" " * 300 + "x" + "\n" * 200)
@example(text="a" * 300 + "ab" * 300)
def test_ids_are_those_of_hugging_face_and_of_tiktoken(
    bytepair: BytePairTokenizer,
    same_in_huggingface: tokenizers.Tokenizer,
    same_in_tiktoken: tiktoken.Encoding,
    text: str,
) -> None:
    ids = bytepair.encode(text)
    if not bytepair.special_tokens.keys() & {text[i : i + 13] for i in range(len(text))}:  # they'd be found unasked
        assert same_in_huggingface.encode(text).ids == ids
    assert same_in_tiktoken.encode_ordinary(text) == ids
    assert bytepair.encode_batch([text, text]) == [ids, ids]
    assert [array.tolist() for array in bytepair.encode_arrays([text])] == [ids]


@given(text=texts())
def test_text_comes_back(bytepair: BytePairTokenizer, text: str) -> None:
    assert bytepair.decode(bytepair.encode(text)) == text
    assert bytepair.encode_bytes(text.encode()) == bytepair.encode(text)


@given(data=st.binary())
@example(data="Größe".encode()[:3] + b"\xff\xfe\x00" + "中".encode()[1:])
def test_any_bytes_come_back(bytepair: BytePairTokenizer, data: bytes) -> None:
    ids = bytepair.encode_bytes(data)
    assert bytepair.decode_bytes(ids) == data
    assert bytepair.decode(ids) == data.decode(errors="replace")
    assert b"".join(map(bytepair.token_bytes, ids)) == data


@pytest.mark.parametrize("name", ["tinyshakespeare", "wikitext-2-valid"])
@pytest.mark.parametrize("vocabulary_size", [512, 4096])
@pytest.mark.parametrize("pattern", PATTERNS.values(), ids=PATTERNS)
def test_real_text_has_the_same_ids_in_all_libraries(
    test_data: Path, name: str, vocabulary_size: int, pattern: module.SplittingPattern
) -> None:
    text = (test_data / f"{name}.txt").read_text(encoding="utf-8")
    tokenizer = train([text], vocabulary_size, pattern=pattern)
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert tokenizer.encode_batch([text])[0] == ids
    assert tokenizers.Tokenizer.from_str(tokenizer.to_tokenizer_json()).encode(text).ids == ids


def test_special_tokens_are_ordinary_text_unless_allowed(bytepair: BytePairTokenizer) -> None:
    text = "Hi<|endoftext|><|user|>there"
    end, user = bytepair.special_tokens["<|endoftext|>"], bytepair.special_tokens["<|user|>"]
    assert (end, user) == (bytepair.vocabulary_size - 2, bytepair.vocabulary_size - 1)
    assert bytepair.end_of_text == end
    for ids in (bytepair.encode(text), bytepair.encode_batch([text])[0], bytepair.encode_bytes(text.encode())):
        assert not {end, user} & set(ids)
        assert bytepair.decode(ids) == text
    allowed = bytepair.encode(text, allow_special=True)
    assert allowed == [*bytepair.encode("Hi"), end, user, *bytepair.encode("there")]
    assert bytepair.decode(allowed) == text
    assert bytepair.token_bytes(user) == b"<|user|>"


def test_of_two_special_tokens_that_begin_alike_the_longer_one_is_found() -> None:
    tokenizer = BytePairTokenizer([], special_tokens=("<|a|>", "<|a|>b", "x.*"))
    assert tokenizer.encode("<|a|>b<|a|>x.*", allow_special=True) == [257, 256, 258]
    assert tokenizer.encode("", allow_special=True) == []


def test_without_special_tokens_nothing_parts_documents() -> None:
    tokenizer = BytePairTokenizer([], special_tokens=())
    assert tokenizer.end_of_text is None
    assert tokenizer.vocabulary_size == 256
    assert tokenizer.encode("a", allow_special=True) == [IDS_BY_BYTE[ord("a")]]


def test_each_step_of_a_word_can_be_seen() -> None:
    h, e, l = (IDS_BY_BYTE[ord(letter)] for letter in "hel")  # noqa: E741  (the letters themselves)
    tokenizer = BytePairTokenizer([(l, l), (h, e), (257, 256)], special_tokens=())
    steps = tokenizer.steps("hell")
    assert [(step.tokens, step.place, step.token) for step in steps] == [
        ((h, e, l, l), 2, 256),
        ((h, e, 256), 0, 257),
        ((257, 256), 0, 258),
    ]
    assert steps[0].candidates == ((0, 257), (2, 256))
    assert tokenizer.encode("hell") == [258]


def test_a_piece_too_long_to_be_shown_is_bad_input(bytepair: BytePairTokenizer) -> None:
    assert bytepair.steps("a" * 1000)
    with pytest.raises(BadInput, match="1,001 bytes"):
        bytepair.steps("a" * 1001)


@given(text=texts())
def test_the_steps_end_at_the_tokens_of_the_piece(bytepair: BytePairTokenizer, text: str) -> None:
    for piece in bytepair.pattern.split(text):
        steps = bytepair.steps(piece)
        if steps:
            tokens, place = steps[-1].tokens, steps[-1].place
            assert [*tokens[:place], steps[-1].token, *tokens[place + 2 :]] == bytepair.encode(piece)
        else:
            assert len(bytepair.encode(piece)) == len(piece.encode())


@pytest.mark.parametrize("pattern", PATTERNS.values(), ids=PATTERNS)
@pytest.mark.parametrize(
    "text", [" " * 1_000_001 + "x", "\n" * 300_000 + "x", "ab" * 150_000], ids=["spaces", "lines", "letters"]
)
def test_endless_runs_are_encoded(pattern: module.SplittingPattern, text: str) -> None:
    """A million blanks break tiktoken's regular expressions, and any long run takes a quadratic algorithm for ever."""
    tokenizer = train(["aaaa abab     \n\n\n\n x", "a"], 270, pattern=pattern)
    ids = tokenizer.encode_batch([text])[0]
    assert len(ids) < len(text) / 2 + 2
    assert tokenizer.decode(ids) == text


@given(before=st.integers(0, 30), blanks=st.integers(0, 30), after=st.integers(0, 30))
def test_long_runs_of_blanks_are_seen_wherever_they_stand(before: int, blanks: int, after: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLANKS_IN_A_ROW", 5)
        seen = module.has_endless_blanks("x" * before + "\n" * blanks + "x" * after)
    assert seen or blanks < 10
    assert not seen or blanks >= 5


def test_a_batch_keeps_the_order_of_its_documents(bytepair: BytePairTokenizer) -> None:
    documents = [f"{number} {CORPUS[number % len(CORPUS)]}" for number in range(50)]
    assert bytepair.encode_batch(documents) == [bytepair.encode(document) for document in documents]
    assert bytepair.encode_batch([]) == []


def test_merges_that_tiktoken_would_apply_otherwise_are_not_given_to_it() -> None:
    a, b, c = (IDS_BY_BYTE[ord(letter)] for letter in "abc")
    # "abc" is made of "a" and "bc", but alone its letters become "ab" and "c": a tokenizer that no text teaches.
    tokenizer = BytePairTokenizer([(a, b), (b, c), (a, 257)], special_tokens=())
    assert not tokenizer.is_self_consistent
    assert tokenizer.encode_batch(["abc"]) == [tokenizer.encode("abc")] == [[256, c]]
    assert tokenizers.Tokenizer.from_str(tokenizer.to_tokenizer_json()).encode("abc").ids == [256, c]


@given(st.lists(st.text(st.sampled_from("abc"), min_size=1), min_size=1))
def test_merges_that_were_learned_are_self_consistent(documents: list[str]) -> None:
    assert train(documents, 400).is_self_consistent


def test_the_memory_of_pieces_is_bounded(bytepair: BytePairTokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PIECES_REMEMBERED", 50)
    text = " ".join(str(number) for number in range(1000))
    assert [bytepair.decode(bytepair.encode(text)) for _ in range(3)] == [text] * 3


def test_a_saved_tokenizer_comes_back(bytepair: BytePairTokenizer, tmp_path: Path) -> None:
    bytepair.save(tmp_path)
    loaded = load(tmp_path)
    assert isinstance(loaded, BytePairTokenizer)
    assert loaded.merges == bytepair.merges
    assert loaded.pattern is bytepair.pattern
    assert loaded.special_tokens == bytepair.special_tokens
    assert loaded.end_of_text == bytepair.end_of_text
    assert json.loads((tmp_path / "glassbox.json").read_text()) == {"type": "bytepair"}


@pytest.mark.parametrize("token", [558, -1, 10**9])
def test_an_unknown_id_is_bad_input(bytepair: BytePairTokenizer, token: int) -> None:
    with pytest.raises(BadInput, match=f"id {token} isn't in this tokenizer's vocabulary of 558"):
        bytepair.decode([5, token])
    with pytest.raises(BadInput, match=f"id {token} "):
        bytepair.token_bytes(token)


def test_half_of_a_surrogate_pair_is_bad_input(bytepair: BytePairTokenizer) -> None:
    for encode in (bytepair.encode, lambda text: bytepair.encode_batch([text]), bytepair.steps):
        with pytest.raises(BadInput, match=r"Character 4 of the text is U\+DE00"):
            encode("abc\ude00")


@pytest.mark.parametrize(
    ("merges", "special_tokens", "problem"),
    [
        ([(0, 256)], (), "Merge 0 joins the ids 0 and 256"),
        ([(-1, 0)], (), "Merge 0 joins the ids -1 and 0"),
        ([(0, 1), (0, 1)], (), "already"),
        ([(0, 0), (256, 0), (0, 256)], (), "already"),
        ([], ("",), "empty"),
        ([], ("<|a|>", "<|a|>"), "given twice"),
        ([], ("\ud83d",), "half of a surrogate"),
        ([], ("a",), "spelled like an ordinary token"),
        ([(IDS_BY_BYTE[32], IDS_BY_BYTE[97])], ("Ġa",), "spelled like an ordinary token"),
    ],
)
def test_parts_that_make_no_tokenizer_are_bad_input(
    merges: list[tuple[int, int]], special_tokens: tuple[str, ...], problem: str
) -> None:
    with pytest.raises(BadInput, match=problem):
        BytePairTokenizer(merges, GPT2, special_tokens)
