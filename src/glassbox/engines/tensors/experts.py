"""A mixture of experts: many feed-forward networks, of which each token visits the few that a router picks for it.

Notable: tokens are sorted by expert, so that an expert is one matrix product over all of its tokens, which writes where
its result belongs; sorting and sorting back are permutations, whose gradients are permutations too, so that nothing is
scattered and every sum has one order.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from glassbox.engines.tensors.feedforward import ACTIVATIONS, feedforward
from glassbox.engines.tensors.linear import linear, product_into
from glassbox.engines.values import Keep
from glassbox.spec import ModelSpec


class MixtureOfExperts(nn.Module):
    """sum over the visited experts of weight * expert(x), plus the shared experts (Shazeer 2017; Dai et al. 2024)."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        assert spec.experts is not None
        self.count, self.active = spec.experts.count, spec.experts.active
        self.normalized = spec.experts.normalized
        self.router = nn.Parameter(torch.empty(self.count, spec.width))
        self.experts = Experts(spec)
        shared_width = spec.experts.hidden_width * spec.experts.shared
        self.shared = feedforward(spec, shared_width) if spec.experts.shared else None
        self.shared_gate = nn.Parameter(torch.empty(1, spec.width)) if spec.experts.shared_gate else None

    def forward(
        self, x: Tensor, keep: Keep, present: Tensor | None = None, balances: list[Tensor] | None = None
    ) -> Tensor:
        """(batch, length, width) -> the same.

        balances: gets this layer's load-balancing loss, over the tokens that are `present`, (batch, length).
        """
        probabilities, weights, chosen = self.route(x, keep)
        if balances is not None:
            balances.append(balance(probabilities, chosen, present))
        output = self.experts(x, weights.to(x.dtype), chosen, keep.under("experts"))
        keep("experts.output", output)
        if self.shared is not None:
            output = output + self.shared_output(x, keep)
        keep("output", output)
        return output

    def route(self, x: Tensor, keep: Keep) -> tuple[Tensor, Tensor, Tensor]:
        """See `rank`."""
        logits = linear(x, self.router)
        probabilities, weights, chosen = self.rank(logits)
        keep("router_logits", logits)
        keep("router_probabilities", probabilities)
        if keep.wants("router_weights"):
            keep("router_weights", torch.zeros_like(probabilities).scatter(-1, chosen, weights))
        return probabilities, weights, chosen

    def rank(self, logits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Probabilities of all experts, (..., experts), and weights and ids of those visited, (..., active) each.

        The most likely first; of experts as likely as one another the lower id, in every engine.
        """
        probabilities = logits.softmax(-1, dtype=torch.promote_types(logits.dtype, torch.float32))
        chosen = logits.argsort(dim=-1, descending=True, stable=True)[..., : self.active]
        weights = probabilities.gather(-1, chosen)
        if self.normalized:
            weights = weights / weights.sum(-1, keepdim=True)
        return probabilities, weights, chosen

    def shared_output(self, x: Tensor, keep: Keep) -> Tensor:
        """What the experts give that every token visits: (..., width) -> the same."""
        assert self.shared is not None
        output = self.shared(x, keep.under("shared"))
        if self.shared_gate is None:
            return output
        share = linear(x, self.shared_gate).sigmoid()  # (..., 1)
        keep("shared_share", share)
        return output * share


class Experts(nn.Module):
    """The routed experts: their matrices one behind another, so that a weight is one tensor however many there are."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        assert spec.experts is not None
        count, hidden_width = spec.experts.count, spec.experts.hidden_width
        self.activation = ACTIVATIONS[spec.activation]
        self.gated = spec.gated
        if spec.gated:  # gate and up of an expert in one matrix product (`transformer.FUSED`)
            self.gate_up = nn.Parameter(torch.empty(count, 2 * hidden_width, spec.width))
        else:
            self.up = nn.Parameter(torch.empty(count, hidden_width, spec.width))
        self.down = nn.Parameter(torch.empty(count, spec.width, hidden_width))

    # How many tokens visit an expert is another number each time, and compiled it would be another program each time.
    @torch.compiler.disable
    def forward(self, x: Tensor, weights: Tensor, chosen: Tensor, keep: Keep) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]  (it needs the choice too)
        """Tokens (batch, length, width), weights and ids of the experts of each (batch, length, active) -> as x."""
        active = chosen.shape[-1]
        by_expert = chosen.flatten().argsort(stable=True)  # visits are numbered token by token
        back = by_expert.argsort()
        counts = chosen.flatten().bincount(minlength=len(self.down)).tolist()
        visits = gathered(x.flatten(0, -2), by_expert, back, active)  # (tokens * active, width)
        inner = grouped_linear(visits, self.gate_up if self.gated else self.up, counts)
        if self.gated:
            gate, up = inner.chunk(2, -1)  # each (tokens * active, hidden_width)
            hidden = self.activation(gate) * up
        else:
            gate, up, hidden = None, inner, self.activation(inner)
        for name, value in (("gate", gate), ("up", up), ("hidden", hidden)):
            if value is not None and keep.wants(name):
                keep(name, value[back].view(*chosen.shape, -1))  # (batch, length, active, hidden_width)
        given = gathered(grouped_linear(hidden, self.down, counts), back, by_expert)
        given = given.view(-1, active, x.shape[-1])
        output = (
            weights.flatten(0, -2).unsqueeze(1).to(given.dtype) @ given
        )  # (tokens, 1, active) @ (.., active, width)
        return output.view_as(x)


