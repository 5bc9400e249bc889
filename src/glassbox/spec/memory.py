"""What training a description takes in memory: plain arithmetic over its shapes, each term with a name.

Nothing is allocated. A training step holds most at one of three moments:

    the loss     all that the backward pass needs, and two tensors of the logits' size besides: the gradient by the
                 probabilities, and that by the logits
    a block      what is left of it for this block and those before, the gradients of the blocks behind it, and the
                 gradients by its hidden layer and its input: in the last block or in the first
    the update   all gradients, and what the optimiser computes with

Counted is what PyTorch's engine holds without dropout, operation by operation. On a processor its memory comes from the
C library, which keeps gaps between what was freed and what is asked for next: `process` is larger than `training` by
shares that `benchmarks/memory.py` measures. PyTorch itself takes some hundred megabytes besides, whatever the model.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from glassbox.errors import BadInput
from glassbox.spec.accounting import checked_length, count_parameters
from glassbox.spec.model import ModelSpec
from glassbox.spec.weights import part_of, weight_shapes

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

GAPS = 0.3  # of what a training step holds, that a process holds besides: measured by benchmarks/memory.py
GAPS_WITH_CHECKPOINTING = 0.45  # blocks that are freed and computed anew, one after another, leave more
BUFFERS = 12e6  # bytes that the libraries' kernels set aside, whatever the model
ORTHOGONALIZING = 14  # bytes for each number that Muon makes orthogonal at once: float32, bfloat16 thrice, float32


@dataclass(frozen=True)
class Memory:
    """Bytes.

    weights, gradients, optimizer: the model's, one gradient for each weight, and what the optimiser remembers.
    activations: what the backward pass needs of the forward pass.
    casts:       copies of the matrices in the format that they are multiplied in, when it isn't their own.
    working:     what else is held at the moment that takes most.
    training:    the most that is held at once. That is less than the sum of all: the backward pass frees activations
                 while it makes gradients.
    process:     the most that a process takes on a processor, above what it took before the model: with the gaps.
    cache_per_token, cache: of keys and values while generating.
    """

    weights: float
    gradients: float
    optimizer: float
    activations: float
    casts: float
    working: float
    training: float
    process: float
    cache_per_token: float
    cache: float


def count_memory(
    spec: ModelSpec,
    *,
    batch: int,
    context: int | None = None,
    optimizer: Optimizer = "adamw",
    weights_in: NumberFormat = "float32",
    activations_in: NumberFormat = "float32",
    gradient_checkpointing: bool = False,
    accumulates: bool = False,
) -> Memory:
    """Bytes for training on `batch` texts of `context` tokens, and for a cache of as many.

    An encoder-decoder reads as many tokens as it writes.

    Gradients have the weights' format; optimiser state is float32 in every engine. accumulates: the gradients of
    earlier batches are held meanwhile. Raises BadInput for a batch below 1.
    """
    if batch < 1:
        raise BadInput(f"The batch is {batch}.", "Give at least 1.")
    length = checked_length(spec, context)
    tokens = batch * length
    parameters = count_parameters(spec).total
    weights = gradients = parameters * BYTES[weights_in]
    state = _state_numbers(spec, optimizer) * BYTES["float32"]
    casts = _cast_numbers(spec) * BYTES[activations_in] if BYTES[activations_in] < BYTES[weights_in] else 0.0
    stacks = [spec.encoder, spec] if spec.kind == "encoder-decoder" else [spec]
    each = [(stack, layer) for stack in stacks for layer in range(stack.layers)]
    blocks = [tokens * _block_bytes(stack, layer, length, activations_in) for stack, layer in each]
    inside = tokens * (_widest_hidden(spec) + spec.width) * BYTES[activations_in]
    if gradient_checkpointing:  # the input of each block; one block at a time is computed again, with its casts
        recomputed, casts = max(blocks), casts / len(blocks)
        blocks = [tokens * spec.width * BYTES[activations_in]] * len(blocks)
        inside += recomputed
    logits = _logit_bytes(spec, batch, tokens, activations_in)
    outside = len(stacks) * tokens * _outer_bytes(spec, activations_in)
    outside += logits * (2 if spec.logit_softcap is not None else 1)
    activations = sum(blocks) + outside
    earlier = gradients if accumulates else 0.0
    most = casts + max(
        activations + 2 * logits + earlier,
        sum(blocks) + inside + max(earlier, gradients / len(blocks)),
        blocks[0] + inside + gradients,
        gradients + _update_bytes(spec, optimizer) - casts,
    )
    training = weights + state + most
    cache_per_token, cached = _cache(spec, length, activations_in)
    return Memory(
        weights=weights,
        gradients=gradients,
        optimizer=state,
        activations=activations,
        casts=casts,
        working=max(0.0, most - activations - casts),
        training=training,
        process=training * (1 + (GAPS_WITH_CHECKPOINTING if gradient_checkpointing else GAPS)) + BUFFERS,
        cache_per_token=cache_per_token,
        cache=cache_per_token * cached * batch,
    )


def _cache(spec: ModelSpec, length: int, number_format: NumberFormat) -> tuple[float, int]:
    """Bytes of keys and values of one token, and of how many tokens they are kept while a text is written."""
    if not spec.causal:
        return 0, 0
    kept = min(length, spec.window or length)
    if spec.kind == "encoder-decoder":  # of each block's cross-attention those of the source, as long as the text
        kept += length
    return 2 * spec.layers * spec.key_value_heads * spec.head_width * BYTES[number_format], kept


def _state_numbers(spec: ModelSpec, optimizer: Optimizer) -> int:
    """Numbers that the optimiser keeps: none, one moment, or two; Muon one for hidden matrices and two for the rest."""
    total = count_parameters(spec).total
    if optimizer == "muon":
        hidden = sum(math.prod(shape) for shape in _hidden_matrices(spec))
        return hidden + 2 * (total - hidden)
    return {"sgd": 0, "momentum": 1, "adam": 2, "adamw": 2}[optimizer] * total


def _update_bytes(spec: ModelSpec, optimizer: Optimizer) -> float:
    """What an update computes with: Adam and SGD work in place. Muon looks ahead for all hidden matrices, and then
    makes those of one shape orthogonal at once."""
    if optimizer != "muon":
        return 0.0
    by_shape: Counter[tuple[int, ...]] = Counter()
    for shape in _hidden_matrices(spec):
        by_shape[shape] += math.prod(shape)
    return by_shape.total() * BYTES["float32"] + max(by_shape.values()) * ORTHOGONALIZING


def _hidden_matrices(spec: ModelSpec) -> list[tuple[int, ...]]:
    """The shapes of the matrices inside the blocks."""
    return [
        shape
        for name, shape in weight_shapes(spec).items()
        if len(shape) >= 2 and part_of(name) in ("attention", "feedforward")
    ]


def _cast_numbers(spec: ModelSpec) -> float:
    """Numbers of the matrices that something is multiplied with: all but the tables, which are only looked up."""
    shapes = weight_shapes(spec)
    multiplied = sum(
        math.prod(shape)
        for name, shape in shapes.items()
        if len(shape) >= 2 and part_of(name) not in ("embedding", "positions")
    )
    return multiplied + (spec.vocabulary_size * spec.width if spec.tied_embeddings and spec.head == "language" else 0)


def _block_bytes(spec: ModelSpec, layer: int, length: int, activations_in: NumberFormat) -> float:
    """Bytes that one block keeps for the backward pass, per token, each thing once, whoever needs it.

    Attention keeps the joint queries, keys and values (unless all three were copied), a copy of the queries and keys
    if they were normalised or turned, and its result with one log-sum per head: the fused kernel computes the scores
    again. A norm keeps its input, and the product after it the norm's output.
    """
    parts = 3 if spec.kind == "encoder-decoder" else 2
    norms = parts * (2 if spec.norm_placement == "sandwich" else 1) if spec.norm != "none" else 0
    # All products' inputs, which are the norms' results, and the norms' inputs; a parallel block's parts share one.
    streams = (parts + norms - (1 if spec.parallel_residual else 0)) * spec.width * BYTES[activations_in]
    streams += norms * _norm_bytes(spec, spec.width, activations_in, has_copy=False)
    attention = _attention_bytes(spec, layer, length, activations_in)
    if spec.kind == "encoder-decoder":
        attention += _cross_attention_bytes(spec, activations_in)
    return attention + streams + _feedforward_bytes(spec, layer, activations_in)


def _attention_bytes(spec: ModelSpec, layer: int, length: int, activations_in: NumberFormat) -> float:
    """See `_block_bytes`. Relative positions are learned, and the fused kernel has no gradients for what is added to
    the scores: without it queries, keys and values are copied for each head, and the weights are kept, in float32."""
    queries, keys = spec.heads * spec.head_width, spec.key_value_heads * spec.head_width
    turned = spec.qk_norm or spec.positions == "rotary"
    if spec.positions == "relative":
        numbers = queries + (queries + 2 * keys if spec.qk_norm else 0)
        scores = (3 * queries + spec.heads * length) * max(BYTES["float32"], BYTES[activations_in])
    else:
        joint_is_read = spec.qk_norm or not (turned and spec.has_value_embedding(layer))
        numbers = queries + (queries + 2 * keys if joint_is_read else 0) + (queries + keys if turned else 0)
        scores = spec.heads * BYTES["float32"]
    if spec.has_value_embedding(layer):
        numbers += keys
    kept = numbers * BYTES[activations_in] + scores
    if spec.qk_norm:
        kept += _norm_bytes(spec, queries + keys, activations_in, has_copy=True)
    return kept


def _cross_attention_bytes(spec: ModelSpec, activations_in: NumberFormat) -> float:
    """Queries and result of each token that is written, keys and values of each that was read."""
    queries, keys = spec.heads * spec.head_width, spec.key_value_heads * spec.head_width
    numbers = 2 * queries + 2 * keys + (queries + keys if spec.qk_norm else 0)
    kept = numbers * BYTES[activations_in] + spec.heads * BYTES["float32"]
    if spec.qk_norm:
        kept += _norm_bytes(spec, queries + keys, activations_in, has_copy=True)
    return kept


def _feedforward_bytes(spec: ModelSpec, layer: int, activations_in: NumberFormat) -> float:
    """The hidden layer; of experts those of each visited one, with its tokens, its results and the router's choice."""
    experts = spec.experts
    if experts is None or not spec.has_experts(layer):
        return _hidden_tensors(spec) * spec.hidden_width * BYTES[activations_in]
    inside = _hidden_tensors(spec) * experts.hidden_width * (experts.active + experts.shared)
    visits = 2 * spec.width * experts.active + (spec.width if experts.shared_gate else 0)
    ranking = experts.count * (BYTES["float32"] + 8) + experts.active * (3 * BYTES["float32"] + 16)  # ids are int64
    return (inside + visits) * BYTES[activations_in] + ranking


