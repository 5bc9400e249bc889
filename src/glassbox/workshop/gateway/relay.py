"""One request on its way to a model's process and back: the parts of a stream go on as they come.

- A client that goes away takes its request with it: the process hears of it and writes no further.
- A process that refuses the connection has just ended: the request waits for the next one. Nothing else is tried twice,
  because it may have been done.
- A process that dies before the answer begins gives a 502; in the middle of a stream the last event is an error, and
  there is no [DONE].
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from dataclasses import dataclass
from typing import Literal

import httpx
from pydantic import BaseModel
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from glassbox.serving.protocol.errors import ApiError
from glassbox.serving.protocol.sampling import Sampling
from glassbox.workshop.accounts.actor import Actor
from glassbox.workshop.gateway.child import Child
from glassbox.workshop.gateway.gateway import Gateway
from glassbox.workshop.gateway.keeper import Keeper, NotServed
from glassbox.workshop.gateway.metering import Cost, StreamMeter, cost_of
from glassbox.workshop.gateway.openai_errors import told
from glassbox.workshop.gateway.quotas import Allowance
from glassbox.workshop.gateway.usage import GONE, Entry
from glassbox.workshop.requests import request_id

STARTING = 120.0  # seconds that a request waits for a process that is being started
_REFUSED, _NOTICED = 10.0, 0.05  # seconds that connections may be refused, and until the next try: the end of a process
# is noticed a moment after it
_EVENTS = "text/event-stream"


@dataclass(frozen=True)
class Asked:
    """What goes to the process. wants_usage: of a stream, did the client ask for it at the end?"""

    path: str
    body: bytes
    wants_usage: bool = False

    @classmethod
    def of(cls, path: str, asked: BaseModel) -> Asked:
        """A request of OpenAI's API. A stream's is changed, so that its process tells how much it has written."""
        if not isinstance(asked, Sampling) or not asked.stream:
            return cls(path, asked.model_dump_json(exclude_unset=True).encode())
        options = {"include_usage": True, "continuous_usage_stats": True}
        body = asked.model_copy(update={"stream_options": options})
        return cls(path, body.model_dump_json(exclude_unset=True, warnings=False).encode(), asked.include_usage)


async def ask(gateway: Gateway, keeper: Keeper, stack: contextlib.AsyncExitStack, asked: Asked) -> httpx.Response:
    """The head of the process's answer; its body is read within the stack. Raises ApiError."""
    refused, deadline = False, time.monotonic() + _REFUSED
    while True:
        child = None if refused else keeper.child()
        if child is None:
            child = await _started(keeper)
        request = gateway.client.build_request(
            "POST" if asked.body else "GET",
            f"http://127.0.0.1:{child.port}{asked.path}",
            content=asked.body or None,
            headers={"Authorization": f"Bearer {child.key}", "Content-Type": "application/json"},
        )
        try:
            with contextlib.ExitStack() as answering:
                answering.enter_context(child.answering())
                answer = await gateway.client.send(request, stream=True)
                stack.callback(answering.pop_all().close)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            keeper.look_now()
            if time.monotonic() > deadline:
                raise crashed() from error
            refused = True
            await asyncio.sleep(_NOTICED)
            continue
        except httpx.TimeoutException as error:
            raise ApiError(
                504, "The model gave no answer in time. Ask for less at once.", type="server_error", code="timeout"
            ) from error
        except httpx.HTTPError as error:
            keeper.look_now()
            raise crashed() from error
        stack.push_async_callback(answer.aclose)
        return answer


async def _started(keeper: Keeper) -> Child:
    """The process, as soon as it answers. Raises ApiError, 503."""
    try:
        return await asyncio.wait_for(asyncio.wrap_future(keeper.ready()), STARTING)
    except TimeoutError as error:
        message = "The model is still being started. Try again in a moment."
        raise ApiError(503, message, type="server_error", code="model_starting", retry_after=10) from error
    except NotServed as error:
        retry = 5 if error.temporary else None
        raise ApiError(503, error.reason, type="server_error", code="model_not_served", retry_after=retry) from error


