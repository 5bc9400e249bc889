"""When whoever sends an answer hears of what was written."""

from __future__ import annotations

import asyncio
import threading
from unittest import mock

import pytest
from own_loop import run_async

from glassbox.generation import Decoding, Ending, Finish
from glassbox.serving import pulse
from glassbox.serving.inbox import Inbox
from glassbox.serving.pulse import Pulse
from glassbox.serving.requests import Failure, Request
from glassbox.serving.transcript import Failed, Transcript
from glassbox.tokenizers.characters import CharacterTokenizer

LONG = 3600.0  # seconds: whoever waits for the pause to be over is never heard of
TOKENIZER = CharacterTokenizer("abcdefghijkl")


def request() -> Request:
    return Request([0], 1, 0, Decoding(), Ending(1, Decoding(), TOKENIZER, 100))


def box_of(*requests: Request, stream: bool = True) -> Inbox:
    return Inbox([Transcript(each, TOKENIZER) for each in requests], Pulse() if stream else None)


def write(request: Request, *ids: int, finish: Finish | None = None, failure: Failure | None = None) -> None:
    """As the thread that writes does."""

    def work() -> None:
        for id in ids:
            request.ids.append(id)
            call, request.on_token = request.on_token, None
            if call is not None:
                call()
        request.finish, request.failure = finish, failure
        if request.ended and request.on_end is not None:
            request.on_end()

    writer = threading.Thread(target=work)
    writer.start()
    writer.join()


async def hear(box: Inbox, batches: list[dict[int, list[int]]]) -> None:
    async for batch in box.batches():
        heard = {number: part.ids for number, part in batch.items()}
        batches.append(heard)


async def until(batches: list[dict[int, list[int]]], count: int) -> None:
    while len(batches) < count:
        await asyncio.sleep(0.001)


def test_a_stream_hears_of_the_first_tokens_and_of_the_end_at_once() -> None:
    async def told() -> list[dict[int, list[int]]]:
        one, batches = request(), []
        hearing = asyncio.ensure_future(hear(box_of(one), batches))
        await asyncio.sleep(0)
        write(one, 1)
        await until(batches, 1)
        write(one, 2, 3)
        await asyncio.sleep(0.05)
        assert batches == [{0: [1]}]  # these may wait
        write(one, 4, finish="length")
        await hearing
        return batches

    with mock.patch.object(pulse, "PARTS_A_SECOND", 1 / LONG):
        assert run_async(asyncio.wait_for(told(), 30)) == [{0: [1]}, {0: [2, 3, 4]}]


def test_the_tokens_of_a_slow_model_are_heard_as_they_come() -> None:
    async def told() -> list[dict[int, list[int]]]:
        one, batches = request(), []
        hearing = asyncio.ensure_future(hear(box_of(one), batches))
        for count in (1, 2, 3):
            await asyncio.sleep(3 / pulse.PARTS_A_SECOND)
            write(one, count)
            await until(batches, count)
        write(one, finish="context")
        await hearing
        return batches

    assert run_async(asyncio.wait_for(told(), 30)) == [{0: [1]}, {0: [2]}, {0: [3]}, {0: []}]


@pytest.mark.parametrize("failure", [None, Failure("1", "broken")])
def test_an_end_that_came_before_the_pause_began_is_heard_at_once(failure: Failure | None) -> None:
    async def told() -> int:
        one, batches = request(), 0
        write(one, 1)
        async for _ in box_of(one).batches():
            batches += 1
            if batches == 1:
                write(one, 2, finish=None if failure else "stop", failure=failure)
        return batches

    with mock.patch.object(pulse, "PARTS_A_SECOND", 1 / LONG):
        if failure is None:
            assert run_async(asyncio.wait_for(told(), 30)) == 2
        else:
            with pytest.raises(Failed, match="broken"):
                run_async(asyncio.wait_for(told(), 30))


def test_an_answer_that_ended_before_anybody_asked_is_heard_whole() -> None:
    async def told(*, stream: bool) -> list[dict[int, list[int]]]:
        one, batches = request(), []
        write(one, 1, 2, finish="end")
        await hear(box_of(one, stream=stream), batches)
        return batches

    for stream in (True, False):
        assert run_async(asyncio.wait_for(told(stream=stream), 30)) == [{0: [1, 2]}]


def test_in_between_all_that_came_is_taken_along() -> None:
    async def told() -> list[dict[int, list[int]]]:
        one, batches = request(), []
        hearing = asyncio.ensure_future(hear(box_of(one), batches))
        write(one, 1)
        await until(batches, 1)
        write(one, 2, 3)
        await until(batches, 2)
        write(one, 4, finish="end")
        await hearing
        return batches

    assert run_async(asyncio.wait_for(told(), 30)) == [{0: [1]}, {0: [2, 3]}, {0: [4]}]


def test_of_several_answers_each_is_heard_of_until_its_own_end() -> None:
    async def told() -> list[dict[int, list[int]]]:
        one, other, batches = request(), request(), []
        hearing = asyncio.ensure_future(hear(box_of(one, other), batches))
        write(one, 1, finish="end")
        await until(batches, 1)
        write(other, 2)
        await until(batches, 2)
        write(other, 3, finish="end")
        await hearing
        return batches

    assert run_async(asyncio.wait_for(told(), 30)) == [{0: [1]}, {1: [2]}, {1: [3]}]


def test_who_wants_no_stream_hears_of_an_answer_only_when_it_is_whole() -> None:
    async def told() -> list[dict[int, list[int]]]:
        one, other, batches = request(), request(), []
        hearing = asyncio.ensure_future(hear(box_of(one, other, stream=False), batches))
        await asyncio.sleep(0)
        write(one, 1, 2)
        write(other, 3, 4)
        await asyncio.sleep(0.05)
        assert batches == []
        write(other, 5, finish="stop")
        await until(batches, 1)
        write(one, 6, finish="length")
        await hearing
        return batches

    assert run_async(asyncio.wait_for(told(), 30)) == [{1: [3, 4, 5]}, {0: [1, 2, 6]}]
