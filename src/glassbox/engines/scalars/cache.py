"""The key/value cache: what attention has computed for the tokens read so far, so that each token is read once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from glassbox.engines.scalars.value import Matrix, forgotten
from glassbox.spec import ModelSpec

if TYPE_CHECKING:
    from glassbox.engines.scalars.source import Source

Heads = list[Matrix]  # (key_value_heads, length, head_width)


class Cache:
    """What one sequence has read: `length` tokens.

    It holds the numbers and forgets how they were made: nobody asks for gradients while writing, and a graph that
    reaches back to the first token would never be freed.
    """

    def __init__(self, spec: ModelSpec) -> None:
        self.keys: list[Heads] = [[[] for _ in range(spec.key_value_heads)] for _ in range(spec.layers)]
        self.values: list[Heads] = [[[] for _ in range(spec.key_value_heads)] for _ in range(spec.layers)]
        self.length = 0
        self.source: Source | None = None  # of an encoder-decoder: what was read before writing began

    def extend(self, layer: int, keys: Heads, values: Heads) -> tuple[Heads, Heads]:
        """Append what new tokens add, (key_value_heads, new, head_width) each; return all there is so far.

        `length` grows only when every layer has appended: the model adds to it at the end of its forward pass.
        """
        for held, new in zip(self.keys[layer] + self.values[layer], keys + values, strict=True):
            held += map(forgotten, new)
        return self.keys[layer], self.values[layer]
