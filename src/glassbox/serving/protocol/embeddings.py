"""`POST /v1/embeddings`: one vector for each text."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from glassbox.serving.protocol.completions import TokenIds, texts_or_rows
from glassbox.serving.protocol.sampling import Request

MOST_INPUTS = 512


class EmbeddingRequest(Request):
    input: (
        str
        | Annotated[list[str], Field(min_length=1, max_length=MOST_INPUTS)]
        | TokenIds
        | Annotated[list[TokenIds], Field(min_length=1, max_length=MOST_INPUTS)]
    )
    encoding_format: Literal["float", "base64"] = Field(
        default="float", description="base64: of the numbers as little-endian float32."
    )
    dimensions: int | None = Field(default=None, ge=1, description="Allowed where it is the model's own width.")

    @property
    def inputs(self) -> list[str | list[int]]:
        """One entry for each vector."""
        return texts_or_rows(self.input)


class Embedding(BaseModel):
    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


class EmbeddingUsage(BaseModel):
    prompt_tokens: int
    total_tokens: int


class EmbeddingList(BaseModel):
    object: Literal["list"] = "list"
    data: list[Embedding]
    model: str
    usage: EmbeddingUsage
