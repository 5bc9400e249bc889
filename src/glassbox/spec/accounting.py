"""What a description costs: parameters and FLOPs, as plain arithmetic over `weight_shapes` (`memory.py` counts bytes).

No engine is needed and nothing is allocated. Counts of parameters are exact; FLOPs count the multiplications and
additions of matrix products (a multiply-add is two) and leave out what is small beside them (norms, activations,
softmax).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from glassbox.errors import BadInput
from glassbox.spec.model import ModelSpec
from glassbox.spec.weights import PARTS, Part, part_of, weight_shapes


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


def count_parameters(spec: ModelSpec) -> Parameters:
    """Sum the table of weights."""
    by_part: dict[Part, int] = dict.fromkeys(PARTS, 0)
    looked_up = idle = 0
    for name, shape in weight_shapes(spec).items():
        size = math.prod(shape)
        by_part[part_of(name)] += size
        if part_of(name) in ("embedding", "positions"):
            looked_up += size
        if ".experts." in name and spec.experts:
            idle += size // spec.experts.count * (spec.experts.count - spec.experts.active)
    total = sum(by_part.values())
    return Parameters(total=total, without_embeddings=total - looked_up, active=total - idle, by_part=by_part)


def count_flops(spec: ModelSpec, context: int | None = None) -> Flops:
    """FLOPs per token when texts of `context` tokens are read (default: the description's context).

    Of an encoder-decoder those of one token read and one written, in texts of the same length.
    """
    length = checked_length(spec, context)
    by_part: dict[Part, float] = dict.fromkeys(PARTS, 0.0)
    for name, shape in weight_shapes(spec).items():
        if len(shape) < 2 or part_of(name) in ("embedding", "positions"):
            continue
        used = math.prod(shape)
        if ".experts." in name and spec.experts:
            used = used // spec.experts.count * spec.experts.active
        by_part[part_of(name)] += 2 * used
    if spec.tied_embeddings and spec.head == "language":
        by_part["output"] += 2 * spec.vocabulary_size * spec.width
    seen = attended_positions(length, spec.window, causal=spec.causal)
    product = 2 * spec.heads * spec.head_width  # one query against one key; the same again to mix one value
    by_part["attention"] += spec.layers * 2 * product * seen
    if spec.kind == "encoder-decoder":
        read = attended_positions(length, spec.window, causal=False)
        by_part["attention"] += spec.layers * 2 * product * length  # cross-attention sees the whole source
        by_part["attention"] += spec.encoder_layers * 2 * product * read
    forward = sum(by_part.values())
    return Flops(forward=forward, training=3 * forward, by_part=by_part)


def attended_positions(length: int, window: int | None, *, causal: bool) -> float:
    """How many positions a query sees, averaged over a text of `length` tokens."""
    reach = min(length, window or length)
    if causal:  # the first `reach` queries see 1, 2, ..., reach positions; the others see reach
        return (reach * (reach + 1) / 2 + (length - reach) * reach) / length
    hidden = length - reach  # |i - j| >= reach cuts two triangles with sides of this many pairs off the square
    return (length * length - hidden * (hidden + 1)) / length


def checked_length(spec: ModelSpec, context: int | None) -> int:
    """The tokens of a text, by default the description's context. Raises BadInput for more than the model reads."""
    if context is None:
        return spec.context
    if not 1 <= context <= spec.context:
        raise BadInput(
            f"A text of {context} tokens was asked for, and the model reads 1 to {spec.context}.",
            "Give a length in that range or describe a model with a longer context.",
        )
    return context
