"""What the encoder has read, as the blocks of the decoder are given it."""

from __future__ import annotations

from dataclasses import dataclass

from glassbox.engines.lists.parameters import Matrix


@dataclass(slots=True)
class Source:
    """What the encoder has read of one sequence, for every block of the decoder.

    encoded:   (source_length, width).
    present:   the places of it that are no padding.
    d_encoded: the gradient of `encoded`, gathered in the backward pass.
    held:      layer -> its keys and values, (key_value_heads, source_length, head_width) each, so that they are
               computed for the first token alone; None when nothing is held.
    """

    encoded: Matrix
    present: list[int]
    d_encoded: Matrix
    held: dict[int, tuple[list[Matrix], list[Matrix]]] | None = None
