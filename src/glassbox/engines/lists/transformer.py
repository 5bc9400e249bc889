"""The transformer in plain Python: nested lists and loops, forwards, and backwards by hand.

Notable: a batch is a loop over its rows, each a list of tokens' vectors, (length, width), so that rows may differ in
length; what may not be looked at is never computed; every part returns, beside its output, what its `backward` needs,
and that stands right below its `forward`; nothing but the standard library computes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from glassbox.engines import interface
from glassbox.engines.checks import check_prompt
from glassbox.engines.interface import IGNORED, Details
from glassbox.engines.lists.cache import Cache
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
from glassbox.engines.lists.embedding import Output
from glassbox.engines.lists.experts import balance
from glassbox.engines.lists.loss import Loss, cross_entropy, cross_entropy_backward
from glassbox.engines.lists.parameters import Matrix, Parameter, Parameters, Vector, rows_of, zeros_like
from glassbox.engines.lists.source import Source
from glassbox.engines.lists.stack import Stack
from glassbox.engines.values import Keep, keeping
from glassbox.spec import ModelSpec


class RowSaved(NamedTuple):
    """What the backward pass of one sequence needs of its forward pass."""

    stack: Stack.Saved
    encoder: Stack.Saved | None  # of an encoder-decoder
    output: Output.Saved
    logits: Matrix  # (length, vocabulary), or (1, classes)


class Pulls(NamedTuple):
    """Of each block, how the load-balancing loss grows with a token's probabilities; None where nobody chooses."""

    stack: list[Vector | None]
    encoder: list[Vector | None]


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
        self.parameters = {name: Parameter(numbers) for name, numbers in checked_weights(weights, spec).items()}
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
        saved: list[RowSaved] = []
        kept: list[Keep] = []
        for row, kind, here, read, held in zip(rows, kinds, flags, sources, caches, strict=True):
            kept.append(keeping(self.spec, wanted))
            saved.append(self._row(row, kind, here, read, held, kept[-1]))
        logits = [row.logits[0] if self.spec.head == "classes" else row.logits for row in saved]
        if targets is None:
            return logits, Details(values=batched(kept))
        uneven, pulls = self._balance(saved)
        return logits, Details(self._loss(saved, targets, pulls), batched(kept), uneven)

    def backward(self, details: Details) -> None:
        """dz = (softmax(z) - onehot(target)) / targets that count, then every part backwards, row after row."""
        assert details.loss is not None, "backward needs a forward pass with targets"
        rows, targets, counted, pulls = details.loss.saved
        for saved, row_targets in zip(rows, targets, strict=True):
            self._row_backward(cross_entropy_backward(saved.logits, row_targets, counted), saved, pulls)

    def _row(
        self,
        tokens: list[int],
        types: Sequence[int],
        present: Sequence[int] | None,
        read: SourceIds | None,
        cache: Cache | None,
        keep: Keep,
    ) -> RowSaved:
        """One sequence through the whole model; its logits are in what is saved."""
        source, encoder = self._hear(read, cache, keep)
        x, stack = self.stack.forward(tokens, types, present, keep, source=source, cache=cache)  # (length, width)
        # A classifier reads its first token.
        logits, output = self.output.forward(x[:1] if self.spec.head == "classes" else x, keep.under("output"))
        keep("logits", logits[0] if self.spec.head == "classes" else logits)
        return RowSaved(stack, encoder, output, logits)

    def _hear(
        self, read: SourceIds | None, cache: Cache | None, keep: Keep
    ) -> tuple[Source | None, Stack.Saved | None]:
        """What the encoder has read, from the cache if it is there; None in other kinds of models."""
        if self.encoder is None or read is None:
            return None if cache is None else cache.source, None
        ids, flags = read
        encoded, saved = self.encoder.forward(
            ids, [0] * len(ids), flags, keep.under("encoder")
        )  # (source_length, width)
        present = [place for place in range(len(ids)) if flags is None or flags[place]]
        source = Source(encoded, present, d_encoded=[], held=None if cache is None else {})
        if cache is not None:
            cache.source = source
        return source, saved

    def _row_backward(self, d_logits: Matrix, saved: RowSaved, pulls: Pulls) -> None:
        """The same way back: each part turns the gradient of its output into that of its input."""
        around = saved.stack.around
        d_x = self.output.backward(d_logits, saved.output)
        d_x += [[0.0] * self.spec.width for _ in around.tokens[len(d_x) :]]  # what a classifier didn't read
        if around.source is not None:
            around.source.d_encoded = zeros_like(around.source.encoded)
        self.stack.backward(d_x, saved.stack, pulls.stack)
        if self.encoder is not None and saved.encoder is not None and around.source is not None:
            self.encoder.backward(around.source.d_encoded, saved.encoder, pulls.encoder)

    def _balance(self, saved: list[RowSaved]) -> tuple[float | None, Pulls]:
        """The load-balancing loss and its pulls; None without experts."""
        pulls = Pulls([None for _ in self.stack.blocks], [None for _ in self.encoder.blocks] if self.encoder else [])
        if self.spec.experts is None:
            return None, pulls
        stacks = [(self.stack, pulls.stack, [row.stack for row in saved])]
        if self.encoder is not None:
            stacks.append((self.encoder, pulls.encoder, [row.encoder for row in saved if row.encoder is not None]))
        places: list[tuple[list[Vector | None], int]] = []
        layers: list[list[Any]] = []  # of each layer with experts, what its mixture saved of each row
        for stack, of_blocks, rows in stacks:
            mixtures = [stack.mixtures(row) for row in rows]
            for layer in mixtures[0]:
                places.append((of_blocks, layer))
                layers.append([of_row[layer] for of_row in mixtures])
        value, found = balance(layers, self.spec.experts.balance)
        for (of_blocks, layer), pull in zip(places, found, strict=True):
            of_blocks[layer] = pull
        return value, pulls

    def _loss(self, saved: list[RowSaved], targets: list[list[int]], pulls: Pulls) -> Loss:
        """The mean over the targets that count."""
        counted = sum(target != IGNORED for row in targets for target in row)
        loss = Loss(sum(cross_entropy(kept.logits, row) for kept, row in zip(saved, targets, strict=True)) / counted)
        loss.saved = saved, targets, counted, pulls
        return loss

    def weights(self) -> dict[str, Any]:
        return {name: parameter.value for name, parameter in self.parameters.items()}

    def gradients(self) -> dict[str, Any]:
        held = {name: parameter.gradient for name, parameter in self.parameters.items()}
        return {name: gradient for name, gradient in held.items() if gradient is not None}

    def load_weights(self, weights: Mapping[str, Any]) -> None:
        """See `interface.Transformer.load_weights`; takes nested lists and anything with `.tolist()`."""
        for name, numbers in checked_weights(weights, self.spec).items():
            for row, new in zip(rows_of(self.parameters[name].value), rows_of(numbers), strict=True):
                row[:] = new

    def zero_grad(self) -> None:
        for parameter in self.parameters.values():
            parameter.gradient = None

    def batch(self, rows: Sequence[Sequence[int]]) -> list[list[int]]:
        return [list(row) for row in rows]

    def most_likely(self, logits: Vector) -> int:
        return max(range(len(logits)), key=logits.__getitem__)

    def generate(
        self,
        prompt: Sequence[int],
        max_tokens: int,
        choose: Callable[[Vector], int] | None = None,
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
            tokens.append(choose(logits[0][-1]))
        return tokens


def batched(kept: Sequence[Keep]) -> dict[str, Any]:
    """The values kept of each row as values of the batch; position vectors are the same in all."""
    names = kept[0].values
    return {
        name: names[name] if name.endswith("embedding.position_vectors") else [row.values[name] for row in kept]
        for name in names
    }
