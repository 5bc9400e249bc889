"""How long a training will take on this device, predicted from a few steps measured now.

A small model is measured itself. Of a large one a slice is: fewer layers, a narrower stream, a smaller vocabulary, a
shorter context, of the same kind otherwise. What carries over is the FLOP/s that training reaches. Of models with 10 to
90 million parameters a slice predicted 0.8 to 0.95 of the time that a step took (`benchmarks/insight.py --pace`).
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import torch

from glassbox.engines.tensors import Transformer
from glassbox.engines.tensors.optimizer import AdamW
from glassbox.errors import BadInput
from glassbox.spec import ModelSpec, count_flops, count_parameters

MEASURING = 1.0  # seconds, after one step to warm up
FEWEST_STEPS = 2
LARGEST_STEP = 4e10  # FLOPs: a fraction of a second on a slow processor
LARGEST_MODEL = 40e6  # parameters
WIDTH, LAYERS, VOCABULARY, CONTEXT, EXPERTS = 512, 2, 4_096, 256, 4  # of a slice, at most
TOKENS = 512  # of one step of a slice


@dataclass(frozen=True)
class Pace:
    """flops: training FLOP/s on this device. measured: what was trained; of_slice: that wasn't the model itself."""

    flops: float
    measured: ModelSpec
    of_slice: bool = False

    def seconds(self, training_flops: float) -> float:
        """Of a training of so many FLOPs."""
        return training_flops / self.flops


def measure_pace(spec: ModelSpec, *, batch: int = 1, context: int | None = None) -> Pace:
    """Train for a moment and see. Takes about two seconds.

    Raises BadInput for a description whose training isn't on tokens alone.
    """
    if spec.kind == "encoder-decoder" or spec.head != "language":
        raise BadInput(
            "The pace of training is measured on tokens and those after them, which this model doesn't learn from.",
            "Choose a decoder, or an encoder with head = language.",
        )
    length = context or spec.context
    is_small = count_parameters(spec).total <= LARGEST_MODEL
    if is_small and count_flops(spec, length).training * batch * length <= LARGEST_STEP:
        return measure(spec, batch=batch, length=length)
    part = slice_of(spec)
    length = min(length, part.context)
    return replace(measure(part, batch=max(1, TOKENS // length), length=length), of_slice=True)


def measure(spec: ModelSpec, *, batch: int, length: int) -> Pace:
    """Train this very model on random tokens for `MEASURING` seconds after one step: the pace of the middle step."""
    model = Transformer(spec, 0)
    optimizer = AdamW(model)
    tokens = torch.randint(spec.vocabulary_size, (batch, length), generator=torch.Generator().manual_seed(0))
    model.train_step(tokens, tokens, optimizer)
    start, times = time.perf_counter(), list[float]()
    while len(times) < FEWEST_STEPS or time.perf_counter() - start < MEASURING:
        began = time.perf_counter()
        model.train_step(tokens, tokens, optimizer)
        times.append(time.perf_counter() - began)
    step = sorted(times)[len(times) // 2]
    return Pace(count_flops(spec, length).training * batch * length / step, spec)


def slice_of(spec: ModelSpec) -> ModelSpec:
    """A small model of the same kind: heads as wide, all else in proportion, no larger than the bounds above."""
    heads = max(1, min(spec.heads, WIDTH // spec.head_width))
    shared = max(1, spec.heads // spec.key_value_heads)  # queries that share one key
    key_value_heads = max(1, heads // shared)
    heads = key_value_heads * min(heads, shared)
    width = min(spec.width, heads * spec.head_width)
    groups = spec.norm_groups if width % spec.norm_groups == 0 else 1
    shrunk = width / spec.width
    context = min(spec.context, CONTEXT)
    experts = spec.experts
    if experts is not None:
        experts = experts.model_copy(
            update={
                "count": min(experts.count, max(EXPERTS, experts.active)),
                "hidden_width": max(1, round(experts.hidden_width * shrunk)),
                "dense_layers": min(experts.dense_layers, 1),
            }
        )
    return ModelSpec.checked(
        spec.model_dump(exclude={"experts"})
        | {
            "width": width,
            "heads": heads,
            "key_value_heads": key_value_heads,
            "hidden_width": max(1, round(spec.hidden_width * shrunk)),
            "layers": min(spec.layers, LAYERS),
            "vocabulary_size": min(spec.vocabulary_size, VOCABULARY),
            "context": context,
            "window": None if spec.window is None else min(spec.window, context),
            "norm_groups": groups,
            "experts": None if experts is None else experts.model_dump(),
        }
    )
