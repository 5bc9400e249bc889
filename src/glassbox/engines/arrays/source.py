"""What the encoder has read, as the blocks of the decoder are given it."""

from __future__ import annotations

from dataclasses import dataclass

from glassbox.engines.arrays.parameters import Array


@dataclass(slots=True)
class Source:
    """What the encoder has read, for every block of the decoder.

    encoded:   (batch * source_length, width), for `batch` sequences.
    bias:      added to the scores, (batch, 1, 1, source_length): -inf on padding; None when all are there.
    d_encoded: of the same shape, gets the gradients of `encoded`.
    held:      layer -> its keys and values, (batch, key_value_heads, source_length, head_width) each, so that they are
               computed for the first token alone; None when nothing is held.
    """

    encoded: Array
    batch: int
    bias: Array | None
    d_encoded: Array
    held: dict[int, tuple[Array, Array]] | None = None
