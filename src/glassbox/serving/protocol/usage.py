"""How many tokens a request cost."""

from __future__ import annotations

from pydantic import BaseModel


class Usage(BaseModel):
    """prompt_tokens: read, marks of a beginning among them. completion_tokens: drawn, an end token among them."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int

    @classmethod
    def of(cls, prompt: int, completion: int) -> Usage:
        return cls(prompt_tokens=prompt, completion_tokens=completion, total_tokens=prompt + completion)
