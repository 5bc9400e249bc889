"""A mixture of experts: many feed-forward networks, of which each token visits the few that a router picks for it.

Notable: tokens are sorted by expert, so that an expert is one matrix product over all of its tokens, in both passes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from glassbox.engines.arrays.attention import softmax
from glassbox.engines.arrays.feedforward import ACTIVATIONS, bend, feedforward
from glassbox.engines.arrays.linear import linear, linear_backward
from glassbox.engines.arrays.parameters import Array, Parameter, Scope
from glassbox.engines.values import Keep
from glassbox.spec import ModelSpec


class Load(NamedTuple):
    """What some tokens have asked of one layer's experts: the sums that the load-balancing loss is made of."""

    visits: Array  # (experts,), how many visit each
    probabilities: Array  # (experts,), summed over the tokens
    tokens: int


class MixtureOfExperts:
    """sum over the visited experts of weight * expert(x), plus the shared experts (Shazeer 2017; Dai et al. 2024)."""

    def __init__(self, spec: ModelSpec, parameters: Scope) -> None:
        assert spec.experts is not None
        self.active, self.normalized = spec.experts.active, spec.experts.normalized
        self.router = parameters["router"]
        matrices = parameters.under("experts")
        gate, up, down = matrices.get("gate"), matrices["up"], matrices["down"]
        self.experts = [Expert(spec, gate and gate[e], up[e], down[e]) for e in range(spec.experts.count)]
        self.shared = feedforward(spec, parameters.under("shared")) if spec.experts.shared else None
        self.shared_gate = parameters.get("shared_gate")
        self.pull: Array | None = None  # (experts,): how the load-balancing loss grows with a token's probabilities

    def forward(self, x: Array, present: NDArray[np.bool_] | None, keep: Keep) -> Array:
        """p = softmax(x R^T);  y = sum over the chosen e of w_e E_e(x), w = p, divided by their sum if normalised.

        (tokens, width), which of them are no padding, (tokens,) -> (tokens, width)
        """
        self.x, self.present, self.pull = x, present, None
        self._route(x, keep)
        keep_expert = keep.under("experts")
        # Visits: each token as often as it visits an expert, sorted by expert.
        self.by_expert = self.chosen.reshape(-1).argsort(kind="stable")
        ends = np.bincount(self.chosen.reshape(-1), minlength=len(self.experts)).cumsum()
        self.ranges = [slice(start, end) for start, end in zip((0, *ends[:-1]), ends, strict=True)]
        visits = x[self.by_expert // self.active]  # (tokens * active, width)
        given = np.empty_like(visits)
        for expert, visitors in zip(self.experts, self.ranges, strict=True):
            given[visitors] = expert.forward(visits[visitors])
        for name in ("gate", "up", "hidden"):
            if keep_expert.wants(name):
                keep_expert(name, self._by_token(np.concatenate([getattr(expert, name) for expert in self.experts])))
        self.given = self._by_token(given)  # (tokens, active, width)
        output = (self.weights[:, None] @ self.given)[:, 0]  # (tokens, width)
        keep_expert("output", output)
        if self.shared is not None:
            output = output + self._shared(x, keep)
        keep("output", output)
        return output

    def backward(self, d_output: Array) -> Array:
        """dw_e = dy E_e(x);  through each expert w_e dy;  through the softmax dz = p (dp - sum of dp p).

        (tokens, width) -> the same.
        """
        d_weights = (self.given @ d_output[:, :, None])[:, :, 0]  # (tokens, active)
        d_given = self.weights[:, :, None] * d_output[:, None]  # (tokens, active, width)
        d_given = d_given.reshape(-1, d_output.shape[1])[self.by_expert]
        d_visits = np.empty_like(d_given)
        for expert, visitors in zip(self.experts, self.ranges, strict=True):
            if visitors.stop > visitors.start:
                d_visits[visitors] = expert.backward(d_given[visitors])
        d_x = np.add.reduce(self._by_token(d_visits), 1)  # (tokens, width)
        d_x += self._route_backward(d_weights)
        return d_x if self.shared is None else d_x + self._shared_backward(d_output)

    def load(self) -> Load:
        """Of the latest forward pass."""
        there = slice(None) if self.present is None else self.present
        chosen, probabilities = self.chosen[there], self.probabilities[there]
        visits = np.bincount(chosen.reshape(-1), minlength=len(self.experts)).astype(probabilities.dtype)
        return Load(visits, np.add.reduce(probabilities, 0), len(chosen))

    def _route(self, x: Array, keep: Keep) -> None:
        """Probabilities of all experts, (tokens, experts), and ids and weights of those visited, (tokens, active)."""
        logits = linear(x, self.router, None)
        keep("router_logits", logits)
        # The most likely first; of experts as likely as one another the lower id.
        self.chosen = (-logits).argsort(-1, kind="stable")[:, : self.active]
        self.probabilities = softmax(logits)
        keep("router_probabilities", self.probabilities)
        self.weights = np.take_along_axis(self.probabilities, self.chosen, 1)
        if self.normalized:
            self.visited = np.add.reduce(self.weights, 1, keepdims=True)  # (tokens, 1), the probability of all visited
            self.weights /= self.visited
        if keep.wants("router_weights"):
            whole = np.zeros_like(self.probabilities)
            np.put_along_axis(whole, self.chosen, self.weights, 1)
            keep("router_weights", whole)

    def _route_backward(self, d_weights: Array) -> Array:
        """dp of a visited expert is dw, or (dw - sum of dw w) / sum of p where w is p / sum of p; and the pull on all.

        (tokens, active) -> (tokens, width)
        """
        if self.normalized:
            d_weights = (d_weights - np.vecdot(d_weights, self.weights)[:, None]) / self.visited
        d_probabilities = np.zeros_like(self.probabilities)  # (tokens, experts)
        np.put_along_axis(d_probabilities, self.chosen, d_weights, 1)
        if self.pull is not None:
            d_probabilities += self.pull if self.present is None else self.pull * self.present[:, None]
        d_logits = d_probabilities - np.vecdot(d_probabilities, self.probabilities)[:, None]
        d_logits *= self.probabilities
        return linear_backward(d_logits, self.x, self.router, None)

    def _shared(self, x: Array, keep: Keep) -> Array:
        """What the experts give that every token visits, times s = sigmoid(x g^T) with a gate: as x."""
        assert self.shared is not None
        self.shared_output = self.shared.forward(x, keep.under("shared"))
        if self.shared_gate is None:
            return self.shared_output
        self.share = np.tanh(linear(x, self.shared_gate, None) * 0.5) * 0.5 + 0.5  # (tokens, 1), and exp overflows not
        keep("shared_share", self.share)
        return self.shared_output * self.share

    def _shared_backward(self, d_output: Array) -> Array:
        """ds = dy S(x), through the sigmoid s (1 - s) ds; through the network s dy."""
        assert self.shared is not None
        if self.shared_gate is None:
            return self.shared.backward(d_output)
        d_share = np.vecdot(d_output, self.shared_output)[:, None]
        d_share *= self.share * (1 - self.share)
        d_x = linear_backward(d_share, self.x, self.shared_gate, None)
        return d_x + self.shared.backward(d_output * self.share)

    def _by_token(self, rows: Array) -> Array:
        """Rows sorted by expert back in the order of tokens: (tokens * active, n) -> (tokens, active, n)."""
        sorted_back = np.empty_like(rows)
        sorted_back[self.by_expert] = rows
        return sorted_back.reshape(len(self.x), self.active, -1)


class Expert:
    """One of the routed experts, over its stretch of the matrices of all."""

    def __init__(self, spec: ModelSpec, gate_matrix: Parameter | None, up_matrix: Parameter, down: Parameter) -> None:
        self.activation = ACTIVATIONS[spec.activation]
        self.gate_matrix, self.up_matrix, self.down = gate_matrix, up_matrix, down

    def forward(self, x: Array) -> Array:
        """h = f(x G^T) x U^T, or f(x U^T) without a gate;  y = h D^T: its visitors (visitors, width) -> the same."""
        self.x = x
        self.up = linear(x, self.up_matrix, None)
        if self.gate_matrix is None:
            self.hidden, self.slope = bend(self.activation, self.up)
        else:
            self.gate = linear(x, self.gate_matrix, None)
            self.opened, self.slope = bend(self.activation, self.gate)
            self.hidden = self.opened * self.up
        return linear(self.hidden, self.down, None)

    def backward(self, d_output: Array) -> Array:
        """dh = dy D;  dg = dh u f'(g), du = dh f(g);  or du = dh f'(u) without a gate.

        (visitors, width) -> the same.
        """
        d_hidden = linear_backward(d_output, self.hidden, self.down, None)
        if self.gate_matrix is None:
            return linear_backward(d_hidden * self.slope, self.x, self.up_matrix, None)
        d_x = linear_backward(d_hidden * self.opened, self.x, self.up_matrix, None)
        return d_x + linear_backward(d_hidden * self.up * self.slope, self.x, self.gate_matrix, None)


def balance(layers: Sequence[Sequence[MixtureOfExperts]], share: float) -> np.floating:
    """N times the sum over N experts of f P (Fedus et al. 2021, eq. 4 to 6), averaged over layers; prepares `backward`.

    f is the share of tokens that visit an expert, P its mean probability; f sums to the experts that a token visits.
    How far f would change with the weights is unknown (a choice has no slope), so that P alone pulls.

    layers: for each layer the mixtures that have read the parts of one batch; share: of this loss in training.
    """
    total = np.float64(0)
    for mixtures in layers:
        loads = [mixture.load() for mixture in mixtures]
        tokens = max(1, sum(load.tokens for load in loads))
        visits = np.add.reduce([load.visits for load in loads]) / tokens
        slope = len(visits) * visits  # of N f P towards P
        total = total + slope @ np.add.reduce([load.probabilities for load in loads]) / tokens
        for mixture in mixtures:
            mixture.pull = (share / len(layers) / tokens) * slope
    return (total / len(layers)).astype(layers[0][0].weights.dtype)
