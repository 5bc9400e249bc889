"""`POST /v1/chat/completions`: what is asked, what is answered, and what a stream consists of."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from glassbox.serving.protocol.sampling import Identifier, Sampling, only
from glassbox.serving.protocol.usage import Usage

MOST_MESSAGES = 2048
FinishReason = Literal["stop", "length"]


class TextPart(BaseModel):
    model_config = ConfigDict(extra="forbid")

    type: Literal["text"]
    text: str


class Message(BaseModel):
    """One message of a chat. What a client hands back of an earlier answer is allowed where it is null."""

    model_config = ConfigDict(extra="forbid")

    role: Literal["system", "developer", "user", "assistant"]
    content: str | Annotated[list[TextPart], Field(min_length=1, max_length=256)]
    name: Identifier | None = Field(default=None, description="Given to the chat template.")
    annotations: Annotated[JsonValue, only([])] = None
    audio: Annotated[JsonValue, only()] = None
    function_call: Annotated[JsonValue, only()] = None
    refusal: Annotated[JsonValue, only("")] = None
    tool_calls: Annotated[JsonValue, only([])] = None

    @property
    def text(self) -> str:
        return self.content if isinstance(self.content, str) else "\n".join(part.text for part in self.content)


class ChatRequest(Sampling):
    messages: list[Message] = Field(min_length=1, max_length=MOST_MESSAGES)
    max_completion_tokens: int | None = Field(default=None, ge=1, le=10_000_000, description="By default the context.")
    max_tokens: int | None = Field(default=None, ge=1, le=10_000_000, description="The older name of the same.")
    logprobs: bool | None = Field(default=None, description="Tell how likely the model found each token.")
    top_logprobs: int | None = Field(default=None, ge=0, le=20, description="And this many of the likeliest.")
    safety_identifier: Identifier | None = Field(default=None, description="Taken and not used.")
    prompt_cache_key: Identifier | None = Field(default=None, description="Taken and not used.")
    # Fields of OpenAI's API that are taken where they ask for nothing.
    audio: Annotated[JsonValue, only()] = None
    function_call: Annotated[JsonValue, only("none", "auto")] = None
    functions: Annotated[JsonValue, only([])] = None
    modalities: Annotated[JsonValue, only(["text"])] = None
    moderation: Annotated[JsonValue, only()] = None
    parallel_tool_calls: Annotated[JsonValue, only(True, False)] = None
    prediction: Annotated[JsonValue, only()] = None
    prompt_cache_options: Annotated[JsonValue, only()] = None
    prompt_cache_retention: Annotated[JsonValue, only()] = None
    reasoning_effort: Annotated[JsonValue, only("none")] = None
    response_format: Annotated[JsonValue, only({"type": "text"})] = None
    service_tier: Annotated[JsonValue, only("auto", "default")] = None
    store: Annotated[JsonValue, only(False)] = None
    tool_choice: Annotated[JsonValue, only("none", "auto")] = None
    tools: Annotated[JsonValue, only([])] = None
    verbosity: Annotated[JsonValue, only()] = None
    web_search_options: Annotated[JsonValue, only()] = None


class TopLogprob(BaseModel):
    """token: its text; part of a character is shown as U+FFFD, and `bytes` tell it exactly."""

    token: str
    logprob: float
    bytes: list[int]


class TokenLogprob(TopLogprob):
    top_logprobs: list[TopLogprob]


class Logprobs(BaseModel):
    """A log-probability for every token drawn but an end token; of the model itself, before any setting."""

    content: list[TokenLogprob]
    refusal: None = None


class AnswerMessage(BaseModel):
    role: Literal["assistant"] = "assistant"
    content: str
    refusal: None = None


class ChatChoice(BaseModel):
    index: int
    message: AnswerMessage
    logprobs: Logprobs | None
    finish_reason: FinishReason


class ChatCompletion(BaseModel):
    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[ChatChoice]
    usage: Usage
    system_fingerprint: str


class Delta(BaseModel):
    role: Literal["assistant"] | None = None
    content: str | None = None
    refusal: None = None


class ChunkChoice(BaseModel):
    index: int
    delta: Delta
    logprobs: Logprobs | None
    finish_reason: FinishReason | None


class ChatCompletionChunk(BaseModel):
    """One event of a stream. usage: null in all but the last, where it was asked for; absent where it wasn't."""

    id: str
    object: Literal["chat.completion.chunk"]
    created: int
    model: str
    choices: list[ChunkChoice]
    system_fingerprint: str
    usage: Usage | None = None