def balance(probabilities: Tensor, chosen: Tensor, present: Tensor | None) -> Tensor:
    """N times the sum over N experts of f P (Fedus et al. 2021, eq. 4 to 6): a scalar.

    f is the share of tokens that visit an expert, P its mean probability; f sums to the experts that a token visits.

    (batch, length, experts), (batch, length, active), (batch, length) of those who count (None: all)
    """
    count = probabilities.shape[-1]
    visits = torch.zeros_like(probabilities).scatter(-1, chosen, 1.0)  # (batch, length, experts)
    if present is None:
        return count * (visits.flatten(0, -2).mean(0) * probabilities.flatten(0, -2).mean(0)).sum()
    there = present.flatten().to(probabilities.dtype)
    tokens = there.sum().clamp(min=1)  # of nothing but padding the loss is 0
    shares, means = (there @ each.flatten(0, -2) / tokens for each in (visits, probabilities))
    return count * (shares * means).sum()


def gathered(rows: Tensor, order: Tensor, back: Tensor, copies: int = 1) -> Tensor:
    """Every row `copies` times, one right after another, in this order: (rows, width) -> (rows * copies, width).

    order: a permutation of rows * copies; back: the one that undoes it.
    """
    return _Gathered.apply(rows, order, back, copies)


def grouped_linear(x: Tensor, weights: Tensor, counts: list[int]) -> Tensor:
    """Each group of rows times a matrix of its own: (rows, inputs), (groups, outputs, inputs) -> (rows, outputs).

    counts: rows of each group, one group behind the other.
    """
    if torch.is_autocast_enabled(x.device.type):
        dtype = torch.get_autocast_dtype(x.device.type)
        x, weights = x.to(dtype), weights.to(dtype)  # all matrices in one cast
    return _GroupedLinear.apply(x, weights, counts)


class _Gathered(torch.autograd.Function):
    """PyTorch doesn't know that an order holds every row as often, and would add gradients up row by row."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, order: Tensor, back: Tensor, copies: int) -> Tensor:
        ctx.save_for_backward(back)
        ctx.copies = copies
        return rows.index_select(0, order if copies == 1 else order // copies)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:  # pyright: ignore[reportIncompatibleMethodOverride]  (the base takes anything)
        (back,) = ctx.saved_tensors
        gradient = gradient.index_select(0, back)
        if ctx.copies > 1:  # summed by a product, which is several times as fast as a sum over few numbers
            each = gradient.view(-1, ctx.copies, gradient.shape[1])  # (rows, copies, width)
            gradient = (each.new_ones(1, 1, ctx.copies).expand(len(each), -1, -1) @ each).squeeze(1)
        return gradient, None, None, None


class _GroupedLinear(torch.autograd.Function):
    """Products that write where their results belong: nothing is cut apart and put together again."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weights: Tensor, counts: list[int]) -> Tensor:
        ctx.save_for_backward(x, weights)
        ctx.counts = counts
        y = x.new_empty(len(x), weights.shape[1])
        for rows, matrix, out in zip(x.split(counts), weights, y.split(counts), strict=True):
            product_into(out, rows, matrix)
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:  # pyright: ignore[reportIncompatibleMethodOverride]  (the base takes anything)
        x, weights = ctx.saved_tensors
        by_x, by_weights, _ = ctx.needs_input_grad
        d_x = torch.empty_like(x) if by_x else None
        d_weights = torch.empty_like(weights) if by_weights else None
        groups = gradient.split(ctx.counts)
        if d_x is not None:
            for d_rows, matrix, out in zip(groups, weights, d_x.split(ctx.counts), strict=True):
                product_into(out, d_rows, matrix.t())
        if d_weights is not None:
            for d_rows, rows, out in zip(groups, x.split(ctx.counts), d_weights, strict=True):
                product_into(out, d_rows.t(), rows.t())
        return d_x, d_weights, None
