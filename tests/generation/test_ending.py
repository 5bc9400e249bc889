"""An answer ends with the token that its settings say, however the tokens cut its text."""

from __future__ import annotations

import codecs
from unittest import mock

from hypothesis import given
from hypothesis import strategies as st

from glassbox.generation import Decoding, Ending, ending
from glassbox.tokenizers.bytepair_trainers import train
from glassbox.tokenizers.splitting import PATTERNS

TEXT = "abba é€aé bab€ "
TOKENIZER = train([TEXT * 20], 256 + 12, pattern=PATTERNS["gpt2"])
IDS = [id for id in range(TOKENIZER.vocabulary_size) if TOKENIZER.token_bytes(id) in TEXT.encode()]


def ends_after(ids: list[int], decoding: Decoding, room: int = 100) -> tuple[int, str]:
    """How many of the ids an answer has, and why it ends."""
    answer = Ending(5, decoding, TOKENIZER, 5 + room)
    for count, id in enumerate(ids, start=1):
        if finish := answer.after(id):
            return count, finish
    raise AssertionError("it never ends")


def test_an_answer_ends_with_an_end_token_at_its_limit_and_where_the_context_is_full() -> None:
    assert ends_after([7, 8, 9], Decoding(end_tokens=(8,))) == (2, "end")
    assert ends_after([7, 8, 9], Decoding(max_tokens=3)) == (3, "length")
    assert ends_after([7, 8, 9], Decoding(), room=2) == (2, "context")
    assert ends_after([7, 8, 9], Decoding(max_tokens=2), room=2) == (2, "length")
    assert ends_after([7, 8, 9], Decoding(max_tokens=3, at_limit="slide"), room=2) == (3, "length")


def test_the_last_token_that_fits_may_be_an_end_of_its_own() -> None:
    assert ends_after([7, 8], Decoding(max_tokens=2, end_tokens=(8,))) == (2, "end")
    assert ends_after(TOKENIZER.encode("ab é"), Decoding(max_tokens=2, stop=("é",))) == (2, "stop")


stops = st.lists(
    st.sampled_from(["a", "b", "ab", "é", "aé", "bb", "a é", "\ufffd", "b\ufffd", "\ud800"]), min_size=1, max_size=3
)


@given(st.lists(st.sampled_from(IDS), max_size=30), stops, st.sampled_from([1, 2, ending.MOST_UNREAD]))
def test_a_stop_text_ends_an_answer_with_the_token_that_completes_it(
    ids: list[int], stop: list[str], most_unread: int
) -> None:
    with mock.patch.object(ending, "MOST_UNREAD", most_unread):
        answer = Ending(0, Decoding(max_tokens=1000, stop=tuple(stop)), TOKENIZER, 2000)
        told = [answer.after(id) for id in ids]
    shown = codecs.getincrementaldecoder("utf-8")("replace")  # of a text what is certain, however it goes on
    text, expected = "", [None] * len(ids)
    for count, id in enumerate(ids):
        text += shown.decode(TOKENIZER.token_bytes(id))
        if any(each in text for each in stop):
            expected[count:] = ["stop"] * (len(ids) - count)
            break
    first = next((count for count, finish in enumerate(expected) if finish), len(ids))
    assert told[: first + 1] == expected[: first + 1]
