"""The transformer in plain Python: nested lists and loops, forwards, and backwards by hand.

Notable: a batch is a loop over its rows, each a list of tokens' vectors, (length, width), so that rows may differ in
length; what may not be looked at is never computed; every part returns, beside its output, what its `backward` needs,
and that stands right below its `forward`; nothing but the standard library computes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from glassbox.engines import interface
from glassbox.engines.checks import check_prompt, check_spec
from glassbox.engines.interface import IGNORED, Details
from glassbox.engines.lists.attention import Surroundings
from glassbox.engines.lists.block import Block
from glassbox.engines.lists.cache import Cache
from glassbox.engines.lists.checks import (
    check_room,
    checked_present,
    checked_targets,
    checked_tokens,
    checked_weights,
)
from glassbox.engines.lists.embedding import Embedding, Output
from glassbox.engines.lists.experts import balance
from glassbox.engines.lists.loss import Loss, cross_entropy, cross_entropy_backward
from glassbox.engines.lists.normalization import NormSaved, Unchanged, norm
from glassbox.engines.lists.parameters import Matrix, Parameter, Parameters, Vector, rows_of
from glassbox.engines.lists.positions import Tables, visible
from glassbox.engines.lists.relative_positions import RelativePositions
from glassbox.engines.values import Keep, keeping
from glassbox.spec import ModelSpec


class RowSaved(NamedTuple):
    """What the backward pass of one sequence needs of its forward pass."""

    around: Surroundings
    embedding_norm: NormSaved
    blocks: list[Block.Saved]
    final_norm: NormSaved
    output: Output.Saved
    logits: Matrix  # (length, vocabulary), or (1, classes)


class Transformer(interface.Transformer):
    """A decoder or an encoder of any spec.

    seed or weights: where the weights come from: drawn by `initial_weights`, or given by canonical name as nested
    lists or anything with `.tolist()`.

    Raises BadInput for a spec that this engine doesn't build.
    """

    def __init__(self, spec: ModelSpec, seed: int = 0, *, weights: Mapping[str, Any] | None = None) -> None:
        check_spec(spec)
        if weights is None:
            # The one function that all engines draw from; it needs NumPy, which nothing else here does.
            from glassbox.engines.initialization import initial_weights

            weights = initial_weights(spec, seed)
        self.spec = spec
        self.parameters = {name: Parameter(numbers) for name, numbers in checked_weights(weights, spec).items()}
        parameters = Parameters(self.parameters)
        self.tables = Tables(spec)
        self.embedding = Embedding(spec, parameters.under("embedding"))
        self.embedding_norm = norm(spec, parameters.under("embedding_norm")) if spec.embedding_norm else Unchanged()
        relative = spec.positions == "relative"
        self.relative = RelativePositions(spec, parameters.under("relative_positions")) if relative else None
        self.blocks = [Block(spec, layer, parameters.under(f"blocks.{layer}")) for layer in range(spec.layers)]
        self.final_norm = norm(spec, parameters.under("final_norm")) if spec.final_norm else Unchanged()
        self.output = Output(spec, parameters.under("output"), self.embedding.tokens)

    def forward(
        self,
        tokens: Any,
        targets: Any = None,
        *,
        keep: Iterable[str] = (),
        present: Any = None,
        cache: Sequence[Cache] | None = None,
    ) -> tuple[Any, Details]:
        """See `interface.Transformer.forward`; here besides:

        present: (batch, length), True for a real token, False for padding that nobody may look at.
        cache:   what was read before, a cache for each row; `tokens` continue it and are added to it.

        Lists of ids are taken as well as arrays and tensors.
        """
        wanted = (keep,) if isinstance(keep, str) else tuple(keep)
        rows = checked_tokens(tokens, self.spec)
        starts = [0 for _ in rows] if cache is None else [held.length for held in cache]
        check_room(rows, starts, self.spec)
        flags = [None for _ in rows] if present is None else checked_present(present, rows, starts)
        caches = [None for _ in rows] if cache is None else cache
        if targets is not None:
            targets = checked_targets(targets, rows, self.spec, continues=cache is not None)
        saved: list[RowSaved] = []
        kept: list[Keep] = []
        for row, here, held in zip(rows, flags, caches, strict=True):
            kept.append(keeping(self.spec, wanted))
            around = self._surroundings(row, here, held)
            saved.append(self._row(around, kept[-1]))
        logits = [row.logits[0] if self.spec.head == "classes" else row.logits for row in saved]
        balance, pulls = self._balance(saved)
        loss = None if targets is None else self._loss(saved, targets, pulls)
        return logits, Details(loss, batched(kept), None if targets is None else balance)

    def backward(self, details: Details) -> None:
        """dz = (softmax(z) - onehot(target)) / targets that count, then every part backwards, row after row."""
        assert details.loss is not None, "backward needs a forward pass with targets"
        rows, targets, counted, pulls = details.loss.saved
        for saved, row_targets in zip(rows, targets, strict=True):
            self._row_backward(cross_entropy_backward(saved.logits, row_targets, counted), saved, pulls)

    def _row(self, around: Surroundings, keep: Keep) -> RowSaved:
        """One sequence through the whole model; its logits are in what is saved."""
        x = self.embedding.forward(around.tokens, around.start, self.tables, keep.under("embedding"))
        x, embedding_norm = self.embedding_norm.forward(x, keep.under("embedding_norm"))
        blocks: list[Block.Saved] = []
        for layer, block in enumerate(self.blocks):
            x, saved = block.forward(x, around, keep.under(f"blocks.{layer}"))  # (length, width)
            blocks.append(saved)
        if around.cache is not None:
            around.cache.length += len(around.tokens)
        x, final_norm = self.final_norm.forward(x, keep.under("final_norm"))
        # A classifier reads its first token.
        logits, output = self.output.forward(x[:1] if self.spec.head == "classes" else x)
        keep("logits", logits[0] if self.spec.head == "classes" else logits)
        return RowSaved(around, embedding_norm, blocks, final_norm, output, logits)

    def _row_backward(self, d_logits: Matrix, saved: RowSaved, pulls: list[Vector | None]) -> None:
        """The same way back: each part turns the gradient of its output into that of its input."""
        around = saved.around
        d_x = self.output.backward(d_logits, saved.output)
        d_x += [[0.0] * self.spec.width for _ in around.tokens[len(d_x) :]]  # what a classifier didn't read
        d_x = self.final_norm.backward(d_x, saved.final_norm)  # (length, width)
        for block, kept, pull in zip(reversed(self.blocks), reversed(saved.blocks), reversed(pulls), strict=True):
            d_x = block.backward(d_x, kept, around, pull)
        d_x = self.embedding_norm.backward(d_x, saved.embedding_norm)
        self.embedding.backward(d_x, around.tokens, around.start)

    def _surroundings(self, tokens: Sequence[int], present: Sequence[int] | None, cache: Cache | None) -> Surroundings:
        start = 0 if cache is None else cache.length
        end = start + len(tokens)
        return Surroundings(
            tokens=tokens,
            start=start,
            turns=self.tables.rotary(start, end) if self.spec.positions == "rotary" else None,
            slopes=self.tables.slopes,
            visible=visible(self.spec, start, end, present),
            cache=cache,
            present=None if present is None else present[start:],
            relative=self.relative,
        )

    def _balance(self, saved: list[RowSaved]) -> tuple[float | None, list[Vector | None]]:
        """The load-balancing loss, and for each block the pull of it; None without experts."""
        pulls: list[Vector | None] = [None for _ in self.blocks]
        if self.spec.experts is None:
            return None, pulls
        mixed = [layer for layer in range(self.spec.layers) if self.spec.has_experts(layer)]
        layers = [[row.blocks[layer].feedforward.part for row in saved] for layer in mixed]
        value, found = balance(layers, self.spec.experts.balance)
        for layer, pull in zip(mixed, found, strict=True):
            pulls[layer] = pull
        return value, pulls

    def _loss(self, saved: list[RowSaved], targets: list[list[int]], pulls: list[Vector | None]) -> Loss:
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
        self, prompt: Sequence[int], max_tokens: int, choose: Callable[[Vector], int] | None = None
    ) -> list[int]:
        """See `interface.Transformer.generate`; each token is read once while all of them fit into the context.

        Beyond it every token's position moves with each new one, so that the last `spec.context` are read anew.
        """
        check_prompt(len(prompt), self.spec)
        if not self.spec.causal:  # a new token changes what the earlier ones see: nothing can be kept
            return super().generate(prompt, max_tokens, choose)
        tokens, cache = list(prompt), Cache(self.spec)
        choose = choose or self.most_likely
        for _ in range(max_tokens):
            if len(tokens) <= self.spec.context:
                logits, _ = self.forward([tokens[cache.length :]], cache=[cache])
            else:
                logits, _ = self.forward([tokens[-self.spec.context :]])
            tokens.append(choose(logits[0][-1]))
        return tokens


def batched(kept: Sequence[Keep]) -> dict[str, Any]:
    """The values kept of each row as values of the batch; position vectors are the same in all."""
    names = kept[0].values
    alone = "embedding.position_vectors"
    return {name: names[name] if name == alone else [row.values[name] for row in kept] for name in names}
