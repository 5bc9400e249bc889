"""`POST /v1/chat/completions`: what is asked, what is answered, and what a stream consists of."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from glassbox.serving.protocol.sampling import Identifier, Sampling
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
    refusal: None = None
    annotations: None = None
    audio: None = None
    tool_calls: None = None
    function_call: None = None

    @property
    def text(self) -> str:
        return self.content if isinstance(self.content, str) else "\n".join(part.text for part in self.content)


class TextFormat(BaseModel):
    model_config = ConfigDict(extra="forbid")

    type: Literal["text"]


class ChatRequest(Sampling):
    messages: list[Message] = Field(min_length=1, max_length=MOST_MESSAGES)
    max_completion_tokens: int | None = Field(default=None, ge=1, le=10_000_000, description="By default the context.")
    max_tokens: int | None = Field(default=None, ge=1, le=10_000_000, description="The older name of the same.")
    logprobs: bool | None = Field(default=None, description="Tell how likely the model found each token.")
    top_logprobs: int | None = Field(default=None, ge=0, le=20, description="And this many of the likeliest.")
    # Fields of OpenAI's API that are allowed where they change nothing.
    response_format: TextFormat | None = None
    modalities: list[Literal["text"]] | None = None
    store: Literal[False] | None = None
    service_tier: Literal["auto", "default"] | None = None
    parallel_tool_calls: bool | None = None
    tool_choice: Literal["none", "auto"] | None = None
    safety_identifier: Identifier | None = None
    prompt_cache_key: Identifier | None = None
    tools: Annotated[list[None], Field(max_length=0)] | None = None
    functions: Annotated[list[None], Field(max_length=0)] | None = None
    function_call: None = None
    audio: None = None
    prediction: None = None
    reasoning_effort: None = None
    verbosity: None = None
    web_search_options: None = None
    moderation: None = None
    prompt_cache_options: None = None
    prompt_cache_retention: None = None


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
