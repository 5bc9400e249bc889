"""What happens in a run, while it happens and afterwards: its events, and its metrics as curves."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncGenerator
from typing import Annotated, Any, Literal

from fastapi import Path, Query, WebSocket, WebSocketDisconnect, WebSocketException, status
from pydantic import BaseModel, Field
from pydantic_core import from_json
from starlette.concurrency import run_in_threadpool

from glassbox.workshop.access.guards import NOT_LOGGED_IN, CurrentActor, allows, is_still_admitted
from glassbox.workshop.access.seeing import Seen
from glassbox.workshop.live.event_lines import EventLines
from glassbox.workshop.problems import Problem
from glassbox.workshop.router import Router
from glassbox.workshop.state import CurrentWorkshop
from glassbox.workshop.visible import Visible
from glassbox.workspace.curves import Curve, thinned
from glassbox.workspace.events import EVENTS_FILE

router = Router(tags=["Runs: live"])

RunId = Annotated[str, Path(max_length=100, description="The run's whole id.", examples=["pretrain-k3fm7q"])]
_NO_SUCH_RUN = 4404  # how a WebSocket is closed
_ADMITTED_EVERY = 15.0  # seconds between two looks at whether a watcher may still watch


class Events(BaseModel):
    """Some of a run's events, in their order. Each has a `sequence`, `time`, `attempt` and `kind`, and that kind's own
    fields: state (state), progress (done, total, unit, note), metrics (step, values), log (message), text (name,
    content), output (slot, of, reference, id), error (problem, remedy).
    """

    events: list[dict[str, Any]] = Field(
        examples=[[{"sequence": 0, "time": 1790000000.0, "attempt": 1, "kind": "state", "state": "running"}]]
    )
    next: int = Field(description="What to ask for next as `first`.", examples=[1])
    count: int = Field(description="How many events there are so far.", examples=[1])


class CurvePoints(BaseModel):
    """One metric: as many steps as values."""

    steps: list[int] = Field(examples=[[0, 1, 2]])
    values: list[float | None] = Field(description="None where it wasn't a finite number.", examples=[[8.3, 7.9, None]])
    points: int = Field(description="How many there are before thinning.", examples=[3])


class Curves(BaseModel):
    """The metrics of a run over its steps."""

    curves: dict[str, CurvePoints]


@router.get("/api/runs/{run_id}/events", summary="A run's events, page by page")
@allows("member")
def list_events(
    run_id: RunId,
    seen: Seen,
    first: Annotated[int, Query(ge=0, description="The number of the first event that is wanted.")] = 0,
    most: Annotated[int, Query(ge=1, le=10_000, description="No more events than that.")] = 1000,
) -> Events:
    """Every event has a number: 0, 1, 2, … without gap or repetition, also when a run was killed and went on."""
    lines = EventLines(seen.run(run_id).folder / EVENTS_FILE)
    lines.refresh()
    found = lines.read(first, most)
    events: list[dict[str, Any]] = from_json(b"[" + b",".join(found) + b"]")
    return Events(events=events, next=first + len(events), count=lines.count)


@router.get("/api/runs/{run_id}/curves", summary="A run's metrics as curves")
@allows("member")
def get_curves(
    run_id: RunId,
    seen: Seen,
    workshop: CurrentWorkshop,
    metric: Annotated[
        list[Annotated[str, Query(max_length=100)]] | None,
        Query(max_length=100, description="Only these; without it all of them."),
    ] = None,
    points: Annotated[int, Query(ge=4, le=20_000, description="At most so many points a curve.")] = 1000,
    first_step: Annotated[int | None, Query(ge=0, description="Only steps from this on.")] = None,
    last_step: Annotated[int | None, Query(ge=0, description="Only steps up to this.")] = None,
) -> Curves:
    """Thinned so that no extreme is lost: of each stretch of steps the lowest and the highest value stay."""
    found = workshop.run_curves.of(seen.run(run_id).folder)
    chosen = found if metric is None else {name: found[name] for name in metric if name in found}
    curves: dict[str, CurvePoints] = {}
    for name, curve in chosen.items():
        part = curve.between(first_step, last_step)
        curves[name] = curve_points(thinned(part, points), len(part))
    return Curves(curves=curves)


def curve_points(shown: Curve, points: int) -> CurvePoints:
    """A curve as it is told; points: how many it has before thinning."""
    return CurvePoints(
        steps=[step for step, _ in shown],
        values=[value if math.isfinite(value) else None for _, value in shown],
        points=points,
    )


@router.websocket("/api/runs/{run_id}/watch")
@allows("member")
async def watch_run(
    socket: WebSocket,
    run_id: RunId,
    workshop: CurrentWorkshop,
    actor: CurrentActor,
    first: Annotated[int, Query(ge=0, description="The number of the first event that is wanted.")] = 0,
) -> None:
    """Every event from a number on, and each new one as it comes; see docs/live.md for the messages."""
    seen = Visible(workshop.workspace, workshop.database, actor)
    try:
        run = await run_in_threadpool(seen.run, run_id)
    except Problem as problem:
        raise WebSocketException(_NO_SUCH_RUN, problem.detail) from problem
    await socket.accept()
    sending = asyncio.create_task(_send(socket, workshop.watching.watch(run.folder, first)))
    leaving = asyncio.create_task(_until_it_must_leave(socket))
    done, pending = await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    await asyncio.wait({sending, leaving})
    code = NOT_LOGGED_IN if leaving in done and leaving.result() == "not admitted" else status.WS_1000_NORMAL_CLOSURE
    with contextlib.suppress(WebSocketDisconnect, RuntimeError):  # it is gone already
        for task in done:
            task.result()
        await socket.close(code)


async def _send(socket: WebSocket, messages: AsyncGenerator[str]) -> None:
    async with contextlib.aclosing(messages):
        async for message in messages:
            await socket.send_text(message)


async def _until_it_must_leave(socket: WebSocket) -> Literal["left", "not admitted"]:
    """Until the other side is gone, or its session or key opens nothing any more."""
    while True:
        try:
            await asyncio.wait_for(socket.receive_text(), _ADMITTED_EVERY)
        except TimeoutError:
            if not await is_still_admitted(socket):
                return "not admitted"
        except (WebSocketDisconnect, RuntimeError):
            return "left"
