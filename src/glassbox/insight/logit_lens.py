"""The logit lens: what the model would say if it stopped after each block.

The stream after a block goes through the final norm and the output matrix as if it were the last one (nostalgebraist
2020, "interpreting GPT: the logit lens"). Early blocks needn't speak the output's language, so what they seem to say
is a hint; the last row is what the model itself says. An encoder speaks of each place while it sees what stands there.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from glassbox.engines.tensors import Transformer
from glassbox.insight.predictions import Predictions, check_says_tokens, judge
from glassbox.insight.trace import trace_tokens


@dataclass(frozen=True)
class LensRow:
    """name: of the stream that is read (`blocks.3.residual`). said: what it would predict."""

    name: str
    said: Predictions


@torch.no_grad()
def logit_lens(model: Transformer, tokens: Tensor, *, count: int = 5, source: Tensor | None = None) -> list[LensRow]:
    """A row for the embedding and one for each block, over ids (batch, length).

    Raises BadInput for a model that gives classes or vectors.
    """
    check_says_tokens(model)
    start = "embedding_norm.output" if model.spec.embedding_norm else "embedding.output"
    names = [start, *(f"blocks.{layer}.residual" for layer in range(model.spec.layers))]
    if model.spec.norm_placement == "post":  # what such a block hands on is its last norm's output
        names[1:] = [f"blocks.{layer}.feedforward_norm.output" for layer in range(model.spec.layers)]
    streams = trace_tokens(model, tokens, names, source=source).values
    return [
        LensRow(name, judge(model.logits(model.final_norm(streams[name])), tokens, count, causal=model.spec.causal))
        for name in names
    ]
