"""When whoever sends an answer hears of what was written."""

from __future__ import annotations

import asyncio
import threading
from unittest import mock

import pytest
from own_loop import run_async

from glassbox.generation import Piece
from glassbox.serving import inbox
from glassbox.serving.inbox import Failed, Inbox
from glassbox.serving.requests import Failure

LONG = 3600.0  # seconds: whoever waits for the pause to be over is never heard of


def piece(id: int, finish: str | None = None) -> Piece:
    return Piece(0, id, "a", None, finish)  # pyright: ignore[reportArgumentType]  (any text for a finish)


def deliver(box: Inbox, *pieces: Piece | Failure) -> None:
    """As the thread that writes does."""
    writer = threading.Thread(target=lambda: [box.deliver(0, each) for each in pieces])
    writer.start()
    writer.join()


async def ids(box: Inbox, batches: list[list[int]]) -> None:
    async for batch in box.batches():
        heard = [each.id for pieces in batch.values() for each in pieces]
        batches.append(heard)


async def until(batches: list[list[int]], count: int) -> None:
    while len(batches) < count:
        await asyncio.sleep(0.001)


def test_a_stream_hears_of_the_first_piece_and_of_the_end_at_once() -> None:
    async def told() -> list[list[int]]:
        box, batches = Inbox(1, stream=True), []
        hearing = asyncio.ensure_future(ids(box, batches))
        await asyncio.sleep(0)
        deliver(box, piece(1))
        await until(batches, 1)
        deliver(box, piece(2), piece(3))
        await asyncio.sleep(0.05)
        assert batches == [[1]]  # these may wait
        deliver(box, piece(4, "length"))
        await hearing
        return batches

    with mock.patch.object(inbox, "PAUSE", LONG):
        assert run_async(asyncio.wait_for(told(), 30)) == [[1], [2, 3, 4]]


@pytest.mark.parametrize("end", [piece(2, "stop"), Failure("1", "broken")])
def test_an_end_that_came_before_the_pause_began_is_heard_at_once(end: Piece | Failure) -> None:
    async def told() -> int:
        box, batches = Inbox(1, stream=True), 0
        deliver(box, piece(1))
        async for _ in box.batches():
            batches += 1
            if batches == 1:
                deliver(box, end)
        return batches

    with mock.patch.object(inbox, "PAUSE", LONG):
        if isinstance(end, Failure):
            with pytest.raises(Failed, match="broken"):
                run_async(asyncio.wait_for(told(), 30))
        else:
            assert run_async(asyncio.wait_for(told(), 30)) == 2


def test_in_between_all_that_came_is_taken_along() -> None:
    async def told() -> list[list[int]]:
        box, batches = Inbox(1, stream=True), []
        hearing = asyncio.ensure_future(ids(box, batches))
        deliver(box, piece(1))
        await until(batches, 1)
        deliver(box, piece(2), piece(3))
        await until(batches, 2)
        deliver(box, piece(4, "end"))
        await hearing
        return batches

    assert run_async(asyncio.wait_for(told(), 30)) == [[1], [2, 3], [4]]
