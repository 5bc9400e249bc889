"""A stack of blocks with what stands before and after them: a whole encoder, or a decoder up to its output."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from glassbox.engines.lists.attention import Surroundings
from glassbox.engines.lists.block import Block
from glassbox.engines.lists.cache import Cache
from glassbox.engines.lists.embedding import Embedding
from glassbox.engines.lists.normalization import NormSaved, Unchanged, norm
from glassbox.engines.lists.parameters import Matrix, Parameter, Parameters, Vector
from glassbox.engines.lists.positions import Tables, visible
from glassbox.engines.lists.relative_positions import RelativePositions
from glassbox.engines.lists.source import Source
from glassbox.engines.values import Keep
from glassbox.spec import ModelSpec


class Stack:
    """Embedding, blocks, final norm. The table of tokens is given: an encoder and its decoder share it."""

    class Saved(NamedTuple):
        """What backward needs of forward."""

        types: Sequence[int]
        around: Surroundings
        embedding_norm: NormSaved
        blocks: list[Block.Saved]
        final_norm: NormSaved

    def __init__(self, spec: ModelSpec, parameters: Parameters, tokens: Parameter) -> None:
        self.spec = spec
        self.tables = Tables(spec)
        self.embedding = Embedding(spec, parameters.under("embedding"), tokens)
        self.embedding_norm = norm(spec, parameters.under("embedding_norm")) if spec.embedding_norm else Unchanged()
        relative = spec.positions == "relative"
        self.relative = RelativePositions(spec, parameters.under("relative_positions")) if relative else None
        self.blocks = [Block(spec, layer, parameters.under(f"blocks.{layer}")) for layer in range(spec.layers)]
        self.final_norm = norm(spec, parameters.under("final_norm")) if spec.final_norm else Unchanged()

    def forward(
        self,
        tokens: Sequence[int],
        types: Sequence[int],
        present: Sequence[int] | None,
        keep: Keep,
        *,
        source: Source | None = None,
        cache: Cache | None = None,
    ) -> tuple[Matrix, Saved]:
        """Ids (length,), and the type of each token -> what the final norm gives, (length, width)."""
        around = self._surroundings(tokens, present, source, cache)
        x = self.embedding.forward(tokens, types, around.start, self.tables, keep.under("embedding"))
        x, embedding_norm = self.embedding_norm.forward(x, keep.under("embedding_norm"))
        blocks: list[Block.Saved] = []
        for layer, block in enumerate(self.blocks):
            x, saved = block.forward(x, around, keep.under(f"blocks.{layer}"))  # (length, width)
            blocks.append(saved)
        if cache is not None:
            cache.length += len(tokens)
        x, final_norm = self.final_norm.forward(x, keep.under("final_norm"))
        return x, self.Saved(types, around, embedding_norm, blocks, final_norm)

    def backward(self, d_x: Matrix, saved: Saved, pulls: Sequence[Vector | None]) -> None:
        """The same way back. pulls: of each block, see `Block.backward`."""
        around = saved.around
        d_x = self.final_norm.backward(d_x, saved.final_norm)  # (length, width)
        for block, kept, pull in zip(reversed(self.blocks), reversed(saved.blocks), reversed(pulls), strict=True):
            d_x = block.backward(d_x, kept, around, pull)
        d_x = self.embedding_norm.backward(d_x, saved.embedding_norm)
        self.embedding.backward(d_x, around.tokens, saved.types, around.start)

    def mixtures(self, saved: Saved) -> dict[int, Any]:
        """Layer -> what its mixture of experts saved."""
        layers = [layer for layer in range(self.spec.layers) if self.spec.has_experts(layer)]
        return {layer: saved.blocks[layer].feedforward.part for layer in layers}

    def _surroundings(
        self, tokens: Sequence[int], present: Sequence[int] | None, source: Source | None, cache: Cache | None
    ) -> Surroundings:
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
            source=source,
        )
