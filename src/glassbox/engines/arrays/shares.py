"""A large batch shared among threads: data parallelism inside of one process.

Each thread takes some rows of the batch through a network of its own over the same weights, one layer after another,
its share in its core's cache; the gradients are added up at the end. NumPy lets other threads run while it computes.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, nullcontext
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from glassbox.engines.arrays.cache import Cache
from glassbox.engines.arrays.experts import balance
from glassbox.engines.arrays.network import Network
from glassbox.engines.arrays.parameters import Array, Parameters, Tokens
from glassbox.engines.values import NOTHING, Keep

Result = TypeVar("Result")

# Numbers of the stream, tokens times width:
WORTH_A_THREAD = 2**14  # that take longer to compute than to hand to a thread
FEW = 2**10  # whose products the matrix library does in one thread anyway


class Shares:
    """The networks of one model: the first is the model's own, the others are made when a batch is worth them."""

    def __init__(self, own: Network, threads: int) -> None:
        self.networks = [own]
        self.threads = threads
        self._pool: ThreadPoolExecutor | None = None
        self._numbers = 0  # of the stream in the latest forward pass
        self._used = 1  # networks in it

    def forward(
        self,
        tokens: Tokens,
        targets: Tokens | None,
        counted: int,
        *,
        types: Tokens | None,
        present: NDArray[np.bool_] | None,
        source: Tokens | None,
        source_present: NDArray[np.bool_] | None,
        cache: Cache | None,
        keep: Keep,
    ) -> tuple[Array, np.floating | None, np.floating | None]:
        """Logits of the whole batch, and its loss if there are targets, flat and as `Network.loss` takes them.

        With targets and experts, their load-balancing loss too.
        """
        own, rows = self.networks[0], len(tokens)
        self._numbers = (tokens.size + (0 if source is None else source.size)) * own.spec.width
        self._used = shares = self._worth(rows) if cache is None and keep is NOTHING else 1
        while len(self.networks) < shares:
            weights = own.parameters.values
            self.networks.append(Network(own.spec, Parameters(own.spec, weights.dtype, weights)))

        def run(share: int) -> tuple[Array, np.floating | None]:
            network, begin, end = self.networks[share], rows * share // shares, rows * (share + 1) // shares
            part = slice(begin, end)
            logits = network.forward(
                tokens[part],
                types=None if types is None else types[part],
                present=None if present is None else present[part],
                source=None if source is None else source[part],
                source_present=None if source_present is None else source_present[part],
                cache=cache,
                keep=keep,
            )
            if targets is None:
                return logits, None
            each = len(targets) // rows  # targets of one row of the batch
            return logits, network.loss(logits, targets[begin * each : end * each], counted)

        logits, losses = zip(*self._in_threads(run), strict=True)
        balanced = None
        if targets is not None and own.spec.experts is not None:
            layers = zip(*(network.mixtures for network in self.networks[:shares]), strict=True)
            balanced = balance(list(layers), own.spec.experts.balance)
        if shares == 1:
            return logits[0], losses[0], balanced
        return np.concatenate(logits), None if targets is None else np.add.reduce(losses), balanced

    def backward(self) -> None:
        """Add the gradients of the latest forward pass to those of the model."""

        def run(share: int) -> None:
            network = self.networks[share]
            if share:
                network.parameters.gradients.fill(0)
            network.backward()

        self._in_threads(run)
        for network in self.networks[1 : self._used]:
            self.networks[0].parameters.gradients += network.parameters.gradients

    def _worth(self, rows: int) -> int:
        """How many threads a batch should be shared among."""
        return max(1, min(self.threads, rows, self._numbers // WORTH_A_THREAD))

    def _in_threads(self, work: Callable[[int], Result]) -> list[Result]:
        """work(0) here and the others in threads."""
        with self._matrix_threads():
            if self._used == 1:
                return [work(0)]
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self.threads - 1, thread_name_prefix="arrays")
            others = [self._pool.submit(work, share) for share in range(1, self._used)]
            try:
                first = work(0)
            finally:
                wait(others)  # a fault here must not leave threads writing into the networks
            return [first, *(other.result() for other in others)]

    def _matrix_threads(self) -> AbstractContextManager[object]:
        """How many threads the matrix library takes for one product.

        One, as a rule: its threads wait for one another after every product, which costs more than they gain in
        products of this size, and hundreds of times more when something else wants the processor. Only a large batch
        that cannot be shared (one long row) is left to it.
        """
        cannot_be_shared = self._used == 1 < self.threads and self._numbers >= 2 * WORTH_A_THREAD
        if self._numbers < FEW or cannot_be_shared:
            return nullcontext()
        return _matrix_library().limit(limits=1)


@functools.cache
def _matrix_library() -> ThreadpoolController:
    """Whatever NumPy multiplies matrices with: OpenBLAS, as a rule."""
    return ThreadpoolController().select(user_api="blas")
