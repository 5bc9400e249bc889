"""`GET /v1/models`: the one model that is served, and what it can do."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel

ChatTemplate = Literal["own", "plain"]
Ability = Literal["chat", "completions", "embeddings", "trace"]


class Model(BaseModel):
    """OpenAI's fields, and ours behind them.

    kind:          decoder or encoder.
    context:       most tokens of prompt and answer together.
    chat_template: own: the one that the model was taught with; plain: it never was, and chats are written down plainly;
                   null: it doesn't write.
    """

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "glassbox"
    kind: Literal["decoder", "encoder"]
    context: int
    parameters: int
    vocabulary_size: int
    chat_template: ChatTemplate | None
    abilities: list[Ability]


class ModelList(BaseModel):
    object: Literal["list"] = "list"
    data: list[Model]
