"""One step of decoding: `Transformer.forward` for one new token of every sequence, stripped to what changes.

Small models spend a step not on arithmetic but on starting operations: about 1 us each in PyTorch, 3 for a matrix
product, and as much again for a module to look up its parameters, reshape and check. So this file says the forward
pass of the other files a second time, with everything prepared that is the same in each step; the tests hold the two
equal for any spec. What is won, and what is left, is measured by `benchmarks/generation.py`.

Two ways of multiplying by a matrix, whichever is faster for its size:
- small products of a small model: the transposed matrix lies ready, and `addmm` starts with the least delay;
- otherwise oneDNN, with weights reordered once for its kernels (as PyTorch's compiler does for inference): two to
  three times as fast where weights come from memory (one sequence, large model) or where there are many sequences.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from glassbox.engines.tensors.attention import Attention
from glassbox.engines.tensors.block import Block
from glassbox.engines.tensors.cache import Cache
from glassbox.engines.tensors.cross_attention import CrossAttention
from glassbox.engines.tensors.experts import MixtureOfExperts
from glassbox.engines.tensors.feedforward import FeedForward, GatedFeedForward, gelu_tanh
from glassbox.engines.tensors.normalization import Norm
from glassbox.engines.tensors.positions import alibi_slopes
from glassbox.engines.tensors.source import Source
from glassbox.engines.tensors.transformer import Transformer
from glassbox.spec import count_parameters

SMALL_MODEL = 2_000_000  # weights that stay in a core's own cache
FEW_SEQUENCES = 4
SMALL_PRODUCT = 800_000  # multiply-adds: below, oneDNN's 11 us of preparing cost more than its kernel gains
FUSED_ACTIVATIONS = {F.gelu: "none", gelu_tanh: "tanh"}  # those that are cheaper on the way out of a product, and how

Function = Callable[[Tensor], Tensor]


@dataclass(slots=True)
class _Now:
    """What the blocks share in one step; T is the number of slots that the new token sees.

    keys, values, slots: of each layer: (batch * key_value_heads, head_width, T), (batch * key_value_heads, T,
                         head_width), and where to write, (2, batch, key_value_heads, head_width).
    rotary:              cosines and signed sines, (1 or batch, 1, rotated_width) each.
    bias:                added to the scores: (batch * key_value_heads, 1 or heads in a group, T), or None.
    source:              what an encoder-decoder has read before.
    """

    tokens: Tensor
    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]
    slots: tuple[Tensor, ...]
    rotary: tuple[Tensor, Tensor] | None
    bias: Tensor | None
    source: Source | None


_Part = Callable[[Tensor, _Now, int], Tensor]  # of the stream, what the step shares, and the layer


class Copies:
    """The matrices of one model as the kernels read them: each copied once, for steps of any batch size."""

    def __init__(self) -> None:
        self._made: dict[tuple[int, Function], Tensor] = {}

    def of(self, number: int, weight: Tensor, make: Function) -> Tensor:
        """`make(weight)`, from the first time on that the matrix of this number was asked for.

        It is known by its number because a quantised weight is another tensor each time.
        """
        if (number, make) not in self._made:
            self._made[number, make] = make(weight.detach())
        return self._made[number, make]


class Step:
    """A model prepared to read one token of each of `batch` sequences at a time.

    It holds a copy of the weights, which steps of other batch sizes may share: when they change, make another.
    """

    def __init__(self, model: Transformer, batch: int, copies: Copies | None = None) -> None:
        self.model = model
        self.spec = model.spec
        self.batch = batch
        held = Copies() if copies is None else copies
        self._embedding = held.of(0, model.embedding.tokens, Tensor.detach)
        self._positions = None if model.embedding.positions is None else model.embedding.positions.detach()
        small = count_parameters(model.spec).total <= SMALL_MODEL
        can_reorder = _can_reorder(self._embedding)
        numbers = itertools.count(1)  # every step of a model asks for its matrices in the same order

        def linear(weight: Tensor, *rest: Any) -> Function:
            lean = small and (batch < FEW_SEQUENCES or batch * weight.numel() <= SMALL_PRODUCT)
            if lean or not can_reorder:
                return _transposed_linear(held.of(next(numbers), weight, _transposed), *rest)
            return _reordered_linear(held.of(next(numbers), weight, _reordered), *rest)

        with torch.inference_mode():
            self._embedding_norm = _norm(model.embedding_norm, self._embedding)
            self._blocks = [_block(block, batch, linear) for block in model.blocks]  # pyright: ignore[reportArgumentType]  (ModuleList)
            self._final_norm = _norm(model.final_norm, self._embedding)
            output = self._embedding if model.output.weight is None else model.output.weight
            self._output = linear(output, model.output.bias)
        self._slopes = self._negative_slopes() if self.spec.positions == "alibi" else None
        self._bias_of: Tensor | None = None  # the padding that `_fixed_bias` was made for
        self._fixed_bias: Tensor | None = None

    def __call__(self, tokens: Tensor, cache: Cache) -> Tensor:
        """Read one token of every sequence, (batch,), into the cache: the logits of the next, (batch, vocabulary).

        To be called in inference mode; the caller sees to it that the cache has room.
        """
        spec = self.spec
        positions = cache.length if cache.padding is None else cache.length - cache.padding
        x = self._embedding.index_select(0, tokens)  # (batch, width), as everything until the logits
        if spec.embedding_scale != 1:
            x = x * spec.embedding_scale
        if spec.positions in ("learned", "sinusoidal"):
            x = x + self._position_vectors(positions, cache)
        if self._embedding_norm is not None:
            x = self._embedding_norm(x)
        now = self._look(tokens, positions, cache)
        for layer, block in enumerate(self._blocks):
            x = block(x, now, layer)
        cache.length += 1
        x = x if self._final_norm is None else self._final_norm(x)
        logits = self._output(x if spec.logit_scale == 1 else x * spec.logit_scale)
        return logits if spec.logit_softcap is None else spec.logit_softcap * torch.tanh(logits / spec.logit_softcap)

    def _negative_slopes(self) -> Tensor:
        """(batch * key_value_heads, heads in a group, 1)"""
        slopes = -alibi_slopes(self.spec.heads).to(self._embedding.device, self._embedding.dtype)
        return slopes.view(self.spec.key_value_heads, -1, 1).repeat(self.batch, 1, 1)

    def _position_vectors(self, positions: int | Tensor, cache: Cache) -> Tensor:
        """(width,) where all stand at the same position, else (batch, width)."""
        table = self._positions
        if table is None:
            table = self.model.tables.sinusoidal(0, cache.length + 1, self._embedding.dtype, self._embedding.device)
        return table[positions] if isinstance(positions, int) else table.index_select(0, positions)

    def _look(self, tokens: Tensor, positions: int | Tensor, cache: Cache) -> _Now:
        """Views of what the new token sees, of all layers at once: a view costs as much as an addition."""
        end = cache.length + 1
        first = 0 if self.spec.window is None else max(0, end - self.spec.window)
        seen = cache.store.flatten(2, 3)[:, :, :, first:end]  # (layers, 2, batch * key_value_heads, T, head_width)
        keys, values = seen.unbind(1)
        rotary = None
        if self.spec.positions == "rotary":
            cosines, sines = self.model.tables.rotary(0, end, cache.store.dtype, cache.store.device)
            rows = slice(positions, end) if isinstance(positions, int) else positions
            rotary = (cosines[rows], sines[rows])
        return _Now(
            tokens=tokens,
            keys=keys.transpose(2, 3).unbind(0),
            values=values.unbind(0),
            slots=cache.store[:, :, :, :, cache.length].unbind(0),
            rotary=rotary,
            bias=self._bias(first, end, cache),
            source=cache.source,
        )

    def _bias(self, first: int, end: int, cache: Cache) -> Tensor | None:
        """ALiBi's penalty or relative positions' scores for slots first to end, and -inf on padding."""
        spec, store = self.spec, cache.store
        bias = None
        if cache.padding is not None:
            if self._bias_of is not cache.padding:
                hidden = torch.arange(cache.capacity, device=store.device) < cache.padding[:, None]  # (batch, capacity)
                fixed = torch.zeros(hidden.shape, dtype=store.dtype, device=store.device).masked_fill_(
                    hidden, -math.inf
                )
                self._fixed_bias = fixed.repeat_interleave(spec.key_value_heads, 0).unsqueeze(1)
                self._bias_of = cache.padding
            assert self._fixed_bias is not None
            bias = self._fixed_bias[:, :, first:end]  # (batch * key_value_heads, 1, T)
        if self._slopes is not None:
            distance = torch.arange(end - first - 1, -1, -1, dtype=store.dtype, device=store.device)  # (T,)
            penalty = self._slopes * distance
            bias = penalty if bias is None else bias + penalty  # (batch * key_value_heads, heads in a group, T)
        if self.model.relative_positions is not None:
            scores = self.model.relative_positions.last(first, end).view(spec.key_value_heads, -1, end - first)
            scores = scores.repeat(self.batch, 1, 1)
            bias = scores if bias is None else bias + scores
        return bias


def _block(block: Block, batch: int, linear: Callable[..., Function]) -> _Part:
    """`Block.forward` for one token; the parts' outputs are fresh tensors, so that the stream is added in place."""
    like = block.attention.output
    attend = _attention(block.attention, batch, linear)
    part = block.feedforward
    feed = _mixture(part, linear) if isinstance(part, MixtureOfExperts) else _feedforward(part, linear)
    attention_norm, feedforward_norm = _norm(block.attention_norm, like), _norm(block.feedforward_norm, like)
    if block.parallel:

        def parallel(x: Tensor, now: _Now, layer: int) -> Tensor:
            attended = attend(x if attention_norm is None else attention_norm(x), now, layer)
            return attended.add_(x).add_(feed(x if feedforward_norm is None else feedforward_norm(x)))

        return parallel
    parts = [("attention", attend), ("feedforward", lambda x, now, layer: feed(x))]
    if block.cross_attention is not None:
        parts.insert(1, ("cross_attention", _cross_attention(block.cross_attention, batch, linear)))
    sandwiched = block.placement == "sandwich"
    added = [
        _added(
            part,
            block.placement,
            _norm(getattr(block, f"{name}_norm"), like),
            _norm(getattr(block, f"{name}_output_norm"), like) if sandwiched else None,
        )
        for name, part in parts
    ]

    def run(x: Tensor, now: _Now, layer: int) -> Tensor:
        for each in added:
            x = each(x, now, layer)
        return x

    return run


