"""Does a head matter? Take away what it says, and measure what the loss loses.

Zero ablation writes zeros in the place of what a head mixed (Michel et al. 2019, "Are Sixteen Heads Really Better than
One?", §2.3). Mean ablation writes the mean over all tokens given (Wang et al. 2022, "Interpretability in the
Wild"): it takes away what the head says about these tokens in particular, and leaves what it always says.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import groupby
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from glassbox.engines.tensors import Transformer
from glassbox.errors import BadInput
from glassbox.insight.branches import grow
from glassbox.insight.interventions import Change
from glassbox.insight.trace import Recording
from glassbox.spec import ModelSpec

Head = tuple[int, int]
"""(layer, head), both from 0."""

Kind = Literal["zero", "mean"]

MOST_AT_ONCE = 2**22  # logits, or numbers within a feed-forward network, that one pass holds


def ablate_heads(model: Transformer, tokens: Tensor, heads: Collection[Head], kind: Kind = "zero") -> Tensor:
    """The loss of each next token with these heads silent, all at once: ids (batch, length) -> nats, (batch, length-1).

    No heads: the loss of the model as it is. Raises BadInput for a head that there isn't and for a model that doesn't
    predict next tokens.
    """
    return losses_without(model, tokens, [heads], kind)[0]


def ablation_effects(
    model: Transformer, tokens: Tensor, kind: Kind = "zero", *, positions: slice = slice(None)
) -> Tensor:
    """How much the mean loss grows in nats when one head alone is silent: (layers, heads).

    positions: of the predicted tokens, which of them are measured.
    """
    layers, heads = model.spec.layers, model.spec.heads
    alone = [[(layer, head)] for layer in range(layers) for head in range(heads)]
    losses = losses_without(model, tokens, [[], *alone], kind, positions=positions).mean((1, 2))
    return (losses[1:] - losses[0]).view(layers, heads)


@torch.no_grad()
def losses_without(
    model: Transformer,
    tokens: Tensor,
    silent: Sequence[Collection[Head]],
    kind: Kind = "zero",
    *,
    positions: slice = slice(None),
) -> Tensor:
    """The loss of each next token, once for every set of silent heads: nats, (sets, batch, positions).

    Every set is as many rows of a forward pass as there are texts, from the first block on in which a head is silent; a
    pass takes as many sets as memory allows.

    tokens:    ids, (batch, length).
    positions: of the length - 1 predicted tokens, which of them are measured.

    Raises BadInput as `ablate_heads` does.
    """
    spec = model.spec
    _check(spec, tokens, silent)
    names = {
        layer: f"blocks.{layer}.attention.mixed" for layer in sorted({layer for one in silent for layer, _ in one})
    }
    usual = Recording(names.values() if kind == "mean" else ())
    trunk = grow(model, tokens, usual)
    means = {name: mixed.mean((0, 2)) for name, mixed in usual.values.items()}  # (heads, head_width)
    measured = slice(*positions.indices(tokens.shape[1] - 1))
    targets = tokens[:, 1:][:, measured]  # (batch, positions)
    at_once = max(1, MOST_AT_ONCE // (tokens.numel() * max(spec.vocabulary_size, spec.hidden_width)))
    in_order = sorted(range(len(silent)), key=lambda number: _first_layer(silent[number], spec))
    found: list[Tensor] = []
    for first in range(0, len(silent), at_once):
        sets = [silent[number] for number in in_order[first : first + at_once]]
        leaving = {
            layer: trunk.streams[layer].repeat(len(list(alike)), 1, 1)  # (sets * batch, length, width)
            for layer, alike in groupby(sets, key=lambda heads: _first_layer(heads, spec))
        }
        changes = {name: _silence(sets, layer, len(tokens), means.get(name)) for layer, name in names.items()}
        logits = trunk.logits(leaving, changes, positions=measured)  # (sets * batch, positions, vocabulary)
        losses = F.cross_entropy(logits.flatten(0, 1), targets.repeat(len(sets), 1).flatten(), reduction="none")
        found.append(losses.view(len(sets), *targets.shape))
    return torch.cat(found)[torch.tensor(in_order).argsort()]


def _first_layer(heads: Collection[Head], spec: ModelSpec) -> int:
    """Before this block a pass without these heads is the one with all; without none, it is so to the end."""
    return min((layer for layer, _ in heads), default=spec.layers)


def _check(spec: ModelSpec, tokens: Tensor, silent: Sequence[Collection[Head]]) -> None:
    for layer, head in (one for heads in silent for one in heads):
        if not (0 <= layer < spec.layers and 0 <= head < spec.heads):
            raise BadInput(
                f"There is no head {head} in layer {layer}.",
                f"Layers are 0 to {spec.layers - 1}, heads 0 to {spec.heads - 1}.",
            )
    if not spec.causal or spec.kind != "decoder" or tokens.shape[1] < 2:
        raise BadInput(
            "Ablation is measured by the loss of next tokens, and there are none here.",
            "Give at least two tokens to a decoder.",
        )


def _silence(sets: Sequence[Collection[Head]], layer: int, batch: int, mean: Tensor | None) -> Change:
    """In the rows of each set, what its heads of this layer mixed becomes `mean`, (heads, head_width), or zero."""
    chosen = [(number, head) for number, heads in enumerate(sets) for at, head in heads if at == layer]
    numbers, heads = [number for number, _ in chosen], [head for _, head in chosen]

    def change(mixed: Tensor) -> None:
        by_set = mixed.unflatten(0, (-1, batch))  # (sets so far, batch, heads, length, head_width)
        by_set[numbers, :, heads] = mixed.new_zeros(()) if mean is None else mean[heads][:, None, None]

    return change
