"""What chat completions and completions are asked alike: how to draw tokens, and when to end."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue
from pydantic_core import PydanticCustomError

MOST_CHOICES = 16
StopText = Annotated[str, Field(min_length=1, max_length=1000)]
Identifier = Annotated[str, Field(max_length=512)]


def only(*neutral: JsonValue) -> BeforeValidator:
    """Of a field of OpenAI's API that isn't supported: null and these values, which ask for nothing, pass."""

    def check(value: JsonValue) -> JsonValue:
        if value is None or value in neutral:
            return value
        raise PydanticCustomError("unsupported", "It isn't supported.")

    return BeforeValidator(check)


class Request(BaseModel):
    """A body in which every field is known: a misspelled one must not silently do nothing."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    model: str = Field(max_length=256, description="The model's id, as /v1/models lists it.")
    user: Identifier | None = Field(default=None, description="Taken and not used.")


class StreamOptions(BaseModel):
    model_config = ConfigDict(extra="forbid")

    include_usage: bool = Field(default=False, description="End the stream with a chunk that holds the usage.")
    continuous_usage_stats: bool = Field(
        default=False, description="With include_usage: tell in every chunk what was used so far, as vLLM does."
    )
    include_obfuscation: Annotated[JsonValue, only(False)] = Field(default=None, description="Nothing is padded.")


class Sampling(Request):
    """Fields of OpenAI's API, and three of our own: top_k, min_p, repetition_penalty."""

    n: int = Field(default=1, ge=1, le=MOST_CHOICES, description="Choices for each prompt.")
    temperature: float = Field(default=1.0, ge=0, le=100, description="0 takes the most likely token always.")
    top_p: float = Field(default=1.0, gt=0, le=1, description="Draw from the likeliest tokens that add up to p.")
    top_k: int = Field(default=0, ge=0, le=1_000_000, description="Draw from the k likeliest tokens; 0: from all.")
    min_p: float = Field(default=0.0, ge=0, le=1, description="Leave out tokens below p times the likeliest.")
    repetition_penalty: float = Field(default=1.0, ge=0.001, le=1000, description="On tokens of prompt and answer.")
    presence_penalty: float = Field(default=0.0, ge=-2, le=2, description="On tokens that the answer holds.")
    frequency_penalty: float = Field(default=0.0, ge=-2, le=2, description="The same, for each time it holds them.")
    seed: int | None = Field(
        default=None,
        ge=-(2**63),
        le=2**64 - 1,
        description="The same seed gives the same answer; none: another each time.",
    )
    stop: StopText | Annotated[list[StopText], Field(max_length=16)] | None = Field(
        default=None, description="Texts that end an answer; they aren't part of it."
    )
    stream: bool = Field(default=False, description="Send the answer as it is written, as server-sent events.")
    stream_options: StreamOptions | None = None
    logit_bias: Annotated[JsonValue, only({})] = Field(default=None, description="Not supported.")
    metadata: dict[str, JsonValue] | None = Field(default=None, description="Taken and not used.")

    @property
    def stop_texts(self) -> tuple[str, ...]:
        return () if self.stop is None else (self.stop,) if isinstance(self.stop, str) else tuple(self.stop)

    @property
    def include_usage(self) -> bool:
        return self.stream_options is not None and self.stream_options.include_usage

    @property
    def continuous_usage(self) -> bool:
        return self.include_usage and self.stream_options is not None and self.stream_options.continuous_usage_stats
