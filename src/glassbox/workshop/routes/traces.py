"""Looking into a served model: the views of its process, for everyone who may ask it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Coroutine
from typing import Any

import httpx
from fastapi import Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict
from starlette.concurrency import run_in_threadpool

from glassbox.serving.protocol.errors import ApiError, ErrorBody
from glassbox.serving.protocol.trace import (
    AttentionRequest,
    HeadsRequest,
    LikeliestRequest,
    PatchingRequest,
    TraceRequest,
    ValuesRequest,
    Views,
)
from glassbox.workshop.access.guards import CurrentActor, allows
from glassbox.workshop.access.seeing import Seen
from glassbox.workshop.gateway.keeper import Keeper
from glassbox.workshop.gateway.quotas import Exceeded
from glassbox.workshop.gateway.relay import Asked, ask, crashed
from glassbox.workshop.gateway.usage import Entry
from glassbox.workshop.problems import Conflict, Problem, TooMany, Unavailable, told
from glassbox.workshop.requests import request_id
from glassbox.workshop.router import Router
from glassbox.workshop.routes.deployments import Name
from glassbox.workshop.state import CurrentWorkshop, Workshop

MOST_BYTES = 64 << 20  # of an answer; a view has a million numbers at most

VIEWS: dict[str, tuple[type[TraceRequest], str]] = {
    "predictions": (LikeliestRequest, "What was expected at each place, and what came"),
    "attention": (AttentionRequest, "Who looks at whom: weights by layer, head and token"),
    "heads": (HeadsRequest, "What each head does, and what the loss is without it"),
    "lens": (LikeliestRequest, "What each block would say if it were the last one"),
    "stream": (TraceRequest, "How large the residual stream is, and what is added to it"),
    "operations": (TraceRequest, "Every value in the order in which it is computed"),
    "attribution": (TraceRequest, "Which part says how much of the likeliest token"),
    "patching": (PatchingRequest, "Which place carries the difference of two texts"),
    "values": (ValuesRequest, "Any value by its name, and gradients by it"),
}
"""Name of a view → what is asked, and what it shows."""

router = Router(prefix="/api/deployments/{deployment}/trace", tags=["Looking into served models"])


class ReadToken(BaseModel):
    id: int
    text: str


class TraceNumbers(BaseModel):
    """The tokens that were read, and the numbers of the view; numbers that are infinite or none are null."""

    model_config = ConfigDict(extra="allow")

    tokens: list[ReadToken]


@router.get("", summary="List what can be asked of a model", response_model=Views)
@allows("member")
async def list_trace_views(name: Name, workshop: CurrentWorkshop, seen: Seen, actor: CurrentActor) -> Response:
    """The views with their fields, the names of all values with their shapes, and what the patterns of heads mean."""
    keeper = await run_in_threadpool(_admitted, workshop, seen, actor, name)
    return await _passed(workshop, keeper, Asked("/trace", b""))


def _add(view: str, asks: type[TraceRequest], summary: str) -> None:
    async def look(name: Name, asked: Any, workshop: CurrentWorkshop, seen: Seen, actor: CurrentActor) -> Response:
        came, began = time.time(), time.perf_counter()
        keeper = await run_in_threadpool(_admitted, workshop, seen, actor, name)
        body = asked.model_dump_json(exclude_unset=True).encode()
        answer = await _passed(workshop, keeper, Asked(f"/trace/{view}", body))
        seconds = time.perf_counter() - began
        workshop.gateway.note(
            Entry(
                request_id(), came, actor.id, actor.key or "", name, f"trace/{view}", answer.status_code, 0, 0, seconds,
                None,
            )
        )  # fmt: skip
        return answer

    look.__name__ = f"trace_{view}"
    look.__doc__ = f"{summary}. The list of views tells what each field means, and the names of all values."
    look.__annotations__["asked"] = asks
    route: Callable[..., Coroutine[Any, Any, Response]] = allows("member", noted=False)(look)
    router.add_api_route(f"/{view}", route, methods=["POST"], summary=summary, response_model=TraceNumbers)


for _view, (_asks, _summary) in VIEWS.items():
    _add(_view, _asks, _summary)


def _admitted(workshop: Workshop, seen: Seen, actor: CurrentActor, name: str) -> Keeper:
    """Raises NotFound, Conflict and TooMany."""
    deployment = workshop.gateway.deployments.named(name, seen)
    if deployment.setup.engine != "glassbox":
        raise Conflict(f"{name} runs on vLLM, which can't be looked into.", "Deploy it with the engine glassbox too.")
    try:
        workshop.gateway.quotas.admit(actor)
    except Exceeded as error:
        raise TooMany(
            f"{error.whose} may ask models {error.limit:,} {error.kind} at most.", "Try again later.",
            seconds=error.seconds,
        ) from error  # fmt: skip
    return workshop.gateway.keeper(deployment)


async def _passed(workshop: Workshop, keeper: Keeper, asked: Asked) -> Response:
    """What the process answers, as it is; what it refuses, as a problem."""
    try:
        async with contextlib.AsyncExitStack() as stack:
            answer = await ask(workshop.gateway, keeper, stack, asked)
            body = bytearray()
            async for part in answer.aiter_bytes():
                body += part
                if len(body) > MOST_BYTES:
                    raise Problem(f"The view is larger than {MOST_BYTES:,} bytes.", "Ask for less at once.")
    except ApiError as error:
        raise Unavailable(error.body.error.message, "Look at the served model's state.") from error
    except httpx.HTTPError as error:
        keeper.look_now()
        raise Unavailable(crashed().body.error.message, "Try again in a moment.") from error
    if answer.status_code == 200:
        return Response(bytes(body), media_type="application/json")
    return _refusal(answer.status_code, bytes(body))


def _refusal(status: int, body: bytes) -> JSONResponse:
    try:
        message = ErrorBody.model_validate_json(body).error.message
    except ValueError:
        message = "The model's process refused it without a reason that can be read."
    status = 422 if status == 400 else status if status in (413, 429) else 502
    return told(status, message, "Correct the request; GET the list of views shows what can be asked.")
