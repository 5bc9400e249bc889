"""What a description costs: parameters, FLOPs and memory, as plain arithmetic over `weight_shapes`.

No engine is needed and nothing is allocated. Counts of parameters are exact; FLOPs count the multiplications and
additions of matrix products (a multiply-add is two) and leave out what is small beside them (norms, activations,
softmax); memory is exact for weights, gradients, optimiser state and cache, and an estimate for activations.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from glassbox.errors import BadInput
from glassbox.spec.model import ModelSpec
from glassbox.spec.weights import PARTS, Part, part_of, weight_shapes

Optimizer = Literal["sgd", "momentum", "adam", "adamw", "muon"]
NumberFormat = Literal["float64", "float32", "bfloat16", "float16", "int8", "int4"]

BYTES: Mapping[NumberFormat, float] = {
    "float64": 8,
    "float32": 4,
    "bfloat16": 2,
    "float16": 2,
    "int8": 1,
    "int4": 0.5,
}


@dataclass(frozen=True)
class Parameters:
    """Exact numbers of trainable parameters.

    without_embeddings leaves out the token, position and value tables that are only looked up, as is usual; an untied
    output matrix counts. active is what one token passes through: all but the experts that it doesn't visit.
    """

    total: int
    without_embeddings: int
    active: int
    by_part: dict[Part, int]


@dataclass(frozen=True)
class Flops:
    """Floating-point operations per token, averaged over a full context.

    forward is matrix products with weights plus attention's products over the positions that the mask lets through
    (half of the context on average when causal). training is three times forward: the backward pass computes two
    products for each one of the forward pass (Kaplan et al. 2020, §2.1).
    """

    forward: float
    training: float
    by_part: dict[Part, float]


@dataclass(frozen=True)
class Memory:
    """Bytes that training takes, and bytes of the cache of keys and values while generating."""

    weights: float
    gradients: float
    optimizer: float
    activations: float
    training: float
    cache_per_token: float
    cache: float


def count_parameters(spec: ModelSpec) -> Parameters:
    """Sum the table of weights."""
    by_part: dict[Part, int] = dict.fromkeys(PARTS, 0)
    looked_up = idle = 0
    for name, shape in weight_shapes(spec).items():
        size = math.prod(shape)
        by_part[part_of(name)] += size
        if "embedding" in name and part_of(name) in ("embedding", "positions"):
            looked_up += size
        if ".experts." in name and spec.experts:
            idle += size // spec.experts.count * (spec.experts.count - spec.experts.active)
    total = sum(by_part.values())
    return Parameters(total=total, without_embeddings=total - looked_up, active=total - idle, by_part=by_part)


def count_flops(spec: ModelSpec, context: int | None = None) -> Flops:
    """FLOPs per token when texts of `context` tokens are read (default: the description's context)."""
    length = _checked_length(spec, context)
    by_part: dict[Part, float] = dict.fromkeys(PARTS, 0.0)
    for name, shape in weight_shapes(spec).items():
        if len(shape) < 2 or part_of(name) in ("embedding", "positions"):
            continue
        used = math.prod(shape)
        if ".experts." in name and spec.experts:
            used = used // spec.experts.count * spec.experts.active
        by_part[part_of(name)] += 2 * used
    if spec.tied_embeddings:
        by_part["output"] += 2 * spec.vocabulary_size * spec.width
    seen = attended_positions(length, spec.window, causal=spec.causal)
    product = 2 * spec.heads * spec.head_width  # one query against one key; the same again to mix one value
    by_part["attention"] += spec.layers * 2 * product * seen
    if spec.kind == "encoder-decoder":
        by_part["attention"] += spec.layers * 2 * product * length  # cross-attention sees the whole source
        by_part["attention"] += spec.encoder_layers * 2 * product * length
    forward = sum(by_part.values())
    return Flops(forward=forward, training=3 * forward, by_part=by_part)


def attended_positions(length: int, window: int | None, *, causal: bool) -> float:
    """How many positions a query sees, averaged over a text of `length` tokens."""
    reach = min(length, window or length)
    if causal:  # the first `reach` queries see 1, 2, ..., reach positions; the others see reach
        return (reach * (reach + 1) / 2 + (length - reach) * reach) / length
    hidden = length - reach  # |i - j| >= reach cuts two triangles with sides of this many pairs off the square
    return (length * length - hidden * (hidden + 1)) / length


def count_memory(
    spec: ModelSpec,
    *,
    batch: int,
    context: int | None = None,
    optimizer: Optimizer = "adamw",
    weights_in: NumberFormat = "float32",
    activations_in: NumberFormat = "float32",
    gradient_checkpointing: bool = False,
) -> Memory:
    """Bytes for training on `batch` texts of `context` tokens, and for a cache of as many.

    Gradients have the weights' format; optimiser state is float32 in every engine. Raises BadInput for a batch below 1.
    """
    if batch < 1:
        raise BadInput(f"The batch is {batch}.", "Give at least 1.")
    length = _checked_length(spec, context)
    parameters = count_parameters(spec).total
    weights = parameters * BYTES[weights_in]
    state = _state_numbers(spec, optimizer) * BYTES["float32"]
    activations = (
        batch * length * _activation_numbers(spec, checkpointing=gradient_checkpointing) * BYTES[activations_in]
    )
    per_token = 2 * spec.layers * spec.key_value_heads * spec.head_width * BYTES[activations_in]
    kept = min(length, spec.window or length)
    return Memory(
        weights=weights,
        gradients=weights,
        optimizer=state,
        activations=activations,
        training=2 * weights + state + activations,
        cache_per_token=per_token if spec.causal else 0,
        cache=per_token * kept * batch if spec.causal else 0,
    )


def _state_numbers(spec: ModelSpec, optimizer: Optimizer) -> int:
    """Numbers that the optimiser keeps: none, one moment, or two; Muon one for hidden matrices and two for the rest."""
    total = count_parameters(spec).total
    if optimizer == "muon":
        shapes = weight_shapes(spec)
        hidden = sum(
            math.prod(shape)
            for name, shape in shapes.items()
            if len(shape) >= 2 and part_of(name) in ("attention", "feedforward")
        )
        return hidden + 2 * (total - hidden)
    return {"sgd": 0, "momentum": 1, "adam": 2, "adamw": 2}[optimizer] * total


def _activation_numbers(spec: ModelSpec, *, checkpointing: bool) -> float:
    """Numbers kept for the backward pass, per token (after Korthikanti et al. 2022, §4, without a score matrix: fused
    attention recomputes it).

    Each block keeps its two inputs and their normalised forms, queries, keys and values, attention's result and one
    log-sum per head, and the hidden layer before and after its activation. The logits are kept as they are and as
    probabilities. With checkpointing each block keeps its input only, and one block at a time is whole.
    """
    queries, keys = spec.heads * spec.head_width, spec.key_value_heads * spec.head_width
    attention = 2 * spec.width + 2 * queries + 2 * keys + spec.heads
    outputs = 2 * (spec.classes or spec.vocabulary_size) + 2 * spec.width

    def block(layer: int) -> float:
        if spec.has_experts(layer) and spec.experts:
            hidden = spec.experts.hidden_width * (spec.experts.active + spec.experts.shared)
        else:
            hidden = spec.hidden_width
        return attention + 2 * spec.width + (3 if spec.gated else 2) * hidden

    blocks = [block(layer) for layer in range(spec.layers)] + [block(0)] * spec.encoder_layers
    cross = spec.layers * attention if spec.kind == "encoder-decoder" else 0
    if checkpointing:
        return len(blocks) * spec.width + max(blocks) + (attention if cross else 0) + outputs
    return sum(blocks) + cross + outputs


def _checked_length(spec: ModelSpec, context: int | None) -> int:
    if context is None:
        return spec.context
    if not 1 <= context <= spec.context:
        raise BadInput(
            f"A text of {context} tokens was asked for, and the model reads 1 to {spec.context}.",
            "Give a length in that range or describe a model with a longer context.",
        )
    return context
