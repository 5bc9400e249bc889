"""Streaming text: pieces never split a character nor show part of a stop text."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from glassbox.generation.text import TextStream, spelled
from glassbox.tokenizers.characters import CharacterTokenizer


@given(st.text(), st.data())
def test_pieces_of_any_cut_make_up_the_text_and_split_no_character(text: str, data: st.DataObject) -> None:
    content = text.encode("utf-8", errors="ignore")
    stream, pieces = TextStream(), []
    while content:
        size = data.draw(st.integers(1, 3))
        pieces.append(stream.add(content[:size]))
        content = content[size:]
    pieces.append(stream.end())
    assert "".join(pieces) == text.encode("utf-8", errors="ignore").decode()
    assert not any("\ufffd" in piece for piece in pieces) or "\ufffd" in text


@given(
    st.text("abc", max_size=20),
    st.lists(st.text("abc", min_size=1, max_size=4), min_size=1, max_size=3),
    st.lists(st.integers(1, 4), min_size=1),
)
def test_text_ends_before_the_first_stop_text_however_tokens_cut_it(
    text: str, stops: list[str], sizes: list[int]
) -> None:
    stream, shown, at = TextStream(stops), "", 0
    for index in range(len(text)):
        if at >= len(text) or stream.stopped:
            break
        size = sizes[index % len(sizes)]
        shown += stream.add(text[at : at + size].encode())
        at += size
        assert text.startswith(shown)
    shown += stream.end()
    ends = [text[:at].find(stop) for stop in stops if stop in text[:at]]
    assert stream.stopped == bool(ends)
    assert shown == (text[: min(ends)] if ends else text)


def test_a_character_that_never_ends_is_shown_as_a_replacement() -> None:
    stream = TextStream()
    assert stream.add("é".encode()[:1]) == ""
    assert stream.end() == "\ufffd"


def test_an_id_that_the_tokenizer_lacks_stands_for_no_text():
    tokenizer = CharacterTokenizer("ab")
    assert spelled(tokenizer, tokenizer.encode("b")[0]) == b"b"
    assert spelled(tokenizer, tokenizer.vocabulary_size) == b""
