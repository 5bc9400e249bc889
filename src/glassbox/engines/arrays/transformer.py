"""The transformer in NumPy: its weights by name, its forward and backward pass, training and generation.

Notable: nothing differentiates itself here. Each part's `backward` stands beneath its `forward`; the stream between
them is one row for each token, (batch * length, width), so that every product with a weight is one product of two
matrices; all weights are one array in memory, and query, key and value (and gate and up) are neighbours in it, so that
they are one matrix; a large batch is shared among threads.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from glassbox.engines import interface
from glassbox.engines.arrays.cache import Cache
from glassbox.engines.arrays.checks import (
    checked_dtype,
    checked_present,
    checked_source,
    checked_targets,
    checked_tokens,
    checked_types,
    checked_weights,
)
from glassbox.engines.arrays.network import Network
from glassbox.engines.arrays.parameters import Array, Parameters, Tokens
from glassbox.engines.arrays.shares import Shares
from glassbox.engines.checks import check_prompt
from glassbox.engines.initialization import initial_weights
from glassbox.engines.interface import Details
from glassbox.engines.values import NOTHING, keeping, value_shapes
from glassbox.spec import ModelSpec


class Transformer(interface.Transformer):
    """A model of any spec.

    seed or weights: where the weights come from: drawn by `initial_weights`, or given by canonical name.
    dtype:           float32 or float64, of everything that is computed.
    threads:         at most so many compute, each some rows of a large batch; by default one for each processor.

    Raises BadInput for a spec that this engine doesn't build.
    """

    def __init__(
        self,
        spec: ModelSpec,
        seed: int = 0,
        *,
        weights: Mapping[str, Any] | None = None,
        dtype: DTypeLike = np.float32,
        threads: int | None = None,
    ) -> None:
        self.spec = spec
        self.parameters = Parameters(spec, checked_dtype(dtype))
        self.shares = Shares(Network(spec, self.parameters), threads or _processors())
        self._latest: Details | None = None  # the forward pass whose values the networks hold for `backward`
        self.has_gradients = False
        self.load_weights(initial_weights(spec, seed) if weights is None else weights)

    @property
    def dtype(self) -> np.dtype[np.floating]:
        return self.parameters.values.dtype

    def forward(
        self,
        tokens: ArrayLike,
        targets: ArrayLike | None = None,
        *,
        keep: Iterable[str] = (),
        types: ArrayLike | None = None,
        present: ArrayLike | None = None,
        source: ArrayLike | None = None,
        source_present: ArrayLike | None = None,
        cache: Cache | None = None,
    ) -> tuple[Array, Details]:
        """See `interface.Transformer.forward`; here besides:

        present: (batch, length), True for a real token, False for padding that nobody may look at.
        cache:   what was read before; `tokens` continue it and are added to it. It holds the source too, which is given
                 with the first tokens only.
        """
        start, room = 0, self.spec.context
        if cache is not None:
            start, room = cache.length, min(room, cache.capacity)
        ids = checked_tokens(tokens, room, start, self.spec)
        batch, length = ids.shape
        kinds = None if types is None else checked_types(types, ids.shape, self.spec)
        flags = None if present is None else checked_present(present, batch, start + length)
        read, read_flags = checked_source(
            source, source_present, self.spec, rows=batch, held=cache is not None and cache.source is not None
        )
        places, counted = (None, 0) if targets is None else checked_targets(targets, batch, length, self.spec)
        collect = keeping(self.spec, keep)
        if collect is not NOTHING:
            heard = None if cache is None or cache.source is None else len(cache.source.encoded) // batch
            source_length = read.shape[1] if read is not None else heard or 1
            collect.values = Snapshots(value_shapes(self.spec, batch, length, source_length))

        logits, loss, balance = self.shares.forward(
            ids,
            places,
            counted,
            types=kinds,
            present=flags,
            source=read,
            source_present=read_flags,
            cache=cache,
            keep=collect,
        )
        if self.spec.head != "classes":
            logits = logits.reshape(batch, length, -1)
        details = Details(loss, collect.values, balance)
        self._latest = details if cache is None else None  # what a cache holds has no way back to the weights
        return logits, details

    def backward(self, details: Details) -> None:
        """See `interface.Transformer.backward`. Of the latest forward pass, once, and not of a cache."""
        assert details.loss is not None, "backward needs a forward pass with targets"
        assert details is self._latest, "only the latest forward pass goes backward, once, and none with a cache"
        self._latest = None
        if not self.has_gradients:
            self.parameters.gradients.fill(0)
            self.has_gradients = True
        self.shares.backward()

    def weights(self) -> dict[str, Array]:
        return self.parameters.apart(self.parameters.values)

    def gradients(self) -> dict[str, Array]:
        return self.parameters.apart(self.parameters.gradients) if self.has_gradients else {}

    def load_weights(self, weights: Mapping[str, Any]) -> None:
        """See `interface.Transformer.load_weights`; takes whatever NumPy can read, tensors on the CPU among it."""
        own = self.weights()
        for name, weight in checked_weights(weights, self.spec).items():
            own[name][...] = weight

    def zero_grad(self) -> None:
        self.has_gradients = False  # the next backward pass begins at zero

    def generate(
        self,
        prompt: Sequence[int],
        max_tokens: int,
        choose: Callable[[Array], int] | None = None,
        *,
        source: Sequence[int] | None = None,
    ) -> list[int]:
        """See `interface.Transformer.generate`; here each token is read once, as long as all of them fit the context.

        Raises BadInput for an empty prompt and for a classifier.
        """
        check_prompt(len(prompt), self.spec)
        tokens = list(prompt)
        choose = choose or self.most_likely
        cached = min(max_tokens, self.spec.context + 1 - len(tokens)) if self.spec.causal else 0
        if cached > 0:
            cache = Cache(self.spec, 1, len(tokens) + cached, self.dtype)
            unread, read = tokens, None if source is None else self.batch([source])
            for _ in range(cached):
                logits, _ = self.forward(self.batch([unread]), source=read, cache=cache)
                read = None  # the cache holds it now
                unread = [choose(logits[0][-1])]
                tokens.extend(unread)
        # Beyond the context every token moves to another position, so that nothing computed before is of use.
        return super().generate(tokens, max_tokens - max(cached, 0), choose, source=source)

    def batch(self, rows: Sequence[Sequence[int]]) -> Tokens:
        return np.array(rows, np.int64)

    def most_likely(self, logits: Array) -> int:
        return int(logits.argmax())


class Snapshots(dict[str, Array]):
    """Values by canonical name, copied as they come by, since the arrays are written over later in the pass.

    Within a pass a token is a row, (batch * length, width); here it gets its canonical shape.
    """

    def __init__(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        super().__init__()
        self._shapes = shapes

    def __setitem__(self, name: str, value: Array) -> None:
        copied = value.copy()
        super().__setitem__(name, copied.reshape(self._shapes[name]) if value.ndim < 4 else copied)


def _processors() -> int:
    """Those that this process may use, where the system tells."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