def crashed() -> ApiError:
    """The process is gone, and the answer with it."""
    return ApiError(
        502, "The model's process ended while it answered. It is being started again; try again in a moment.",
        type="server_error", code="model_crashed", retry_after=2,
    )  # fmt: skip


class Relay(Response):
    """The answer of a model's process to one request, metered."""

    def __init__(
        self,
        gateway: Gateway,
        keeper: Keeper,
        actor: Actor,
        model: str,
        asked: Asked,
        allowances: dict[Literal["requests", "tokens"], Allowance],
    ) -> None:
        super().__init__()
        self._gateway, self._keeper, self._actor, self._model, self._asked = gateway, keeper, actor, model, asked
        self._limits = _limit_headers(allowances)
        self._status = GONE
        self._cost = Cost()
        self._first: float | None = None
        self._came, self._began = time.time(), time.perf_counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def reply() -> None:
            try:
                await self._reply(scope, receive, send)
            except ApiError as error:
                self._status = error.status
                error.headers |= self._limits
                await told(error)(scope, receive, send)

        replying = asyncio.ensure_future(reply())
        leaving = asyncio.ensure_future(_departure(receive))
        try:
            await asyncio.wait((replying, leaving), return_when=asyncio.FIRST_COMPLETED)
            if replying.done():
                replying.result()
        finally:
            if not replying.done():
                self._status = GONE
            for task in (replying, leaving):
                task.cancel()
            await asyncio.gather(replying, leaving, return_exceptions=True)
            self._note()

    async def _reply(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with contextlib.AsyncExitStack() as stack:
            answer = await ask(self._gateway, self._keeper, stack, self._asked)
            if answer.headers.get("content-type", "").startswith(_EVENTS):
                await self._stream(answer, send)
                return
            try:
                body = await answer.aread()
            except httpx.HTTPError as error:
                self._keeper.look_now()
                raise crashed() from error
            self._cost = cost_of(body)
            self._status = answer.status_code
            headers = {name: answer.headers[name] for name in ("retry-after",) if name in answer.headers}
            whole = Response(body, answer.status_code, headers | self._limits, answer.headers.get("content-type"))
            await whole(scope, receive, send)

    async def _stream(self, answer: httpx.Response, send: Send) -> None:
        """A head, and then whole events, until the process is done or gone."""
        meter = StreamMeter(wants_usage=self._asked.wants_usage)
        head = {"content-type": answer.headers["content-type"], "cache-control": "no-cache", "x-accel-buffering": "no"}
        raw = [(name.encode(), value.encode()) for name, value in (head | self._limits).items()]
        await send({"type": "http.response.start", "status": answer.status_code, "headers": raw})
        try:
            async for part in answer.aiter_raw():
                if self._first is None:
                    self._first = time.perf_counter() - self._began
                events = meter.passed(part)
                self._cost = meter.cost
                if events:
                    await send({"type": "http.response.body", "body": events, "more_body": True})
            self._status = 500 if meter.failed else answer.status_code
        except httpx.HTTPError:
            self._keeper.look_now()
            error = crashed()
            self._status = error.status
            event = b"data: " + error.body.model_dump_json().encode() + b"\n\n"
            await send({"type": "http.response.body", "body": event, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    def _note(self) -> None:
        self._gateway.note(
            Entry(
                id=request_id(),
                time=self._came,
                user=self._actor.id,
                key=self._actor.key or "",
                model=self._model,
                endpoint=self._asked.path.removeprefix("/v1/"),
                status=self._status,
                prompt_tokens=self._cost.prompt_tokens,
                completion_tokens=self._cost.completion_tokens,
                seconds=time.perf_counter() - self._began,
                first_token_seconds=self._first,
            )
        )


async def _departure(receive: Receive) -> None:
    """Ends when the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _limit_headers(allowances: dict[Literal["requests", "tokens"], Allowance]) -> dict[str, str]:
    """What is left, under OpenAI's names."""
    headers: dict[str, str] = {}
    for kind, allowance in allowances.items():
        headers[f"x-ratelimit-limit-{kind}"] = str(allowance.limit)
        headers[f"x-ratelimit-remaining-{kind}"] = str(max(0, allowance.left))
        headers[f"x-ratelimit-reset-{kind}"] = f"{max(0, math.ceil(allowance.resets))}s"
    return headers
