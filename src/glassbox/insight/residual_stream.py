"""How large the residual stream is, and how much each part adds to it."""

from __future__ import annotations

from torch import Tensor

from glassbox.engines.tensors import Transformer
from glassbox.engines.values import value_shapes
from glassbox.insight.trace import trace_tokens


def residual_norms(model: Transformer, tokens: Tensor, source: Tensor | None = None) -> dict[str, Tensor]:
    """Name of the stream or of what is added to it -> L2 norm of each token's vector, (batch, length).

    In order of computation: the embedding, and in each block what attention and feed-forward add and the sums.
    """
    wanted = [name for name in value_shapes(model.spec, 1, 1) if _is_stream(name)]
    values = trace_tokens(model, tokens, wanted, source=source).values
    return {name: value.norm(dim=-1) for name, value in values.items()}


def _is_stream(name: str) -> bool:
    """The decoder's (or the only) stream and what joins it."""
    if name.startswith("encoder."):
        return False
    return name == "embedding.output" or name.endswith(
        ("residual", "attention.output", "feedforward.output", "_output_norm.output")
    )
