"""The transformer as a graph of single numbers: every one of them a `Value` that knows where it came from.

Notable: there is no backward pass to be read, because `Value.backward` is all of them; a batch is a loop over its rows,
each a list of tokens' vectors, (length, width), so that rows may differ in length; what may not be looked at is never
computed; nothing but the standard library computes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any

from glassbox.engines import interface
from glassbox.engines.checks import check_prompt
from glassbox.engines.interface import Details
from glassbox.engines.lists.checks import (
    SourceIds,
    check_room,
    checked_present,
    checked_sources,
    checked_targets,
    checked_tokens,
    checked_types,
    checked_weights,
)
from glassbox.engines.lists.transformer import batched
from glassbox.engines.scalars.attention import Route
from glassbox.engines.scalars.cache import Cache
from glassbox.engines.scalars.embedding import Output
from glassbox.engines.scalars.experts import balance
from glassbox.engines.scalars.loss import cross_entropy
from glassbox.engines.scalars.parameters import Parameters, flat, nested
from glassbox.engines.scalars.source import Source
from glassbox.engines.scalars.stack import Stack
from glassbox.engines.scalars.value import Matrix, Value, forgotten, numbers, total
from glassbox.engines.values import Keep, keeping
from glassbox.spec import ModelSpec


class Transformer(interface.Transformer):
    """A model of any spec: a stack of blocks and an output, and in an encoder-decoder a second stack beside the first.

    seed or weights: where the weights come from: drawn by `initial_weights`, or given by canonical name as nested
    lists or anything with `.tolist()`.

    Raises BadInput for a spec that this engine doesn't build.
    """

    def __init__(self, spec: ModelSpec, seed: int = 0, *, weights: Mapping[str, Any] | None = None) -> None:
        if weights is None:
            # The one function that all engines draw from; it needs NumPy, which nothing else here does.
            from glassbox.engines.initialization import initial_weights

            weights = initial_weights(spec, seed)
        self.spec = spec
        self.parameters = {name: nested(given, Value) for name, given in checked_weights(weights, spec).items()}
        self.has_gradients = False
        parameters = Parameters(self.parameters)
        tokens = parameters["embedding.tokens"]
        self.stack = Stack(spec, parameters, tokens)
        self.encoder = None
        if spec.kind == "encoder-decoder":
            self.encoder = Stack(spec.encoder, parameters.under("encoder"), tokens)
        self.output = Output(spec, parameters.under("output"), tokens)

    def forward(
        self,
        tokens: Any,
        targets: Any = None,
        *,
        keep: Iterable[str] = (),
        types: Any = None,
        present: Any = None,
        source: Any = None,
        source_present: Any = None,
        cache: Sequence[Cache] | None = None,
    ) -> tuple[Any, Details]:
        """See `interface.Transformer.forward`; here besides:

        present: (batch, length), True for a real token, False for padding that nobody may look at.
        cache:   what was read before, a cache for each row; `tokens` continue it and are added to it. It holds the
                 source too, which is given with the first tokens only.

        Lists of ids are taken as well as arrays and tensors.

        The values kept are `Value`s: after `backward` their `grad` is there to be read as well. Vectors that the model
        reads from a table and uses as they are, are the weights themselves.
        """
        wanted = (keep,) if isinstance(keep, str) else tuple(keep)
        rows = checked_tokens(tokens, self.spec)
        starts = [0 for _ in rows] if cache is None else [held.length for held in cache]
        check_room(rows, starts, self.spec)
        kinds = checked_types(types, rows, self.spec)
        flags = [None for _ in rows] if present is None else checked_present(present, rows, starts)
        caches = [None for _ in rows] if cache is None else cache
        if targets is not None:
            targets = checked_targets(targets, rows, self.spec, continues=cache is not None)
        held_source = cache is not None and all(held.source is not None for held in cache)
        sources = checked_sources(source, source_present, rows, self.spec, held=held_source)
        logits: list[Matrix] = []
        kept: list[Keep] = []
        routes: list[list[Route]] = []  # of each row, of each layer with experts
        for row, kind, here, read, held in zip(rows, kinds, flags, sources, caches, strict=True):
            kept.append(keeping(self.spec, wanted))
            routes.append([])
            logits.append(self._row(row, kind, here, read, held, routes[-1], kept[-1]))
        loss = None if targets is None else self._loss(logits, targets)
        uneven = None if targets is None or self.spec.experts is None else balance(list(zip(*routes, strict=True)))
        return [row[0] for row in logits] if self.spec.head == "classes" else logits, Details(
            loss, batched(kept), uneven
        )

    def backward(self, details: Details) -> None:
        assert details.loss is not None, "backward needs a forward pass with targets"
        objective = details.loss
        if self.spec.experts is not None:
            assert details.balance is not None  # targets were given
            objective = objective + self.spec.experts.balance * details.balance
        objective.backward()
        self.has_gradients = True

    def _row(
        self,
        tokens: list[int],
        types: Sequence[int],
        present: Sequence[int] | None,
        read: SourceIds | None,
        cache: Cache | None,
        routes: list[Route],
        keep: Keep,
    ) -> Matrix:
        """One sequence through the whole model: logits (length, vocabulary), or (1, classes)."""
        source = self._hear(read, cache, routes, keep)
        x = self.stack.forward(tokens, types, present, routes, keep, source=source, cache=cache)  # (length, width)
        # A classifier reads its first token.
        logits = self.output.forward(x[:1] if self.spec.head == "classes" else x, keep.under("output"))
        keep("logits", logits[0] if self.spec.head == "classes" else logits)
        return logits

    def _hear(self, read: SourceIds | None, cache: Cache | None, routes: list[Route], keep: Keep) -> Source | None:
        """What the encoder has read, from the cache if it is there; None in other kinds of models."""
        if self.encoder is None or read is None:
            return None if cache is None else cache.source
        ids, flags = read
        encoded = self.encoder.forward(
            ids, [0] * len(ids), flags, routes, keep.under("encoder")
        )  # (source_length, width)
        present = [place for place in range(len(ids)) if flags is None or flags[place]]
        if cache is None:
            return Source(encoded, present)
        # As everything in a cache it forgets how it was made.
        cache.source = Source([forgotten(vector) for vector in encoded], present, held={})
        return cache.source

    def _loss(self, logits: list[Matrix], targets: list[list[int]]) -> Value:
        """The mean over the targets that count."""
        surprises = [value for row, wanted in zip(logits, targets, strict=True) for value in cross_entropy(row, wanted)]
        return total(surprises) / len(surprises)

    def weights(self) -> dict[str, Any]:
        """Canonical name -> nested lists of `Value`s: setting the `data` of one changes the model."""
        return dict(self.parameters)

    def gradients(self) -> dict[str, Any]:
        if not self.has_gradients:
            return {}
        return {name: nested(weight, attrgetter("grad")) for name, weight in self.parameters.items()}

    def load_weights(self, weights: Mapping[str, Any]) -> None:
        """See `interface.Transformer.load_weights`; takes nested lists and anything with `.tolist()`."""
        for name, given in checked_weights(weights, self.spec).items():
            for value, number in zip(flat(self.parameters[name]), flat(given), strict=True):
                value.data = number

    def zero_grad(self) -> None:
        for weight in self.parameters.values():
            for value in flat(weight):
                value.grad = 0.0
        self.has_gradients = False

    def batch(self, rows: Sequence[Sequence[int]]) -> list[list[int]]:
        return [list(row) for row in rows]

    def most_likely(self, logits: Sequence[float]) -> int:
        return max(range(len(logits)), key=lambda token: float(logits[token]))

    def generate(
        self,
        prompt: Sequence[int],
        max_tokens: int,
        choose: Callable[[list[float]], int] | None = None,
        *,
        source: Sequence[int] | None = None,
    ) -> list[int]:
        """See `interface.Transformer.generate`; each token is read once while all of them fit into the context.

        Beyond it every token's position moves with each new one, so that the last `spec.context` are read anew.
        """
        check_prompt(len(prompt), self.spec)
        if not self.spec.causal:  # a new token changes what the earlier ones see: nothing can be kept
            return super().generate(prompt, max_tokens, choose)
        tokens, cache = list(prompt), Cache(self.spec)
        choose = choose or self.most_likely
        read = None if source is None else [source]
        for _ in range(max_tokens):
            if len(tokens) <= self.spec.context:
                unheard = read if cache.source is None else None
                logits, _ = self.forward([tokens[cache.length :]], source=unheard, cache=[cache])
            else:
                logits, _ = self.forward([tokens[-self.spec.context :]], source=read)
            tokens.append(choose(numbers(logits[0][-1])))
        return tokens
