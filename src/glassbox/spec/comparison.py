"""What several descriptions cost, each counted under the same conditions, so that they can lie side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from glassbox.spec.accounting import Flops, Parameters, count_flops, count_parameters
from glassbox.spec.memory import Memory, NumberFormat, Optimizer, count_memory
from glassbox.spec.model import ModelSpec

TOKENS_PER_PARAMETER = 20
"""Hoffmann et al. (2022, "Training Compute-Optimal Large Language Models"): about as many tokens for each parameter
make the best of a given number of FLOPs."""


@dataclass(frozen=True)
class Counted:
    """One description's costs. training_tokens, training_flops: of the whole training."""

    parameters: Parameters
    flops: Flops
    memory: Memory
    training_tokens: float
    training_flops: float


def compare(
    specs: Mapping[str, ModelSpec],
    *,
    batch: int = 1,
    context: int | None = None,
    optimizer: Optimizer = "adamw",
    weights_in: NumberFormat = "float32",
    activations_in: NumberFormat = "float32",
    training_tokens: float | None = None,
) -> dict[str, Counted]:
    """By name. context: of each text; by default what each model reads at most.

    training_tokens: by default `TOKENS_PER_PARAMETER` for each parameter that a token passes through.
    Raises BadInput for a batch below 1 and for a context that one of the models hasn't.
    """
    counted: dict[str, Counted] = {}
    for name, spec in specs.items():
        parameters, flops = count_parameters(spec), count_flops(spec, context)
        memory = count_memory(
            spec,
            batch=batch,
            context=context,
            optimizer=optimizer,
            weights_in=weights_in,
            activations_in=activations_in,
        )
        tokens = TOKENS_PER_PARAMETER * float(parameters.active) if training_tokens is None else training_tokens
        counted[name] = Counted(parameters, flops, memory, tokens, flops.training * tokens)
    return counted


def differences(specs: Mapping[str, ModelSpec]) -> dict[str, dict[str, object]]:
    """The fields in which the descriptions aren't all alike: field -> name -> value."""
    fields = {name: spec.model_dump() for name, spec in specs.items()}
    return {
        field: {name: held[field] for name, held in fields.items()}
        for field in ModelSpec.model_fields
        if any(held[field] != next(iter(fields.values()))[field] for held in fields.values())
    }
