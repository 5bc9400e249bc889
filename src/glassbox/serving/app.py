"""The application: one model behind OpenAI's API, what it computes under /trace, its health and its metrics."""

from __future__ import annotations

import logging
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Literal, TypeVar

import pydantic_core
from pydantic import BaseModel, ValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from glassbox.engines.values import value_shapes
from glassbox.serving import chat_completions, completions, embeddings
from glassbox.serving.guard import Guard
from glassbox.serving.metrics import CONTENT_TYPE, Counted
from glassbox.serving.protocol.chat import ChatRequest
from glassbox.serving.protocol.completions import CompletionRequest
from glassbox.serving.protocol.embeddings import EmbeddingRequest
from glassbox.serving.protocol.errors import ApiError, from_validation
from glassbox.serving.protocol.models import ModelList
from glassbox.serving.protocol.sampling import Request as NamedRequest
from glassbox.serving.protocol.trace import ValueName, View, Views
from glassbox.serving.replies import WhileListened, json_response
from glassbox.serving.service import Service
from glassbox.serving.trace_views import MOST_NUMBERS, PATTERN_MEANINGS, VIEWS, look
from glassbox.workspace.names import shown

log = logging.getLogger(__name__)

Body = TypeVar("Body", bound=BaseModel)
Asked = TypeVar("Asked", bound=NamedRequest)


def create_app(service: Service, *, key: str | None, local: bool) -> Starlette:
    """key, local: see `Guard`. The service starts and closes with the application."""
    endpoints = _Endpoints(service)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        service.start()
        try:
            yield
        finally:
            service.close()

    return Starlette(
        routes=[
            Route("/v1/models", endpoints.models),
            Route("/v1/models/{model:path}", endpoints.model),
            Route("/v1/chat/completions", endpoints.chat, methods=["POST"]),
            Route("/v1/completions", endpoints.complete, methods=["POST"]),
            Route("/v1/embeddings", endpoints.embed, methods=["POST"]),
            Route("/trace", endpoints.views),
            Route("/trace/{view}", endpoints.trace, methods=["POST"]),
            Route("/health", endpoints.health),
            Route("/metrics", endpoints.metrics),
        ],
        middleware=[Middleware(Counted, metrics=service.metrics), Middleware(Guard, key=key, local=local)],
        exception_handlers={ApiError: _api_error, HTTPException: _http_error, Exception: _fault},
        lifespan=lifespan,
    )


class _Endpoints:
    def __init__(self, service: Service) -> None:
        self._service = service

    async def models(self, request: Request) -> Response:
        return json_response(ModelList(data=[self._service.model.card]))

    async def model(self, request: Request) -> Response:
        self._service.model.check_name(request.path_params["model"])
        return json_response(self._service.model.card)

    async def chat(self, request: Request) -> Response:
        asked = await self._asked(request, ChatRequest)
        return WhileListened(lambda: chat_completions.answer(self._service, asked))

    async def complete(self, request: Request) -> Response:
        asked = await self._asked(request, CompletionRequest)
        return WhileListened(lambda: completions.answer(self._service, asked))

    async def embed(self, request: Request) -> Response:
        asked = await self._asked(request, EmbeddingRequest)
        return WhileListened(lambda: embeddings.answer(self._service, asked))

    async def views(self, request: Request) -> Response:
        spec = self._service.model.reader.model.spec
        one, two = value_shapes(spec, 1, 1), value_shapes(spec, 1, 2)
        return json_response(
            Views(
                views=[
                    View(name=name, shows=view.shows, fields=view.asks.model_json_schema()["properties"])
                    for name, view in VIEWS.items()
                ],
                values=[ValueName(name=name, shape=_shape(one[name], two[name])) for name in one],
                patterns=PATTERN_MEANINGS,
                most_numbers=MOST_NUMBERS,
            )
        )

    async def trace(self, request: Request) -> Response:
        name = request.path_params["view"]
        if name not in VIEWS:
            raise ApiError(404, f"There is no view called {shown(name)}. GET /trace lists them.", code="unknown_view")
        view = VIEWS[name]
        asked = await _body(request, view.asks)

        async def work() -> Response:
            content = await self._service.read(lambda: pydantic_core.to_json(
                look(self._service.model.reader, view, asked), inf_nan_mode="null"
            ))  # fmt: skip
            return Response(content, media_type="application/json")

        return WhileListened(work)

    async def health(self, request: Request) -> Response:
        health = self._service.health()
        return json_response(health, 200 if health.status == "ready" else 503)

    async def metrics(self, request: Request) -> Response:
        return Response(self._service.metrics.text(), headers={"content-type": CONTENT_TYPE})

    async def _asked(self, request: Request, kind: type[Asked]) -> Asked:
        asked = await _body(request, kind)
        self._service.model.check_name(asked.model)
        return asked


def _shape(one: Sequence[int], two: Sequence[int]) -> list[int | Literal["length"]]:
    """From a value's shapes over one token and over two: which sizes follow the text."""
    return [size if size == other else "length" for size, other in zip(one, two, strict=True)]


async def _body(request: Request, kind: type[Body]) -> Body:
    """Raises ApiError, 400, naming the field that is wrong."""
    try:
        return kind.model_validate_json(await request.body())
    except ValidationError as error:
        raise from_validation(error) from None


async def _api_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return json_response(error.body, error.status, error.headers)


async def _http_error(request: Request, error: Exception) -> Response:
    """What the router refuses: an address that there isn't, a method that it doesn't take."""
    assert isinstance(error, HTTPException)
    message = f"There is no {request.method} of {shown(request.url.path)} here."
    refusal = ApiError(error.status_code, message, code="unknown_url")
    return json_response(refusal.body, refusal.status, dict(error.headers or {}))


async def _fault(request: Request, error: Exception) -> Response:
    """A fault of ours, told without its traceback; the log has it under the same id."""
    if isinstance(error, ClientDisconnect):
        return Response(status_code=499)
    id = secrets.token_hex(6)
    log.error("fault %s in %s %s", id, request.method, request.url.path, exc_info=error)
    fault = ApiError(
        500, f"The server failed by a fault of its own; its log tells more under {id}.", type="server_error",
        code="fault",
    )  # fmt: skip
    return json_response(fault.body, 500)
