"""Texts of different lengths in one batch, for every engine alike: padded on the right, and hidden from attention."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glassbox.engines.interface import Array, Details, Transformer

Tokens = NDArray[np.int64]


def padded(rows: Sequence[Sequence[int]], filler: int) -> tuple[Tokens, Tokens]:
    """Rows of ids as one array (batch, longest), the filler behind the shorter ones; and their lengths, (batch,)."""
    lengths = np.array([len(row) for row in rows], np.int64)
    tokens = np.full((len(rows), int(lengths.max())), filler, np.int64)
    tokens[np.arange(tokens.shape[1]) < lengths[:, None]] = np.concatenate(rows)
    return tokens, lengths


def forward(
    model: Transformer, tokens: Tokens, lengths: Tokens, targets: Tokens | None = None, *, keep: Iterable[str] = ()
) -> tuple[Array, Details]:
    """`model.forward` on what `padded` made.

    A decoder needs no mask: nothing looks at what stands behind it. Unless it has experts, whose load is counted.
    """
    masked: dict[str, Any] = {}
    if (not model.spec.causal or model.spec.experts) and int(lengths.min()) < tokens.shape[1]:
        present = np.arange(tokens.shape[1]) < lengths[:, None]
        masked["present"] = model.batch(present.tolist())
    wanted = None
    if targets is not None:
        wanted = model.batch(targets.tolist()) if targets.ndim == 2 else model.batch([targets.tolist()])[0]
    return model.forward(model.batch(tokens.tolist()), wanted, keep=keep, **masked)