def _added(part: _Part, placement: str, norm: Function | None, output_norm: Function | None) -> _Part:
    """The stream with what a part adds to it, and the norms where they stand."""
    if norm is None:
        return lambda x, now, layer: part(x, now, layer).add_(x)
    if placement == "post":
        return lambda x, now, layer: norm(part(x, now, layer).add_(x))
    if output_norm is not None:
        return lambda x, now, layer: output_norm(part(norm(x), now, layer)).add_(x)
    return lambda x, now, layer: part(norm(x), now, layer).add_(x)


def _cross_attention(cross: CrossAttention, batch: int, linear: Callable[..., Function]) -> _Part:
    """`CrossAttention.forward` for one token, of which the cache holds the source's keys and values."""
    pairs, width, scale = cross.key_value_heads, cross.head_width, cross.scale
    project, output = linear(cross.query, cross.query_bias), linear(cross.output, cross.output_bias)
    query_norm = cross.query_norm
    no_bias = torch.zeros(1, 1, 1, dtype=cross.output.dtype, device=cross.output.device)

    def attend(x: Tensor, now: _Now, layer: int) -> Tensor:
        source = now.source
        assert source is not None and source.held is not None  # the forward pass before has left it
        keys, values = (held.flatten(0, 1) for held in source.held[layer])  # (batch * key_value_heads, S, head_width)
        queries = project(x).view(batch * pairs, -1, width)  # (batch * key_value_heads, group, head_width)
        if query_norm is not None:
            queries = query_norm(queries)
        scores = torch.baddbmm(no_bias, queries, keys.transpose(1, 2), beta=0, alpha=scale)
        if source.bias is not None:  # (batch, 1, 1, S)
            scores = (scores.view(batch, pairs, -1, scores.shape[2]) + source.bias).view_as(scores)
        return output(torch.bmm(scores.softmax(-1), values).view(batch, -1))

    return attend


