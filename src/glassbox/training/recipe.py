"""The default choices: a model and its training, from how much text there is and how much time.

A pure function of its arguments, so that a prediction and a run agree, and a test can walk through it. Each choice is a
field of the spec or of the settings; where it comes from and what it was measured to gain stands in docs/recipe.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from glassbox.errors import BadInput
from glassbox.spec import ModelSpec, count_flops, count_parameters

ARCHITECTURE: dict[str, object] = {
    "positions": "rotary",  # Su et al. 2021
    "norm": "rms",  # Zhang & Sennrich 2019
    "norm_gain": False,  # speed-run, 2024: the next matrix can learn it
    "qk_norm": True,  # Henry et al. 2020
    "activation": "relu_squared",  # So et al. 2021, Primer
    "initialization": "zero",  # speed-run, 2024: every block begins as the identity
    "initial_std": 0.05,
}

HEAD_WIDTH = 64
LADDER = ((64, 2), (128, 4), (192, 4), (256, 6), (384, 6), (512, 8), (640, 10), (768, 12))  # width, layers
TOKENS_PER_WEIGHT = 0.5  # that training must see, or a smaller model learns more in the same time
STEPS = 1200  # that a run should have at least, as long as a batch is still worth starting a product for
SMALLEST_BATCH, LARGEST_BATCH = 512, 131_072  # tokens


@dataclass(frozen=True)
class Recipe:
    """What `pretrain` takes when nothing is said. tokens: how many training is expected to see in its time."""

    spec: ModelSpec
    batch_size: int
    tokens: float
    optimizer: str = "muon"
    learning_rate: float = 0.02
    schedule: str = "wsd"
    warmup: float = 0.02
    decay: float = 0.7
    weight_decay: float = 0.0
    clip: float = 1.0
    dropout: float = 0.0


def recommend(corpus_tokens: int, vocabulary_size: int, seconds: float, flops_per_second: float) -> Recipe:
    """The recipe for this much text and time.

    corpus_tokens:    of the training split. vocabulary_size: ids of the tokenizer.
    seconds:          of training. flops_per_second: what training sustains on this device, about half of what large
                      matrices reach (`throughput.matmul_peak`).

    Raises BadInput for numbers that leave nothing to train on.
    """
    if corpus_tokens < 2 or vocabulary_size < 2 or not seconds > 0 or not flops_per_second > 0:
        raise BadInput(
            f"No recipe can be made for {corpus_tokens:,} tokens of {vocabulary_size:,} ids in {seconds:g} seconds at "
            f"{flops_per_second:g} operations a second.",
            "Give a corpus of at least two tokens, and a time above 0.",
        )
    context = _context(corpus_tokens, vocabulary_size)
    for width, layers in reversed(LADDER):
        spec = _spec(vocabulary_size, context, width, layers)
        tokens = seconds * flops_per_second / count_flops(spec).training
        if tokens >= TOKENS_PER_WEIGHT * count_parameters(spec).total or width == LADDER[0][0]:
            return Recipe(spec, _batch_size(tokens, context), tokens)
    raise AssertionError("the ladder has a first rung")


def _spec(vocabulary_size: int, context: int, width: int, layers: int) -> ModelSpec:
    sizes = {"context": context, "width": width, "layers": layers, "heads": max(1, width // HEAD_WIDTH)}
    return ModelSpec.checked({"vocabulary_size": vocabulary_size, **sizes, **ARCHITECTURE})


def _context(corpus_tokens: int, vocabulary_size: int) -> int:
    """256 tokens, about a screen of text with byte pairs; half with characters; at most a tenth of the corpus."""
    wanted = 256 if vocabulary_size >= 1024 else 128
    return max(1, min(wanted, corpus_tokens // 10))


def _batch_size(tokens: float, context: int) -> int:
    """Windows of a step: many small steps teach more than few large ones, down to where a step is mostly overhead."""
    batch = min(max(tokens / STEPS, SMALLEST_BATCH), LARGEST_BATCH)
    return max(1, 2 ** round(math.log2(batch / context)))
