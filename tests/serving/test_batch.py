"""Whatever comes and goes beside it, each request gets the answer that it gets alone."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest import mock

import pytest
import torch
from drawn_specs import model_of, specs
from hypothesis import given, settings
from hypothesis import strategies as st
from listening import Listener, ids_of, text_of

from glassbox.engines.tensors import Transformer
from glassbox.engines.tensors.step import Step
from glassbox.generation import Decoder, Decoding, Ending
from glassbox.serving import prefixes, slots
from glassbox.serving.batch import Batch
from glassbox.serving.requests import Failure, Request
from glassbox.serving.transcript import Part
from glassbox.spec import ModelSpec
from glassbox.tokenizers.characters import CharacterTokenizer

LETTERS = "abcdefghijkl"
TOKENIZER = CharacterTokenizer(LETTERS)  # 13 ids, as the drawn models have
SPEC = ModelSpec(vocabulary_size=13, context=48, width=16, layers=2, heads=4, initial_std=0.5)


@dataclass
class Asked:
    """A request, and what came back. patience: tokens after which nobody listens any more."""

    text: str
    decoding: Decoding
    patience: int | None = None
    listener: Listener | None = None

    def request(self, decoder: Decoder) -> Request:
        ids = decoder.encode(self.text, self.decoding)
        ending = Ending(len(ids), self.decoding, TOKENIZER, decoder.model.spec.context)
        request = Request(ids, len(ids), 0, self.decoding, ending)
        self.listener = Listener(request, TOKENIZER, self._hear)
        return request

    def _hear(self, _: Part | Failure) -> None:
        if len(self.heard) == self.patience:
            self.cancel()

    def cancel(self) -> None:
        assert self.listener is not None, "nothing was asked"
        self.listener.request.cancelled = True

    @property
    def heard(self) -> list[Part | Failure]:
        """A part for each token."""
        return [] if self.listener is None else self.listener.heard

    @property
    def parts(self) -> list[Part]:
        assert self.listener is not None, "nothing was asked"
        return self.listener.parts

    @property
    def failure(self) -> Failure:
        assert isinstance(self.heard[-1], Failure)
        return self.heard[-1]


def decoder_of(spec: ModelSpec = SPEC) -> Decoder:
    return Decoder(model_of(spec), TOKENIZER)


@pytest.fixture
def decoder() -> Decoder:
    return decoder_of()


@contextmanager
def short_bounds() -> Iterator[None]:
    """The store grows, and beginnings are shared, with texts as short as these."""
    with mock.patch.object(slots, "FIRST_LENGTH", 2), mock.patch.object(prefixes, "SHORTEST", 2):
        yield


def serve(batch: Batch, decoder: Decoder, arrivals: Sequence[tuple[int, Asked]]) -> None:
    """Rounds until all have ended; first come, first served, each from its round on."""
    waiting, round_number = deque(sorted(arrivals, key=lambda arrival: arrival[0])), 0
    while waiting or batch.busy:
        admitted: list[Request] = []
        while waiting and waiting[0][0] <= round_number and len(admitted) < batch.free:
            admitted.append(waiting.popleft()[1].request(decoder))
        batch.admit(admitted)
        batch.round()
        round_number += 1
        assert round_number < 10_000


def assert_as_alone(decoder: Decoder, asked: Asked) -> None:
    """Of a request that was cancelled: as far as it came."""
    alone = decoder.complete([asked.text], asked.decoding)[0]
    count = len(alone.ids) if asked.patience is None else min(asked.patience, len(alone.ids))
    assert ids_of(asked.parts) == alone.ids[:count]
    if count == len(alone.ids):
        assert (text_of(asked.parts), asked.parts[-1].finish) == (alone.text, alone.finish)
    told = [likelihood for part in asked.parts for likelihood in part.likelihoods]
    expected = (alone.likelihoods or ())[:count]
    assert [each.log_probability for each in told] == pytest.approx(
        [each.log_probability for each in expected], abs=1e-5
    )
    for each, other in zip(told, expected, strict=True):
        values = [value for _, value in each.alternatives]
        assert values == pytest.approx([value for _, value in other.alternatives], abs=1e-5)


@st.composite
def decodings(draw: st.DrawFn) -> Decoding:
    at_limit = draw(st.sampled_from(["stop", "slide"]))
    return Decoding(
        max_tokens=draw(st.integers(1, 30)),
        temperature=draw(st.sampled_from([0, 1, 1, 0.7])),
        top_k=draw(st.sampled_from([0, 0, 3, 20])),
        top_p=draw(st.sampled_from([1, 1, 0.8])),
        min_p=draw(st.sampled_from([0, 0, 0.1])),
        repetition_penalty=draw(st.sampled_from([1, 1, 1.5])),
        presence_penalty=draw(st.sampled_from([0, 0, 0.5])),
        frequency_penalty=draw(st.sampled_from([0, 0, 0.5])),
        seed=draw(st.integers(0, 2**64 - 1)),
        stop=draw(st.sampled_from([(), (), ("ab",), ("a", "cd")])),
        end_tokens=draw(st.sampled_from([(), (), (5,)])),
        alternatives=draw(st.sampled_from([None, None, 0, 3])),
        at_limit=at_limit,
    )


texts = st.text(LETTERS, min_size=1, max_size=11)  # within the context of 12, and repeated beyond it
asked = st.builds(
    lambda text, times, *rest: Asked(text * (times if rest[0].at_limit == "slide" else 1), *rest),
    texts,
    st.sampled_from([1, 1, 1, 3]),
    decodings(),
    st.sampled_from([None, None, None, 1, 4]),
)


@given(
    specs(kinds=("decoder",)),
    st.lists(st.tuples(st.integers(0, 25), asked), min_size=1, max_size=7),
    st.integers(1, 4),
    st.integers(1, 12),
)
@settings(max_examples=100)
def test_each_request_gets_what_it_gets_alone_whatever_comes_and_goes_beside_it(
    spec: ModelSpec, arrivals: list[tuple[int, Asked]], rows: int, chunk: int
) -> None:
    decoder = decoder_of(spec)
    with short_bounds():
        batch = Batch(decoder.model, rows, chunk)
        serve(batch, decoder, arrivals)
    for _, each in arrivals:
        assert_as_alone(decoder, each)
    counts = batch.counts
    assert counts.finished + counts.cancelled == len(arrivals)
    assert counts.written == sum(len(each.heard) for _, each in arrivals)
    assert (batch.busy, counts.failed) == (0, 0)


def begun(decoder: Decoder, *asked: Asked, rows: int = 4, chunk: int = 8) -> Batch:
    """A batch that has admitted these."""
    batch = Batch(decoder.model, rows, chunk)
    batch.admit([each.request(decoder) for each in asked])
    return batch


def test_in_single_precision_the_tokens_are_those_of_a_request_alone_too() -> None:
    decoder = Decoder(Transformer(SPEC, 3), TOKENIZER)
    arrivals = [(3 * number, Asked(LETTERS[: 1 + number], Decoding(max_tokens=20, seed=number))) for number in range(9)]
    serve(Batch(decoder.model, 4, 8), decoder, arrivals)
    for _, each in arrivals:
        assert_as_alone(decoder, each)


def test_several_answers_to_one_prompt_are_the_rows_of_a_batch(decoder: Decoder) -> None:
    decoding = Decoding(max_tokens=12, seed=3)
    expected = decoder.complete(["abc", "abc"], decoding)
    asked = [Asked("abc", decoding) for _ in expected]
    requests = [each.request(decoder) for each in asked]
    requests[1].row = 1
    batch = Batch(decoder.model, 2, 8)
    batch.admit(requests)
    while batch.busy:
        batch.round()
    answers = [ids_of(each.parts) for each in asked]
    assert answers == [each.ids for each in expected]
    assert answers[0] != answers[1]


def test_while_a_long_prompt_is_read_the_others_write_a_token_a_round(decoder: Decoder) -> None:
    writer, long = Asked("a", Decoding(max_tokens=40)), Asked("abcdefgh" * 5, Decoding(max_tokens=2))
    batch = begun(decoder, writer)
    batch.round()
    batch.admit([long.request(decoder)])
    for number in range(5):  # 39 tokens before the last one, 8 at a time
        assert not long.heard
        batch.round()
        assert len(writer.heard) == number + 2
    assert len(long.heard) == 1


def test_a_short_prompt_does_not_wait_for_the_whole_of_a_long_one_before_it(decoder: Decoder) -> None:
    long, short = Asked("abcdefgh" * 5, Decoding(max_tokens=2)), Asked("abc", Decoding(max_tokens=9))
    batch = begun(decoder, long)
    batch.round()
    batch.admit([short.request(decoder)])
    batch.round()
    assert (len(long.heard), len(short.heard)) == (0, 1)


def test_short_prompts_that_wait_are_read_together(decoder: Decoder) -> None:
    long = Asked("abcdefgh" * 5, Decoding(max_tokens=1))
    batch = begun(decoder, long)
    batch.round()
    batch.admit([Asked("abc", Decoding(max_tokens=9)).request(decoder)])
    batch.round()  # of those, the first
    shorts = [Asked(text, Decoding(max_tokens=9)) for text in ("b", "cde", "a")]
    for short in shorts:
        batch.admit([short.request(decoder)])
    batch.round()  # the long one's turn
    batch.round()
    assert [len(short.heard) for short in shorts] == [1, 1, 1]


def test_of_prompts_that_come_together_the_short_ones_are_read_first(decoder: Decoder) -> None:
    long, short = Asked("abcdefgh" * 5, Decoding(max_tokens=2)), Asked("abc", Decoding(max_tokens=9))
    begun(decoder, long, short).round()
    assert (len(long.heard), len(short.heard)) == (0, 1)


def test_a_long_prompt_gets_its_turn_however_many_short_ones_keep_coming(decoder: Decoder) -> None:
    long = Asked("abcdefgh" * 5, Decoding(max_tokens=1))
    batch, rounds = begun(decoder, long), 0
    while not long.heard:
        batch.admit([Asked("abc", Decoding(max_tokens=1)).request(decoder) for _ in range(batch.free)])
        batch.round()
        rounds += 1
    assert rounds <= 2 * 5


def test_several_waiting_prompts_are_read_at_once(decoder: Decoder) -> None:
    asked = [Asked(text, Decoding(max_tokens=5)) for text in ("ab", "abc", "b", "cd")]
    batch = begun(decoder, *asked)
    batch.round()
    assert [len(each.heard) for each in asked] == [1, 1, 1, 1]
    assert (batch.counts.read, batch.counts.steps, batch.counts.written) == (4, 1, 4)  # all but the last ids


def test_what_was_said_before_is_not_read_again(decoder: Decoder) -> None:
    first = Asked("abcdefghijkl" * 2, Decoding(max_tokens=6, seed=1))
    batch = begun(decoder, first)
    serve(batch, decoder, [])
    assert (batch.counts.read, batch.counts.reused) == (23, 0)
    second = Asked("", Decoding(max_tokens=6, seed=1))
    request = second.request(decoder)
    request.ids = [*TOKENIZER.encode(first.text), *ids_of(first.parts), 1, 2, 3]
    request.prompt = len(request.ids)
    expected = [step.ids[0] for step in decoder.tokens([request.ids], second.decoding)]
    batch.admit([request])
    while batch.busy:
        batch.round()
    assert list(ids_of(second.parts)) == expected
    assert batch.counts.reused == 24 + 5  # all that was read before: everything but the last id
    assert batch.counts.read - 23 == 6 + 3 - 1 - 5


def test_what_another_is_still_being_answered_about_is_not_read_again(decoder: Decoder) -> None:
    first, second = (Asked("abcdefghijkl" * 3 + end, Decoding(max_tokens=9, seed=1)) for end in ("a", "bc"))
    batch = begun(decoder, first)
    while not first.heard:
        batch.round()
    read = batch.counts.read
    serve(batch, decoder, [(0, second)])
    assert (batch.counts.reused, batch.counts.read - read) == (36, 1)
    for each in (first, second):
        assert_as_alone(decoder, each)


def test_a_cancelled_request_frees_its_row_at_the_next_round_whether_read_written_or_waiting(decoder: Decoder) -> None:
    writing, reading = Asked("a", Decoding(max_tokens=40)), Asked("abcdefgh" * 5, Decoding(max_tokens=2))
    batch = begun(decoder, writing, reading, rows=2)
    batch.round()
    batch.round()
    assert (len(reading.heard), batch.free) == (0, 0)
    heard = len(writing.heard)
    writing.cancel()
    reading.cancel()
    batch.round()
    batch.round()
    assert (batch.free, len(writing.heard), batch.counts.cancelled) == (2, heard, 2)
    waiting = Asked("a", Decoding())
    request = waiting.request(decoder)
    waiting.cancel()
    batch.admit([request])
    assert (batch.free, batch.counts.cancelled) == (2, 3)


def test_a_request_cancelled_while_a_step_is_under_way_hears_nothing_of_it(decoder: Decoder) -> None:
    first, second = Asked("a", Decoding(max_tokens=9), patience=1), Asked("b", Decoding(max_tokens=9))
    batch = begun(decoder, first, second)
    first.cancel = second.cancel  # whoever hears the first piece sends the other away
    batch.round()
    batch.round()
    assert (len(first.heard), len(second.heard), batch.busy) == (2, 0, 1)


def failing(times: int, error: Exception) -> Callable[..., Any]:
    """In the place of a method: it fails so many times, and then does what it did."""
    left = times

    def wrap(original: Callable[..., Any]) -> Callable[..., Any]:
        def method(*arguments: Any, **named: Any) -> Any:
            nonlocal left
            if left:
                left -= 1
                raise error
            return original(*arguments, **named)

        return method

    return wrap


def test_a_fault_in_a_step_reaches_all_who_write_and_the_next_ones_are_answered(
    decoder: Decoder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Step, "__call__", failing(1, MemoryError("no room"))(Step.__call__))
    writing, reading = [Asked("a", Decoding(max_tokens=9)) for _ in range(2)], Asked("ab" * 20, Decoding(max_tokens=9))
    batch = begun(decoder, *writing, reading)
    batch.round()
    assert writing[0].failure == writing[1].failure
    assert writing[0].failure.problem == "The model failed (MemoryError)."
    assert "no room" not in writing[0].failure.problem  # what a fault says is for the log
    assert writing[0].failure.id in caplog.text and "no room" in caplog.text
    assert batch.counts.failed == 2
    serve(batch, decoder, [(0, later := Asked("abc", Decoding(max_tokens=9)))])
    for each in (reading, later):
        assert_as_alone(decoder, each)
    assert batch.faults == 0


def test_a_fault_in_reading_ends_what_was_read_and_nothing_else(
    decoder: Decoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    writing = Asked("a", Decoding(max_tokens=9))
    batch = begun(decoder, writing)
    batch.round()
    monkeypatch.setattr(Transformer, "hidden", failing(1, RuntimeError("broken"))(Transformer.hidden))
    broken, later = (Asked("abcd", Decoding(max_tokens=9)) for _ in range(2))
    batch.admit([broken.request(decoder)])
    batch.round()
    assert broken.failure
    assert batch.free == 3
    serve(batch, decoder, [(0, later)])
    assert_as_alone(decoder, writing)
    assert_as_alone(decoder, later)


def test_faults_without_a_success_between_them_are_counted(decoder: Decoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Step, "__call__", failing(2, RuntimeError("broken"))(Step.__call__))
    batch = Batch(decoder.model, 2, 8)
    for expected in (1, 2, 0):
        batch.admit([Asked("a", Decoding(max_tokens=1)).request(decoder)])
        batch.round()
        assert batch.faults == expected


def test_logits_that_are_no_numbers_are_a_failure_of_their_own_request(decoder: Decoder) -> None:
    with torch.no_grad():
        decoder.model.embedding.tokens[TOKENIZER.encode("c")[0]] = torch.nan
    spoiled, sound = Asked("c", Decoding(max_tokens=9)), Asked("ab", Decoding(max_tokens=3, seed=1))
    decoder.model.output.weight = torch.nn.Parameter(torch.ones(13, SPEC.width, dtype=torch.float64))
    batch = begun(decoder, spoiled, rows=1)
    serve(batch, decoder, [(0, sound)])  # in the row that held what is no number
    assert spoiled.failure.problem == "The model failed (ArithmeticError)."
    assert len(sound.parts) == 3


def test_an_answer_that_cannot_be_told_ends_alone(decoder: Decoder, monkeypatch: pytest.MonkeyPatch) -> None:
    broken, sound = Asked("ab", Decoding(max_tokens=9, seed=1)), Asked("ab", Decoding(max_tokens=9, seed=2))
    requests = [broken.request(decoder), sound.request(decoder)]
    monkeypatch.setattr(requests[0].ending, "after", mock.Mock(side_effect=KeyError("no such token")))
    batch = Batch(decoder.model, 2, 8)
    batch.admit(requests)
    while batch.busy:
        batch.round()
    assert broken.failure.problem == "The model failed (KeyError)."
    assert_as_alone(decoder, sound)


def test_a_listener_that_fails_is_cancelled_and_nobody_else_notices(
    decoder: Decoder, caplog: pytest.LogCaptureFixture
) -> None:
    deaf, sound = Asked("ab", Decoding(max_tokens=9)), Asked("ab", Decoding(max_tokens=9, seed=2))
    requests = [deaf.request(decoder), sound.request(decoder)]
    requests[0].on_token = told = mock.Mock(side_effect=ConnectionError("gone"))
    batch = Batch(decoder.model, 2, 8)
    batch.admit(requests)
    while batch.busy:
        batch.round()
    assert told.call_count == 1
    assert "gone" in caplog.text
    assert (batch.counts.cancelled, batch.counts.finished) == (1, 1)
    assert_as_alone(decoder, sound)
