"""What the encoder has read, as the blocks of the decoder are given it."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(slots=True)
class Source:
    """What the encoder has read, for every block of the decoder.

    encoded: (batch, source_length, width).
    bias:    added to the scores, (batch, 1, 1, source_length): -inf on padding; None when all are there.
    held:    layer -> its keys and values, (batch, key_value_heads, source_length, head_width) each, so that they are
             computed for the first token alone; None when nothing is held.
    """

    encoded: Tensor
    bias: Tensor | None
    held: dict[int, tuple[Tensor, Tensor]] | None = None

    def choose(self, rows: Tensor) -> None:
        """Go on with these sequences (indices; one may be chosen several times) in the place of the present ones."""
        self.encoded = self.encoded[rows]
        self.bias = None if self.bias is None else self.bias[rows]
        if self.held is not None:
            self.held = {layer: (keys[rows], values[rows]) for layer, (keys, values) in self.held.items()}
