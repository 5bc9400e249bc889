"""Direct logit attribution: which part of the model said how much of a logit.

The stream that the output matrix reads is a sum: the embedding, each head's share, each feed-forward network's. With
the final norm's scale taken as it is, the logit of a token is a sum of the same parts, exactly (Elhage et al. 2021, "A
Mathematical Framework for Transformer Circuits"; Wang et al. 2022). What a part does through
later parts isn't in it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from glassbox.engines.tensors import Transformer
from glassbox.errors import BadInput
from glassbox.insight.trace import trace_tokens
from glassbox.spec import ModelSpec

Linear = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Attribution:
    """names: of the parts. shares: what each adds to the logit of each place's token, (parts, batch, length).
    logits: their sum, which is the logit before any soft cap, (batch, length)."""

    names: list[str]
    shares: Tensor
    logits: Tensor


@torch.no_grad()
def attribute_logits(model: Transformer, tokens: Tensor, answers: Tensor, against: Tensor | None = None) -> Attribution:
    """The parts of one logit at each place, or of the difference of two.

    tokens: ids, (batch, length). answers: the id whose logit is taken at each place, (batch, length).
    against: ids whose logits are subtracted, (batch, length); a difference leaves out what favours all tokens alike.

    Parts are the embedding, `blocks.0.attention.head 1`, each feed-forward network and, where there are any, biases.
    Raises BadInput for a model whose stream is no sum (norms after the addition), which has a second stack, one more
    layer before its output, or no words.
    """
    spec = model.spec
    is_sum = spec.norm_placement != "post" and spec.kind != "encoder-decoder" and not spec.output_transform
    if not is_sum or spec.head != "language":
        raise BadInput(
            "The logits of this model aren't a sum over its parts.",
            "Choose a decoder or encoder with norms before its parts (norm_placement pre or sandwich).",
        )
    start = "embedding_norm.output" if spec.embedding_norm else "embedding.output"
    names = [start, "blocks.*.attention.mixed", "blocks.*.attention.output", "blocks.*.feedforward.output"]
    values = trace_tokens(model, tokens, [*names, f"blocks.{spec.layers - 1}.residual"]).values
    weights = model.weights()
    parts: dict[str, Tensor] = {"embedding": values[start]}
    for layer in range(spec.layers):
        block = f"blocks.{layer}"
        after = _frozen(spec, weights, f"{block}.attention_output_norm", values[f"{block}.attention.output"])
        for name, share in _head_outputs(spec, weights, block, values[f"{block}.attention.mixed"]):
            _add_part(parts, name, share, after)
        output = values[f"{block}.feedforward.output"]
        after = _frozen(spec, weights, f"{block}.feedforward_output_norm", output)
        _add_part(parts, f"{block}.feedforward", output, after)
        for part in ("attention", "feedforward"):  # what a sandwiched norm adds whatever comes in
            bias = weights.get(f"{block}.{part}_output_norm.bias")
            if bias is not None:
                parts[f"{block}.{part}_output_norm.bias"] = bias.expand_as(output)
    final = _frozen(spec, weights, "final_norm", values[f"blocks.{spec.layers - 1}.residual"])
    directions = _directions(model, weights, answers)
    offset = _offsets(spec, weights, answers, directions)
    if against is not None:
        others = _directions(model, weights, against)
        offset = offset - _offsets(spec, weights, against, others)
        directions = directions - others
    shares = {name: (final(part) * directions).sum(-1) for name, part in parts.items()}
    if offset.any():
        shares["output biases"] = offset
    stacked = torch.stack(list(shares.values()))  # (parts, batch, length)
    return Attribution(list(shares), stacked, stacked.sum(0))


def _head_outputs(spec: ModelSpec, weights: dict[str, Tensor], block: str, mixed: Tensor) -> list[tuple[str, Tensor]]:
    """What each head writes into the stream, (batch, length, width), and the bias that all write together."""
    matrix = weights[f"{block}.attention.output"].unflatten(1, (spec.heads, spec.head_width))
    outputs = torch.einsum("bhld,whd->hblw", mixed, matrix)  # (heads, batch, length, width)
    named = [(f"{block}.attention.head {head}", output) for head, output in enumerate(outputs)]
    bias = weights.get(f"{block}.attention.output_bias")
    return named if bias is None else [*named, (f"{block}.attention.output_bias", bias.expand_as(outputs[0]))]


def _add_part(parts: dict[str, Tensor], name: str, output: Tensor, after: Linear) -> None:
    parts[name] = after(output)


def _frozen(spec: ModelSpec, weights: dict[str, Tensor], name: str, x: Tensor) -> Linear:
    """The norm of that name without its bias, as the linear map that it is with its scale fixed at that of x.

    The identity where there is no such norm.
    """
    sandwiched = name.endswith("_output_norm") and spec.norm_placement == "sandwich"
    if spec.norm == "none" or not (sandwiched or (name == "final_norm" and spec.final_norm)):
        return lambda part: part
    groups = spec.norm_groups if spec.norm == "group" else 1

    def centred(part: Tensor) -> Tensor:
        """(batch, length, width) -> (batch, length, groups, width / groups)"""
        apart = part.unflatten(-1, (groups, -1))
        return apart if spec.norm == "rms" else apart - apart.mean(-1, keepdim=True)

    scale = (centred(x).square().mean(-1, keepdim=True) + spec.norm_epsilon).rsqrt()
    gain = weights.get(f"{name}.gain")

    def apply(part: Tensor) -> Tensor:
        y = (centred(part) * scale).flatten(-2)
        return y if gain is None else y * gain

    return apply


def _directions(model: Transformer, weights: dict[str, Tensor], ids: Tensor) -> Tensor:
    """The row of the output matrix that each id's logit is read with, (batch, length, width)."""
    matrix = weights["embedding.tokens" if model.spec.tied_embeddings else "output.weight"]
    return matrix[ids] * model.spec.logit_scale


def _offsets(spec: ModelSpec, weights: dict[str, Tensor], ids: Tensor, directions: Tensor) -> Tensor:
    """What the final norm's bias and the output's bias add to each id's logit, (batch, length)."""
    offset = torch.zeros_like(directions[..., 0])
    if spec.norm != "none" and "final_norm.bias" in weights:
        offset = offset + directions @ weights["final_norm.bias"]
    return offset + weights["output.bias"][ids] if "output.bias" in weights else offset
