"""Does a head matter? Take away what it says, and measure what the loss loses.

Zero ablation writes zeros in the place of what a head mixed (Michel et al. 2019, "Are Sixteen Heads Really Better than
One?", §2.3). Mean ablation writes the mean over all tokens given (Wang et al. 2022, "Interpretability in the
Wild"): it takes away what the head says about these tokens in particular, and leaves what it always says.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from glassbox.engines.tensors import Transformer
from glassbox.errors import BadInput
from glassbox.insight.interventions import Change, run_changed
from glassbox.insight.trace import trace_tokens

Head = tuple[int, int]
"""(layer, head), both from 0."""

Kind = Literal["zero", "mean"]


def ablate_heads(model: Transformer, tokens: Tensor, heads: Iterable[Head], kind: Kind = "zero") -> Tensor:
    """The loss of each next token with these heads silent, all at once: ids (batch, length) -> nats, (batch, length-1).

    No heads: the loss of the model as it is. Raises BadInput for a head that there isn't and for a model that doesn't
    predict next tokens.
    """
    by_layer: dict[int, list[int]] = {}
    for layer, head in heads:
        if not (0 <= layer < model.spec.layers and 0 <= head < model.spec.heads):
            raise BadInput(
                f"There is no head {head} in layer {layer}.",
                f"Layers are 0 to {model.spec.layers - 1}, heads 0 to {model.spec.heads - 1}.",
            )
        by_layer.setdefault(layer, []).append(head)
    if not model.spec.causal or model.spec.kind != "decoder" or tokens.shape[1] < 2:
        raise BadInput(
            "Ablation is measured by the loss of next tokens, and there are none here.",
            "Give at least two tokens to a decoder.",
        )
    names = {layer: f"blocks.{layer}.attention.mixed" for layer in by_layer}
    usual = trace_tokens(model, tokens, names.values()).values if kind == "mean" and names else {}
    changes: dict[str, Change] = {name: _silence(by_layer[layer], usual.get(name)) for layer, name in names.items()}
    logits = run_changed(model, tokens, changes)[:, :-1]  # (batch, length - 1, vocabulary)
    return F.cross_entropy(logits.transpose(1, 2), tokens[:, 1:], reduction="none")


def ablation_effects(
    model: Transformer, tokens: Tensor, kind: Kind = "zero", *, positions: slice = slice(None)
) -> Tensor:
    """How much the mean loss grows in nats when one head alone is silent: (layers, heads).

    positions: of the predicted tokens, which of them are measured.
    """
    usual = ablate_heads(model, tokens, ())[:, positions].mean()
    effects = torch.zeros(model.spec.layers, model.spec.heads)
    for layer in range(model.spec.layers):
        for head in range(model.spec.heads):
            effects[layer, head] = ablate_heads(model, tokens, [(layer, head)], kind)[:, positions].mean() - usual
    return effects


def _silence(heads: Collection[int], usual: Tensor | None) -> Change:
    """usual: what the heads mixed before, (batch, heads, length, head_width); None writes zeros."""
    chosen = list(heads)

    def change(mixed: Tensor) -> None:
        mixed[:, chosen] = 0.0 if usual is None else usual[:, chosen].mean((0, 2), keepdim=True)

    return change
