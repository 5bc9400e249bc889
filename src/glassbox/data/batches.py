"""The batch of step t as a pure function of (seed, t): nothing to save, nothing to replay.

A split's stream of T tokens is cut into windows of `context` tokens and the one after them. An epoch takes each window
once, in an order of its own, and with an offset of its own, so that the cuts fall elsewhere every time. Document ends
are no obstacle: documents are packed, and end-of-text tells the model where one begins.

The order is a keyed bijection of 0..n-1 computed index by index (a Feistel network over the numbers below a·b >= n,
walked until the result is below n: Black and Rogaway, "Ciphers with arbitrary finite domains", 2002). So a billion
windows need no permutation in memory, and any step is as near as the first.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from glassbox.data.shards import ShardSplit, TokenStream
from glassbox.errors import BadInput

ROUNDS = 6
STEPS_AT_ONCE = 64
"""Starts are computed for a block of steps: NumPy's price for a call is that of a few hundred numbers."""

Ids = NDArray[np.int64]


class Batch(NamedTuple):
    """inputs and targets, int64, (batch, context); targets are the inputs moved on by one token."""

    inputs: Ids
    targets: Ids


class Batches:
    """Batches of a split: `batch(step)` -> (inputs, targets), each (batch_size, context).

    `batch_size` counts the windows of a step over all processes. With `world_size` processes, the one of `rank` gets
    its part, (batch_size / world_size, context), one window more for the first ones where that isn't whole; the parts
    in the order of ranks are the whole batch.

    Raises BadInput if the split is too short for one window, or there are fewer windows than processes.
    """

    def __init__(
        self, split: ShardSplit, batch_size: int, context: int, seed: int, *, rank: int = 0, world_size: int = 1
    ) -> None:
        if not 0 <= rank < world_size <= batch_size:
            raise BadInput(
                f"A batch of {batch_size} windows cannot be shared by {world_size} processes (this is {rank}).",
                f"Choose a batch size of at least {world_size}.",
            )
        _require_length(split, context)
        self.batch_size, self.context, self.seed = batch_size, context, seed
        self.tokens = split.tokens
        # Every offset below `offsets` leaves room for the same number of windows, so epochs have one length.
        self.windows = max(1, (len(self.tokens) - context) // context)
        self.offsets = min(context, len(self.tokens) - self.windows * context)
        self._rows: Ids = np.array_split(np.arange(batch_size, dtype=np.int64), world_size)[rank]
        self._block: tuple[int, Ids] = (-1, np.empty((0, len(self._rows)), np.int64))

    def batch(self, step: int) -> Batch:
        """The batch of step 0, 1, 2, ..., whatever was asked for before."""
        if step < 0:
            raise ValueError(f"steps count from 0, not {step}")
        block, place = divmod(step, STEPS_AT_ONCE)
        if self._block[0] != block:
            self._block = (block, self._starts_of_block(block))
        return _windows(self.tokens, self._block[1][place], self.context)

    def _starts_of_block(self, block: int) -> Ids:
        """(STEPS_AT_ONCE, rows of this rank): where the windows of these steps start in the stream."""
        steps = np.arange(block * STEPS_AT_ONCE, (block + 1) * STEPS_AT_ONCE)
        epochs, places = np.divmod(steps[:, None] * self.batch_size + self._rows, self.windows)
        starts = np.empty_like(places)
        for epoch in np.unique(epochs).tolist():
            starts[epochs == epoch] = self._starts(epoch, places[epochs == epoch])
        return starts

    def _starts(self, epoch: int, places: Ids) -> Ids:
        """Where the windows at these places of the epoch's order start."""
        digest = hashlib.blake2b(f"{self.seed}/{epoch}".encode(), digest_size=8 * (ROUNDS + 1)).digest()
        *keys, offset = np.frombuffer(digest, np.uint64)
        return shuffled(places, self.windows, keys) * self.context + int(offset) % self.offsets


def validation_windows(split: ShardSplit, context: int, batch_size: int) -> Iterator[Batch]:
    """One pass over the whole split in which every token after the first is a target exactly once.

    Windows lie side by side (the stride is `context`), so a token is predicted from 1 to `context` tokens before it.
    Batches have (batch_size, context); what doesn't fill one comes last: fewer rows, then one row of fewer tokens.

    Raises BadInput if the split has no two tokens.
    """
    if len(split.tokens) < 2:
        raise BadInput(
            f"The split {split.name} has {len(split.tokens)} tokens; a prediction needs two.",
            "Give the split more text.",
        )
    return _side_by_side(split, context, batch_size)


def _side_by_side(split: ShardSplit, context: int, batch_size: int) -> Iterator[Batch]:
    targets = len(split.tokens) - 1
    whole = targets // context
    for row in range(0, whole, batch_size):
        rows = range(row, min(row + batch_size, whole))
        yield _windows(split.tokens, np.array(rows) * context, context)
    if targets % context:
        yield _windows(split.tokens, np.array([whole * context]), targets % context)


def shuffled(places: Ids, size: int, keys: list[np.uint64]) -> Ids:
    """The numbers at these places of the order of 0..size-1 that `keys` choose; a bijection for any keys."""
    rows = math.isqrt(size - 1) + 1
    columns = -(-size // rows)
    numbers = _feistel(places.astype(np.uint64), rows, columns, keys)
    # A number that fell outside is sent on until it falls inside: there are fewer than `rows` of them among `size`.
    while len(outside := np.flatnonzero(numbers >= size)):
        numbers[outside] = _feistel(numbers[outside], rows, columns, keys)
    return numbers.astype(np.int64)


def _feistel(numbers: NDArray[np.uint64], rows: int, columns: int, keys: list[np.uint64]) -> NDArray[np.uint64]:
    """A permutation of 0..rows·columns-1: each round moves one coordinate by a hash of the other."""
    row, column = np.divmod(numbers, np.uint64(columns))
    for number, key in enumerate(keys):
        if number % 2:
            row = (row + _hash(column, key)) % np.uint64(rows)
        else:
            column = (column + _hash(row, key)) % np.uint64(columns)
    return row * np.uint64(columns) + column


def _hash(numbers: NDArray[np.uint64], key: np.uint64) -> NDArray[np.uint64]:
    """32 well-mixed bits of each number and the key; the constants are splitmix64's (Steele and others, 2014)."""
    mixed = (numbers ^ key) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed >> np.uint64(32)


def _windows(tokens: TokenStream, starts: Ids, length: int) -> Batch:
    """Copy (len(starts), length) inputs and targets out of the stream."""
    windows = tokens.windows(starts, length + 1)
    return Batch(windows[:, :-1].astype(np.int64), windows[:, 1:].astype(np.int64))


def _require_length(split: ShardSplit, context: int) -> None:
    if context < 1:
        raise BadInput(f"A context of {context} tokens holds nothing.", "Choose a context of at least 1.")
    if len(split.tokens) <= context:
        raise BadInput(
            f"The split {split.name} has {len(split.tokens):,} tokens; a context of {context:,} needs at least "
            f"{context + 1:,}.",
            "Choose a shorter context, or more text.",
        )