def _norm_bytes(spec: ModelSpec, width: int, activations_in: NumberFormat, *, has_copy: bool) -> float:
    """What RMSNorm keeps besides its input and output: it computes in float32, so that of a narrower input it keeps
    a wide one in its place (has_copy: or besides, where something else needs the input too), and what the gain
    multiplies. LayerNorm and GroupNorm need neither.
    """
    if spec.norm != "rms" and not has_copy:
        return 0.0
    wide = max(BYTES["float32"], BYTES[activations_in])
    narrow = wide > BYTES[activations_in]
    copy = wide - (0 if has_copy else BYTES[activations_in]) if narrow else 0.0
    return width * (copy + (wide if spec.norm_gain else 0.0))


def _widest_hidden(spec: ModelSpec) -> int:
    """Numbers per token of the widest hidden layer: of all experts together that a token visits."""
    experts = spec.experts
    visited = 0 if experts is None else experts.hidden_width * (experts.active + experts.shared)
    return max(visited, spec.hidden_width if experts is None or experts.dense_layers else 0)


def _hidden_tensors(spec: ModelSpec) -> int:
    """How many tensors of the hidden width: before and after the activation, which ReLU's output tells both of;
    with a gate also what the activation made of it."""
    if spec.gated:
        return 4
    return 1 if spec.activation == "relu" else 2


def _outer_bytes(spec: ModelSpec, activations_in: NumberFormat) -> float:
    """Per token: what the norm of the embedding, the last norm and the output matrix keep, and a layer before it."""
    norms = (spec.final_norm + spec.embedding_norm) if spec.norm != "none" else 0
    transform = 3 if spec.output_transform and spec.head == "language" else 0  # before and after activation, normed
    tensors = (1 + norms + transform) * spec.width * BYTES[activations_in]
    return tensors + norms * _norm_bytes(spec, spec.width, activations_in, has_copy=False)


def _logit_bytes(spec: ModelSpec, batch: int, tokens: int, activations_in: NumberFormat) -> float:
    """The logits, or the logarithms of their probabilities, once: float32 at least, as the loss is."""
    if spec.head == "vectors":
        return 0.0
    predictions = batch * spec.classes if spec.head == "classes" else tokens * spec.vocabulary_size
    return predictions * max(BYTES["float32"], BYTES[activations_in])
