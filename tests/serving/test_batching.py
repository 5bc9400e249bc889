"""Many threads ask, one writes: everybody gets an answer or a word why not."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from listening import PATIENCE, Listener, ids_of, text_of

from glassbox.engines.tensors import Transformer
from glassbox.engines.tensors.step import Step
from glassbox.errors import BadInput
from glassbox.generation import Decoder, Decoding
from glassbox.serving import batching
from glassbox.serving.batch import Batch
from glassbox.serving.batching import Closed, ContinuousBatcher, Full, Ticket
from glassbox.serving.transcript import Part
from glassbox.spec import ModelSpec
from glassbox.tokenizers.characters import CharacterTokenizer

TOKENIZER = CharacterTokenizer("abcdefghijkl")
SPEC = ModelSpec(vocabulary_size=13, context=48, width=16, layers=2, heads=4, initial_std=0.5)
ENDLESS = Decoding(max_tokens=10_000_000, at_limit="slide")


@pytest.fixture
def decoder() -> Decoder:
    return Decoder(Transformer(SPEC, 3).double(), TOKENIZER)


@pytest.fixture
def batcher(decoder: Decoder) -> Iterator[ContinuousBatcher]:
    with ContinuousBatcher(decoder.model, TOKENIZER, rows=2, waiting=3) as running:
        yield running


def submit(batcher: ContinuousBatcher, decoding: Decoding = ENDLESS) -> tuple[Listener, Ticket]:
    ticket = batcher.submit([1, 2], decoding)
    return Listener(ticket.request, TOKENIZER), ticket


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it never came to be"
        time.sleep(0.001)


def test_many_threads_get_the_answers_that_their_prompts_get_alone(decoder: Decoder) -> None:
    texts = ["ab", "c", "abcdefgh", "lkjihgfedcba" * 3, "a"] * 4
    settings = [Decoding(max_tokens=5 + number, seed=number, alternatives=1) for number in range(len(texts))]
    expected = [decoder.complete([text], decoding)[0] for text, decoding in zip(texts, settings, strict=True)]
    with ContinuousBatcher(decoder.model, TOKENIZER, rows=4) as batcher, ThreadPoolExecutor(8) as threads:

        def ask(text: str, decoding: Decoding) -> list[Part]:
            listener = Listener(batcher.submit(decoder.encode(text, decoding), decoding).request, TOKENIZER)
            parts = listener.whole()
            assert listener.threads <= {"batching"}
            return parts

        answers = list(threads.map(ask, texts, settings))
        load = batcher.snapshot()
    for parts, alone in zip(answers, expected, strict=True):
        assert (ids_of(parts), text_of(parts), parts[-1].finish) == (alone.ids, alone.text, alone.finish)
    assert (load.finished, load.failed, load.cancelled) == (len(texts), 0, 0)
    assert load.written == sum(len(answer.ids) for answer in expected)
    assert load.steps < load.written  # they were written together


def test_the_row_decides_the_draws(batcher: ContinuousBatcher, decoder: Decoder) -> None:
    decoding = Decoding(max_tokens=20, seed=4)
    expected = decoder.complete(["ab", "ab"], decoding)
    for row in (0, 1):
        ticket = batcher.submit(decoder.encode("ab", decoding), decoding, row=row)
        assert ids_of(Listener(ticket.request, TOKENIZER).whole()) == expected[row].ids


def test_those_who_wait_are_served_in_the_order_in_which_they_came(batcher: ContinuousBatcher) -> None:
    running = [submit(batcher) for _ in range(2)]
    for listener, _ in running:
        listener.next()
    order: list[int] = []
    waiting: list[Listener] = []
    for number in range(3):
        request = batcher.submit([1], Decoding(max_tokens=1)).request
        waiting.append(Listener(request, TOKENIZER, lambda _, number=number: order.append(number)))
    assert batcher.snapshot().waiting == 3
    running[0][1].cancel()
    for listener in waiting:
        listener.whole()
    assert order == [0, 1, 2]


def test_when_enough_wait_another_is_told_so_until_one_of_them_goes(batcher: ContinuousBatcher) -> None:
    for listener, _ in [submit(batcher) for _ in range(2)]:
        listener.next()
    waiting = [submit(batcher) for _ in range(3)]
    with pytest.raises(Full, match="3 requests wait already") as caught:
        submit(batcher)
    assert caught.value.waiting == 3
    waiting[1][1].cancel()
    assert (batcher.snapshot().waiting, batcher.snapshot().cancelled) == (2, 1)
    submit(batcher)


def test_a_cancelled_request_hears_no_more_and_its_row_is_free(batcher: ContinuousBatcher) -> None:
    listener, ticket = submit(batcher)
    listener.next()
    ticket.cancel()
    until(lambda: batcher.snapshot().busy == 0)
    heard = len(listener.heard)
    other, _ = submit(batcher, Decoding(max_tokens=5))
    other.whole()
    assert len(listener.heard) == heard
    assert batcher.snapshot().cancelled == 1
    ticket.cancel()  # once more does no harm
    assert batcher.snapshot().cancelled == 1


def test_the_load_says_what_goes_on(batcher: ContinuousBatcher) -> None:
    listeners = [submit(batcher)[0] for _ in range(3)]
    for listener in listeners[:2]:
        listener.next()
    load = batcher.snapshot()
    assert (load.rows, load.busy, load.waiting, load.may_wait, load.healthy) == (2, 2, 1, 3, True)
    assert load.read == 2  # of two ids each, the last is read with the first step
    assert load.written >= load.steps >= 1


def test_whatever_else_is_computed_is_computed_by_the_thread_that_writes(batcher: ContinuousBatcher) -> None:
    listener, ticket = submit(batcher)
    listener.next()
    named = batcher.run(lambda: threading.current_thread().name)
    assert named.result(PATIENCE) == "batching"
    listener.next()
    assert listener.threads == {"batching"}
    ticket.cancel()
    until(lambda: batcher.snapshot().busy == 0)
    assert batcher.run(divmod, 7, 2).result(PATIENCE) == (3, 1)  # also when nobody writes


def test_a_fault_in_something_else_is_no_fault_of_the_answers(batcher: ContinuousBatcher) -> None:
    listener, _ = submit(batcher, Decoding(max_tokens=40, at_limit="slide"))
    for _ in range(2 * batching.FAULTS_IN_A_ROW):
        with pytest.raises(ZeroDivisionError):
            batcher.run(divmod, 1, 0).result(PATIENCE)
    assert len(ids_of(listener.whole())) == 40
    assert batcher.snapshot().healthy


def test_something_else_that_nobody_waits_for_any_more_is_left_out(batcher: ContinuousBatcher) -> None:
    begun, go_on, ran = threading.Event(), threading.Event(), list[int]()
    first = batcher.run(lambda: (begun.set(), go_on.wait(PATIENCE)))
    assert begun.wait(PATIENCE)
    second, third = batcher.run(ran.append, 2), batcher.run(ran.append, 3)
    assert second.cancel()
    go_on.set()
    first.result(PATIENCE)
    third.result(PATIENCE)
    assert ran == [3]


def test_closing_refuses_something_else_too(batcher: ContinuousBatcher) -> None:
    begun, go_on = threading.Event(), threading.Event()
    first = batcher.run(lambda: (begun.set(), go_on.wait(PATIENCE)))
    assert begun.wait(PATIENCE)
    second = batcher.run(divmod, 7, 2)
    closing = threading.Thread(target=batcher.close)
    closing.start()
    until(lambda: batcher._closed)
    go_on.set()
    closing.join(PATIENCE)
    assert first.exception(PATIENCE) is None
    with pytest.raises(Closed, match="shut down"):
        second.result(PATIENCE)
    with pytest.raises(Closed, match="answers no longer"):
        batcher.run(divmod, 7, 2)


def test_closing_tells_all_who_still_wait_for_an_answer(batcher: ContinuousBatcher) -> None:
    listeners = [submit(batcher)[0] for _ in range(4)]
    listeners[0].next()
    batcher.close()
    assert {listener.failure().problem for listener in listeners} == {"The model was shut down."}
    with pytest.raises(Closed, match="answers no longer"):
        submit(batcher)
    load = batcher.snapshot()
    assert (load.busy, load.waiting, load.failed, load.healthy) == (0, 0, 4, True)
    batcher.close()  # once more does no harm


def test_closing_before_the_start_does_no_harm(decoder: Decoder) -> None:
    batcher = ContinuousBatcher(decoder.model, TOKENIZER)
    batcher.close()
    with pytest.raises(Closed):
        submit(batcher)


def test_a_closed_batcher_lets_its_model_go() -> None:
    model = Transformer(SPEC, 3)
    gone = weakref.ref(model)
    batcher = ContinuousBatcher(model, TOKENIZER)
    batcher.start()
    submit(batcher, Decoding(max_tokens=3))[0].whole()
    batcher.close()
    del batcher, model
    gc.collect()
    assert gone() is None


def break_steps(monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    original, left = Step.__call__, [times]

    def step(*arguments: Any) -> torch.Tensor:
        if left[0]:
            left[0] -= 1
            raise RuntimeError("broken")
        return original(*arguments)

    monkeypatch.setattr(Step, "__call__", step)


def test_after_a_fault_the_next_request_is_answered(
    batcher: ContinuousBatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_steps(monkeypatch, 2)
    for _ in range(2):
        listener, _ = submit(batcher)
        assert listener.failure().problem == "The model failed (RuntimeError)."
    listener, _ = submit(batcher, Decoding(max_tokens=4))
    assert len(ids_of(listener.whole())) == 4
    assert batcher.snapshot().healthy


def test_a_model_that_always_fails_is_given_up_and_nobody_is_left_waiting(
    batcher: ContinuousBatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_steps(monkeypatch, 1_000_000)
    failures = 0
    while batcher.snapshot().healthy:
        try:
            listener, _ = submit(batcher)
        except Closed:
            break
        listener.failure()
        failures += 1
    assert failures >= batching.FAULTS_IN_A_ROW - 1
    until(lambda: not batcher.snapshot().healthy)
    with pytest.raises(Closed):
        submit(batcher)


def test_a_fault_of_the_batcher_itself_leaves_nobody_waiting(
    batcher: ContinuousBatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    listeners = [submit(batcher)[0] for _ in range(3)]
    listeners[0].next()

    def broken(_: Batch) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(Batch, "round", broken)
    assert {listener.failure().problem for listener in listeners} == {"The model failed (RuntimeError)."}
    assert not batcher.snapshot().healthy


def test_a_fault_in_letting_requests_in_leaves_nobody_waiting(
    batcher: ContinuousBatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    running, _ = submit(batcher)
    running.next()

    def broken(*_: object) -> None:
        raise MemoryError("a list too long")

    monkeypatch.setattr(Batch, "admit", broken)
    admitted, _ = submit(batcher)
    for listener in (running, admitted):
        assert listener.failure().problem == "The model failed (MemoryError)."
    assert not batcher.snapshot().healthy


@pytest.mark.parametrize(
    ("prompt", "decoding", "said"),
    [
        ([], Decoding(), "no tokens"),
        ([1, 13], Decoding(), "holds the id 13, and the model knows ids from 0 to 12"),
        ([-1], Decoding(), "holds the id -1"),
        ([1] * 48, Decoding(), "48 tokens, and the model's context of 48 leaves no room"),
    ],
)
def test_a_prompt_that_cannot_be_continued_is_bad_input(
    batcher: ContinuousBatcher, prompt: list[int], decoding: Decoding, said: str
) -> None:
    with pytest.raises(BadInput, match=said):
        batcher.submit(prompt, decoding)
    assert batcher.snapshot().waiting == 0


def test_a_prompt_beyond_the_context_may_slide(batcher: ContinuousBatcher, decoder: Decoder) -> None:
    decoding = Decoding(max_tokens=60, at_limit="slide", seed=1)
    listener = Listener(batcher.submit(decoder.encode("abcd" * 20, decoding), decoding).request, TOKENIZER)
    assert ids_of(listener.whole()) == decoder.complete(["abcd" * 20], decoding)[0].ids


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"kind": "encoder-decoder", "encoder_layers": 1}, "of kind encoder-decoder"),
        ({"kind": "encoder"}, "of kind encoder"),
    ],
)
def test_only_a_decoder_of_language_is_served(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        ContinuousBatcher(Transformer(SPEC.replace(**changes)), TOKENIZER)


@pytest.mark.parametrize("numbers", [{"rows": 0}, {"waiting": 0}, {"rows": -3}])
def test_rows_and_places_to_wait_are_at_least_one(decoder: Decoder, numbers: dict[str, int]) -> None:
    with pytest.raises(BadInput, match="Set it to at least 1"):
        ContinuousBatcher(decoder.model, TOKENIZER, **numbers)
