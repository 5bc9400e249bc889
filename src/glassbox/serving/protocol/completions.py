"""`POST /v1/completions`: continue texts, or rows of ids."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, Field, JsonValue

from glassbox.serving.protocol.chat import FinishReason
from glassbox.serving.protocol.sampling import Sampling, only
from glassbox.serving.protocol.usage import Usage

if TYPE_CHECKING:
    from typing_extensions import TypeIs

MOST_PROMPTS = 128
TokenIds = Annotated[list[Annotated[int, Field(strict=True)]], Field(min_length=1, max_length=1_000_000)]


def texts_or_rows(given: str | list[str] | list[int] | list[list[int]]) -> list[str | list[int]]:
    """One entry for each text or row of ids, of which a request may hold one or many."""
    return [given] if isinstance(given, str) or _are_ids(given) else list(given)


def _are_ids(given: list[str] | list[int] | list[list[int]]) -> TypeIs[list[int]]:
    """The first tells of all: pydantic has checked that they are alike."""
    return isinstance(given[0], int)


class CompletionRequest(Sampling):
    prompt: (
        str
        | Annotated[list[str], Field(min_length=1, max_length=MOST_PROMPTS)]
        | TokenIds
        | Annotated[list[TokenIds], Field(min_length=1, max_length=MOST_PROMPTS)]
    ) = Field(default="", description="Texts or rows of ids; an empty text begins where a document begins.")
    max_tokens: int = Field(default=16, ge=0, le=10_000_000, description="0 only tells about the prompt, with echo.")
    logprobs: int | None = Field(
        default=None, ge=0, le=20, description="Tell log-probabilities, and of so many others."
    )
    echo: bool = Field(default=False, description="Begin the answer with the prompt.")
    best_of: int | None = Field(default=None, ge=1, description="Allowed where it equals n.")
    suffix: Annotated[JsonValue, only("")] = Field(default=None, description="Not supported.")

    @property
    def prompts(self) -> list[str | list[int]]:
        """One entry for each prompt."""
        return texts_or_rows(self.prompt)


class CompletionLogprobs(BaseModel):
    """A token whose bytes are no whole characters is spelled `bytes:\\xe2\\x82`, as OpenAI does."""

    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float] | None] | None
    text_offset: list[int]


class CompletionChoice(BaseModel):
    index: int
    text: str
    logprobs: CompletionLogprobs | None
    finish_reason: FinishReason | None


class Completion(BaseModel):
    """An answer, and in a stream each of its parts."""

    id: str
    object: Literal["text_completion"] = "text_completion"
    created: int
    model: str
    choices: list[CompletionChoice]
    system_fingerprint: str
    usage: Usage | None = None
