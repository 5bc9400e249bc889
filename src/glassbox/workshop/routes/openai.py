"""OpenAI's API, in front of all served models: point any of its clients at this address and `/v1`."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from fastapi import Path, Response
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from glassbox.serving.protocol.chat import ChatCompletion, ChatCompletionChunk, ChatRequest
from glassbox.serving.protocol.completions import Completion, CompletionRequest
from glassbox.serving.protocol.embeddings import EmbeddingList, EmbeddingRequest
from glassbox.serving.protocol.errors import ApiError, ErrorBody
from glassbox.serving.protocol.models import Ability, ChatTemplate
from glassbox.serving.protocol.sampling import Request as ModelRequest
from glassbox.workshop.access.guards import CurrentActor, allows
from glassbox.workshop.access.seeing import Seen
from glassbox.workshop.accounts.actor import Actor
from glassbox.workshop.gateway.deployments import Deployment
from glassbox.workshop.gateway.keeper import Keeper
from glassbox.workshop.gateway.openai_errors import OpenAiRoute
from glassbox.workshop.gateway.quotas import Allowance, Exceeded
from glassbox.workshop.gateway.relay import Asked, Relay
from glassbox.workshop.problems import NotFound
from glassbox.workshop.router import Router
from glassbox.workshop.state import CurrentWorkshop, Workshop
from glassbox.workshop.visible import Visible

_ERROR = {"model": ErrorBody, "description": "What was wrong, in OpenAI's shape."}
_ERRORS: dict[int | str, dict[str, Any]] = {"4XX": _ERROR, "5XX": _ERROR}

router = Router(prefix="/v1", tags=["OpenAI's API"], route_class=OpenAiRoute, responses=_ERRORS)


class ServedModel(BaseModel):
    """OpenAI's four fields, and behind them what the model's process said of itself when it last answered."""

    id: str = Field(description="What requests call it.", examples=["tutor"])
    object: Literal["model"] = "model"
    created: int = Field(description="When it was deployed, in seconds since 1970.", examples=[1790000000])
    owned_by: str = "glassbox"
    kind: Literal["decoder", "encoder"] | None = Field(None, description="Does it write, or only read?")
    context: int | None = Field(None, description="Most tokens of prompt and answer together.", examples=[1024])
    parameters: int | None = Field(None, examples=[4_200_000])
    vocabulary_size: int | None = Field(None, examples=[4096])
    chat_template: ChatTemplate | None = Field(
        None, description="own: the one that it was taught with. plain: it never was; chats are written down plainly."
    )
    abilities: list[Ability] | None = Field(None, description="What it can be asked for.")


class ServedModels(BaseModel):
    object: Literal["list"] = "list"
    data: list[ServedModel]


def _streamed(chunk: type[BaseModel], whole: type[BaseModel]) -> dict[int | str, dict[str, Any]]:
    return {
        200: {
            "model": whole,
            "description": f"The answer; with `stream`, server-sent events that hold a {chunk.__name__} each.",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        }
    }


@router.get("/models", summary="List the models that you may ask", response_model_exclude_none=True)
@allows("member", scope="models")
def list_served_models(workshop: CurrentWorkshop, seen: Seen) -> ServedModels:
    """Those that you deployed, and those that are shared with everyone."""
    found = workshop.gateway.deployments.seen_by(seen)
    return ServedModels(data=[_card(one) for one in found if one.wanted == "running"])


@router.get("/models/{model}", summary="Look at one model", response_model_exclude_none=True)
@allows("member", scope="models")
def get_served_model(model: Annotated[str, Path(max_length=256)], workshop: CurrentWorkshop, seen: Seen) -> ServedModel:
    """Its name, and what it can do."""
    try:
        return _card(workshop.gateway.deployments.named(model, seen))
    except NotFound as error:
        raise _unknown(model) from error


@router.post(
    "/chat/completions",
    summary="Chat with a model",
    response_model=None,
    responses=_streamed(ChatCompletionChunk, ChatCompletion),
)
@allows("member", scope="models")
async def create_chat_completion(
    asked: ChatRequest, workshop: CurrentWorkshop, seen: Seen, actor: CurrentActor
) -> Response:
    """As OpenAI's; `top_k`, `min_p` and `repetition_penalty` are ours."""
    return await _relayed("/v1/chat/completions", asked, workshop, seen, actor)


@router.post(
    "/completions", summary="Continue a text", response_model=None, responses=_streamed(Completion, Completion)
)
@allows("member", scope="models")
async def create_completion(
    asked: CompletionRequest, workshop: CurrentWorkshop, seen: Seen, actor: CurrentActor
) -> Response:
    """As OpenAI's, `echo` and `logprobs` too."""
    return await _relayed("/v1/completions", asked, workshop, seen, actor)


@router.post(
    "/embeddings", summary="Turn texts into vectors", response_model=None, responses={200: {"model": EmbeddingList}}
)
@allows("member", scope="models")
async def create_embedding(
    asked: EmbeddingRequest, workshop: CurrentWorkshop, seen: Seen, actor: CurrentActor
) -> Response:
    """As OpenAI's."""
    return await _relayed("/v1/embeddings", asked, workshop, seen, actor)


@router.api_route("/{address:path}", methods=["GET", "POST", "DELETE"], include_in_schema=False)
@allows("everyone", scope="models")
def refuse_unknown_address(address: str) -> Response:
    """What else OpenAI's API has, and this one hasn't."""
    raise ApiError(404, f"There is no /v1/{address[:100]} here with this method. See /docs.", code="unknown_url")


async def _relayed(path: str, asked: ModelRequest, workshop: Workshop, seen: Visible, actor: Actor) -> Response:
    def admitted() -> tuple[Keeper, dict[Any, Allowance]]:
        try:
            keeper = workshop.gateway.reach(asked.model, seen)
        except NotFound as error:
            raise _unknown(asked.model) from error
        if keeper is None:
            message = f"The model {asked.model} is stopped. Whoever deployed it can start it."
            raise ApiError(503, message, type="server_error", code="model_not_served")
        try:
            return keeper, workshop.gateway.quotas.admit(actor)
        except Exceeded as error:
            raise _too_many(error) from error

    keeper, allowances = await run_in_threadpool(admitted)
    return Relay(workshop.gateway, keeper, actor, asked.model, Asked.of(path, asked), allowances)


def _unknown(name: str) -> ApiError:
    """It isn't there, or isn't theirs to see: the answer is the same."""
    message = f"There is no model called {name[:100]!r}. GET /v1/models lists those that you may ask."
    return ApiError(404, message, param="model", code="model_not_found")


def _too_many(error: Exceeded) -> ApiError:
    seconds = max(1, round(error.seconds))
    if error.kind == "requests":
        message = f"{error.whose} may ask {error.limit} times a minute. Try again in {seconds} seconds."
        return ApiError(429, message, type="rate_limit_error", code="rate_limit_exceeded", retry_after=seconds)
    message = (
        f"{error.whose} may use {error.limit:,} tokens a day, and they are used up. Try again after midnight, UTC."
    )
    return ApiError(429, message, type="insufficient_quota", code="insufficient_quota", retry_after=seconds)


def _card(deployment: Deployment) -> ServedModel:
    card = deployment.current.card
    told: dict[str, Any] = {} if card is None else json.loads(card)
    return ServedModel.model_validate(told | {"id": deployment.name, "created": int(deployment.created)})
