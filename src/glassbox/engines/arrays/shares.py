"""A large batch shared among threads: data parallelism inside of one process.

Each thread takes some rows of the batch through a network of its own over the same weights, one layer after another,
its share in its core's cache; the gradients are added up at the end. NumPy lets other threads run while it computes.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from glassbox.engines.arrays.network import Network
from glassbox.engines.arrays.parameters import Array, Parameters, Tokens

Result = TypeVar("Result")

WORTH_A_THREAD = 2**14  # numbers of the stream (tokens times width) that take longer than handing them to a thread


@functools.cache
def _matrix_library() -> ThreadpoolController:
    """Whatever NumPy multiplies matrices with (OpenBLAS, as a rule) and however many threads it takes for it."""
    return ThreadpoolController().select(user_api="blas")


class Shares:
    """The networks of one model: the first is the model's own, the others are made when a batch is worth them."""

    def __init__(self, own: Network, threads: int) -> None:
        self.networks = [own]
        self.threads = threads
        self._pool: ThreadPoolExecutor | None = None
        self._used = 1

    def worth(self, tokens: Tokens) -> int:
        """How many threads a batch should be shared among."""
        batch, length = tokens.shape
        return max(1, min(self.threads, batch, batch * length * self.networks[0].spec.width // WORTH_A_THREAD))

    def forward(
        self, tokens: Tokens, targets: Tokens, counted: int, present: NDArray[np.bool_] | None, shares: int
    ) -> tuple[Array, np.floating]:
        """Logits of the whole batch, and its loss. `targets` is flat, as `Network.loss` takes it."""
        own = self.networks[0]
        while len(self.networks) < shares:
            weights = own.parameters.values
            self.networks.append(Network(own.spec, Parameters(own.spec, weights.dtype, weights)))
        bounds = np.linspace(0, len(tokens), shares + 1).astype(int).tolist()
        per_row = len(targets) // len(tokens)  # targets of one row of the batch
        self._used = shares

        def run(share: int) -> tuple[Array, np.floating]:
            begin, end = bounds[share], bounds[share + 1]
            network = self.networks[share]
            logits = network.forward(tokens[begin:end], present=None if present is None else present[begin:end])
            return logits, network.loss(logits, targets[begin * per_row : end * per_row], counted)

        logits, losses = zip(*self._in_threads(run, shares), strict=True)
        return np.concatenate(logits), np.add.reduce(losses)

    def backward(self) -> None:
        """Add the gradients of the last forward pass to those of the model."""

        def run(share: int) -> None:
            network = self.networks[share]
            if share:
                network.parameters.gradients.fill(0)
            network.backward()

        self._in_threads(run, self._used)
        for network in self.networks[1 : self._used]:
            self.networks[0].parameters.gradients += network.parameters.gradients

    def _in_threads(self, work: Callable[[int], Result], count: int) -> list[Result]:
        """work(0) here and the others in threads, each multiplying matrices alone instead of sharing each product."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self.threads - 1, thread_name_prefix="arrays")
        with _matrix_library().limit(limits=1):
            others = [self._pool.submit(work, share) for share in range(1, count)]
            try:
                first = work(0)
            finally:
                wait(others)  # a fault here must not leave threads writing into the networks
            return [first, *(other.result() for other in others)]