def _attention(attention: Attention, batch: int, linear: Callable[..., Function]) -> _Part:
    """`Attention.forward` for one token; the queries that share keys are the rows of one matrix product."""
    heads, pairs, width = attention.heads, attention.key_value_heads, attention.head_width
    turning, scale = heads + pairs, attention.scale
    project = linear(attention.query_key_value, attention.query_key_value_bias)
    output = linear(attention.output, attention.output_bias)
    value_embedding = attention.value_embedding
    head_norm = _head_norm(attention) if attention.qk_norm else None
    no_bias = torch.zeros(1, 1, 1, dtype=attention.output.dtype, device=attention.output.device)

    def attend(x: Tensor, now: _Now, layer: int) -> Tensor:
        joint = project(x).view(batch, -1, width)  # (batch, heads of queries, keys and values, head_width)
        if value_embedding is not None:
            joint[:, turning:] += value_embedding.index_select(0, now.tokens).view(batch, pairs, width)
        if head_norm is not None:
            head_norm(joint[:, :turning])
        if now.rotary is not None:
            cosines, sines = now.rotary
            turned = joint[:, :turning, : cosines.shape[-1]]
            torch.addcmul(turned * cosines, turned.roll(cosines.shape[-1] // 2, -1), sines, out=turned)
        now.slots[layer].copy_(joint[:, heads:].view(batch, 2, pairs, width).transpose(0, 1))
        queries = joint[:, :heads].reshape(batch * pairs, -1, width)  # (batch * key_value_heads, group, head_width)
        if now.bias is None:
            scores = torch.baddbmm(no_bias, queries, now.keys[layer], beta=0, alpha=scale)
        else:
            scores = torch.baddbmm(now.bias, queries, now.keys[layer], alpha=scale)
        mixed = torch.bmm(scores.softmax(-1), now.values[layer])  # (batch * key_value_heads, group, head_width)
        return output(mixed.view(batch, heads * width))

    return attend


def _feedforward(feedforward: FeedForward | GatedFeedForward, linear: Callable[..., Function]) -> Function:
    down = linear(feedforward.down, feedforward.down_bias)
    if isinstance(feedforward, GatedFeedForward):
        return _gated(linear(feedforward.gate_up, feedforward.gate_up_bias), down, feedforward.activation)
    return _plain(linear(feedforward.up, feedforward.up_bias, feedforward.activation), down)


def _gated(gate_up: Function, down: Function, activation: Function) -> Function:
    def gated(x: Tensor) -> Tensor:
        gate, up = gate_up(x).chunk(2, -1)
        return down(activation(gate).mul_(up))

    return gated


def _plain(activated_up: Function, down: Function) -> Function:
    return lambda x: down(activated_up(x))


def _mixture(mixture: MixtureOfExperts, linear: Callable[..., Function]) -> Function:
    """`MixtureOfExperts.forward` for one token of each sequence: each expert that is visited reads those who visit."""
    experts, router = mixture.experts, linear(mixture.router, None)
    if experts.gated:
        pairs = zip(experts.gate_up.unbind(), experts.down.unbind(), strict=True)
        networks = [_gated(linear(gate_up, None), linear(down, None), experts.activation) for gate_up, down in pairs]
    else:
        pairs = zip(experts.up.unbind(), experts.down.unbind(), strict=True)
        networks = [_plain(linear(up, None, experts.activation), linear(down, None)) for up, down in pairs]
    shared = None if mixture.shared is None else _feedforward(mixture.shared, linear)
    shared_gate = mixture.shared_gate

    def mix(x: Tensor) -> Tensor:
        _, weights, chosen = mixture.rank(router(x))  # (batch, active) each
        output = torch.zeros_like(x)
        for expert in set(chosen.flatten().tolist()):
            rows, rank = (chosen == expert).nonzero(as_tuple=True)
            output.index_add_(0, rows, networks[expert](x[rows]) * weights[rows, rank, None].to(x.dtype))
        if shared is None:
            return output
        given = shared(x)
        return output.add_(given if shared_gate is None else given * F.linear(x, shared_gate).sigmoid())

    return mix


def _norm(norm: nn.Module, like: Tensor) -> Function | None:
    """The norm as a function of (batch, width), or None where there is none; of the dtype and device of `like`."""
    if not isinstance(norm, Norm):
        return None
    gain, bias, shape, groups, epsilon = norm.gain, norm.bias, norm.shape, norm.groups, norm.epsilon
    if norm.kind == "layer":
        return lambda x: torch.native_layer_norm(x, shape, gain, bias, epsilon)[0]
    if norm.kind == "group":
        return lambda x: F.group_norm(x, groups, gain, bias, epsilon)
    scale = _inverse_root_mean_square(shape[0], epsilon, like)
    if gain is None:
        return lambda x: x * scale(x)
    return lambda x: (x * scale(x)).mul_(gain)


def _head_norm(attention: Attention) -> Callable[[Tensor], object]:
    """Normalises (batch, heads of queries and keys, head_width) in place."""
    query, key = attention.query_norm.gain, attention.key_norm.gain
    scale = _inverse_root_mean_square(attention.head_width, attention.epsilon, attention.output)
    if query is None or key is None:
        return lambda x: x.mul_(scale(x))
    counts = torch.tensor([attention.heads, attention.key_value_heads], device=query.device)
    gain = torch.stack((query, key)).detach().repeat_interleave(counts, 0)  # (heads of queries and keys, head_width)
    return lambda x: x.mul_(scale(x)).mul_(gain)


def _inverse_root_mean_square(width: int, epsilon: float, like: Tensor) -> Function:
    """1 / sqrt(mean of squares + epsilon) in three operations, where `F.rms_norm` on a CPU takes six."""
    offset = torch.tensor(epsilon, dtype=like.dtype, device=like.device)

    def scale(x: Tensor) -> Tensor:
        length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        return torch.addcmul(offset, length, length, value=1 / width).rsqrt_()

    return scale


def _transposed(weight: Tensor) -> Tensor:
    """(outputs, inputs) -> (inputs, outputs)"""
    return weight.t().contiguous()


def _transposed_linear(matrix: Tensor, bias: Tensor | None, activation: Function | None = None) -> Function:
    """y = x W^T + b through a copy of W that lies as the kernel reads it."""
    if bias is None:

        def product(x: Tensor) -> Tensor:
            return torch.mm(x, matrix)
    else:
        offset = bias.detach()

        def product(x: Tensor) -> Tensor:
            return torch.addmm(offset, x, matrix)

    return product if activation is None else lambda x: activation(product(x))


def _reordered(weight: Tensor) -> Tensor:
    """As oneDNN's kernels read it."""
    return torch.ops.mkldnn._reorder_linear_weight(weight)


def _reordered_linear(matrix: Tensor, bias: Tensor | None, activation: Function | None = None) -> Function:
    """The same through oneDNN."""
    linear, offset = torch.ops.mkldnn._linear_pointwise, None if bias is None else bias.detach()
    if activation in FUSED_ACTIVATIONS:
        algorithm = FUSED_ACTIVATIONS[activation]
        return lambda x: linear(x, matrix, offset, "gelu", [], algorithm)
    if activation is None:
        return lambda x: linear(x, matrix, offset, "none", [], "")
    return lambda x: activation(linear(x, matrix, offset, "none", [], ""))


def _can_reorder(weight: Tensor) -> bool:
    """These operators are PyTorch's own affair and a version may lack them; `_transposed_linear` always works."""
    return (
        weight.device.type == "cpu"
        and weight.dtype == torch.float32
        and torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_reorder_linear_weight")
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    )
