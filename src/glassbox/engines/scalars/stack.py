"""A stack of blocks with what stands before and after them: a whole encoder, or a decoder up to its output."""

from __future__ import annotations

from collections.abc import Sequence

from glassbox.engines.scalars.attention import Route, Surroundings
from glassbox.engines.scalars.block import Block
from glassbox.engines.scalars.cache import Cache
from glassbox.engines.scalars.embedding import Embedding
from glassbox.engines.scalars.normalization import Unchanged, norm
from glassbox.engines.scalars.parameters import Parameters
from glassbox.engines.scalars.positions import Tables, visible
from glassbox.engines.scalars.relative_positions import RelativePositions
from glassbox.engines.scalars.source import Source
from glassbox.engines.scalars.value import Matrix
from glassbox.engines.values import Keep
from glassbox.spec import ModelSpec


class Stack:
    """Embedding, blocks, final norm. The table of tokens is given: an encoder and its decoder share it."""

    def __init__(self, spec: ModelSpec, parameters: Parameters, tokens: Matrix) -> None:
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
        routes: list[Route],
        keep: Keep,
        *,
        source: Source | None = None,
        cache: Cache | None = None,
    ) -> Matrix:
        """Ids (length,), and the type of each token -> what the final norm gives, (length, width).

        routes: gets, of each layer with experts, who went where.
        """
        start = 0 if cache is None else cache.length
        end = start + len(tokens)
        around = Surroundings(
            tokens=tokens,
            start=start,
            turns=self.tables.rotary(start, end) if self.spec.positions == "rotary" else None,
            slopes=self.tables.slopes,
            visible=visible(self.spec, start, end, present),
            cache=cache,
            present=None if present is None else present[start:],
            relative=self.relative,
            routes=routes,
            source=source,
        )
        x = self.embedding.forward(tokens, types, start, self.tables, keep.under("embedding"))
        x = self.embedding_norm.forward(x, keep.under("embedding_norm"))
        for layer, block in enumerate(self.blocks):
            x = block.forward(x, around, keep.under(f"blocks.{layer}"))  # (length, width)
        if cache is not None:
            cache.length += len(tokens)
        return self.final_norm.forward(x, keep.under("final_norm"))
