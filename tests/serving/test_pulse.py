"""Streams are woken together, and less often where there are many."""

from __future__ import annotations

import asyncio
from unittest import mock

from hypothesis import given
from hypothesis import strategies as st
from own_loop import run_async

from glassbox.serving import pulse
from glassbox.serving.pulse import PARTS_A_SECOND, PARTS_OF_ALL_A_SECOND, Pulse, pause


@given(st.integers(0, 1000))
def test_neither_one_stream_nor_all_of_them_get_more_parts_a_second_than_may(streams: int) -> None:
    of_one = 1 / pause(streams)
    assert of_one <= PARTS_A_SECOND
    assert of_one * streams <= PARTS_OF_ALL_A_SECOND * (1 + 1e-9)
    assert of_one == PARTS_A_SECOND or of_one * streams >= PARTS_OF_ALL_A_SECOND * (1 - 1e-9)


def test_all_that_wait_are_woken_by_one_beat() -> None:
    async def woken() -> list[int]:
        beats, beat, order = Pulse(), 0, list[int]()

        async def stream() -> None:
            for _ in range(3):
                event = asyncio.Event()
                beats.wake(event)
                await event.wait()
                order.append(beat)

        async def count() -> None:
            nonlocal beat
            while True:
                beat += 1
                await asyncio.sleep(1 / PARTS_A_SECOND / 4)

        counting = asyncio.ensure_future(count())
        await asyncio.wait_for(asyncio.gather(*(stream() for _ in range(4))), 30)
        counting.cancel()
        return order

    order = run_async(woken())
    assert [len(set(order[first : first + 4])) for first in (0, 4, 8)] == [1, 1, 1]
    assert len(set(order)) == 3


def test_a_stream_that_went_away_is_not_woken_and_keeps_nobody() -> None:
    async def told() -> tuple[bool, bool]:
        beats, gone, stays = Pulse(), asyncio.Event(), asyncio.Event()
        beats.wake(gone)
        beats.wake(stays)
        beats.forget(gone)
        beats.forget(gone)
        await asyncio.wait_for(stays.wait(), 30)
        return gone.is_set(), stays.is_set()

    assert run_async(told()) == (False, True)


def test_the_next_beat_of_many_streams_comes_later() -> None:
    async def waits() -> list[float]:
        loop, beats, found = asyncio.get_running_loop(), Pulse(), list[float]()
        with mock.patch.object(loop, "call_later", lambda seconds, call: found.append(seconds) or call()):
            for count in (1, 100, 1):
                beats._waiting = {asyncio.Event() for _ in range(count - 1)}
                beats.wake(asyncio.Event())
        return found

    with mock.patch.object(pulse, "PARTS_OF_ALL_A_SECOND", 2 * PARTS_A_SECOND):
        first, second, third = run_async(waits())
    assert first == second == 1 / PARTS_A_SECOND  # nobody knew yet how many there are
    assert third == 100 / (2 * PARTS_A_SECOND)
