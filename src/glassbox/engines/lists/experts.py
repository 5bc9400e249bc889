"""A mixture of experts: many feed-forward networks, of which each token visits the few that a router picks for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from glassbox.engines.lists.attention import softmax, softmax_backward
from glassbox.engines.lists.feedforward import FeedForward, GatedFeedForward, sigmoid
from glassbox.engines.lists.linear import added, dot, linear, linear_backward
from glassbox.engines.lists.parameters import Matrix, OneOf, Parameters, Vector
from glassbox.engines.values import NOTHING, Keep
from glassbox.spec import ModelSpec


class MixtureOfExperts:
    """sum over the visited experts of weight * expert(x), plus the shared experts (Shazeer 2017; Dai et al. 2024)."""

    class Saved(NamedTuple):
        """What backward needs of forward."""

        x: Matrix  # (length, width)
        probabilities: Matrix  # (length, experts)
        chosen: list[list[int]]  # (length, active), the most likely first
        weights: Matrix  # (length, active)
        visitors: list[list[int]]  # of each expert, the places of the tokens that visit it
        experts: list[Any]  # what each expert saved
        given: list[Matrix]  # (length, active, width), what each expert gave to each token that visits it
        shared: Any
        shared_output: Matrix  # (length, width), before the gate
        shares: Vector  # (length,), what the gate lets through
        present: Sequence[int] | None

    def __init__(self, spec: ModelSpec, parameters: Parameters) -> None:
        assert spec.experts is not None
        self.active, self.normalized = spec.experts.active, spec.experts.normalized
        self.router = parameters["router"]
        network = GatedFeedForward if spec.gated else FeedForward
        matrices = parameters.under("experts")
        self.experts: list[Any] = [network(spec, OneOf(matrices, expert)) for expert in range(spec.experts.count)]
        self.shared: Any = network(spec, parameters.under("shared")) if spec.experts.shared else None
        self.shared_gate = parameters.get("shared_gate")

    def forward(self, x: Matrix, present: Sequence[int] | None, keep: Keep) -> tuple[Matrix, Saved]:
        """p = softmax(x Rᵀ), y = Σ wₑ Eₑ(x) over the chosen e, with w = p, divided by their sum if normalised.

        (length, width), which of them are no padding, (length,) -> (length, width)
        """
        logits = linear(x, self.router, None)  # (length, experts)
        probabilities = list(map(softmax, logits))
        chosen = [ranked(vector)[: self.active] for vector in logits]
        weights = [[p[e] for e in visited] for p, visited in zip(probabilities, chosen, strict=True)]
        if self.normalized:
            weights = [[weight / sum(vector) for weight in vector] for vector in weights]
        visitors = [[place for place, visited in enumerate(chosen) if e in visited] for e in range(len(self.experts))]
        given: list[Matrix] = [[[] for _ in visited] for visited in chosen]
        experts: list[Any] = []
        for e, (expert, places) in enumerate(zip(self.experts, visitors, strict=True)):
            outputs, saved = expert.forward([x[place] for place in places], NOTHING)
            experts.append(saved)
            for place, output in zip(places, outputs, strict=True):
                given[place][chosen[place].index(e)] = output
        output = [_mixed(vectors, vector) for vectors, vector in zip(given, weights, strict=True)]  # (length, width)
        kept = self.Saved(x, probabilities, chosen, weights, visitors, experts, given, None, [], [], present)
        self._keep(logits, kept, output, keep)
        if self.shared is not None:
            shared_output, shared = self.shared.forward(x, keep.under("shared"))
            shares = self._shares(x, keep)
            output = added(output, [[s * y for y in row] for s, row in zip(shares, shared_output, strict=True)])
            kept = kept._replace(shared=shared, shared_output=shared_output, shares=shares)
        keep("output", output)
        return output, kept

    def backward(self, d_output: Matrix, saved: Saved, pull: Vector | None) -> Matrix:
        """dwₑ = dy·Eₑ(x), through each expert wₑ dy, and through the softmax with the pull on every probability.

        pull: (experts,), how the load-balancing loss grows with a token's probabilities; None when it isn't asked for.
        """
        d_x = [[0.0] * len(vector) for vector in saved.x]
        for e, (expert, places) in enumerate(zip(self.experts, saved.visitors, strict=True)):
            if not places:
                continue
            weights = [saved.weights[place][saved.chosen[place].index(e)] for place in places]
            d_given = [[w * d for d in d_output[place]] for w, place in zip(weights, places, strict=True)]
            for place, d_vector in zip(places, expert.backward(d_given, saved.experts[e]), strict=True):
                d_x[place] = [held + d for held, d in zip(d_x[place], d_vector, strict=True)]
        d_weights = [[dot(d, y) for y in given] for d, given in zip(d_output, saved.given, strict=True)]
        d_x = added(d_x, self._route_backward(d_weights, saved, pull))
        return d_x if self.shared is None else added(d_x, self._shared_backward(d_output, saved))

    def _route_backward(self, d_weights: Matrix, saved: Saved, pull: Vector | None) -> Matrix:
        """dp = dw, or (dw - Σ dw w) / Σ p where w = p / Σ p, of the visited experts; and the pull on all of them.

        (length, active) -> (length, width)
        """
        d_logits: Matrix = []
        for place, (d_each, weights, chosen) in enumerate(zip(d_weights, saved.weights, saved.chosen, strict=True)):
            probabilities = saved.probabilities[place]
            if self.normalized:
                along, visited = dot(d_each, weights), sum(probabilities[e] for e in chosen)
                d_each = [(d - along) / visited for d in d_each]
            there = saved.present is None or saved.present[place]
            d_probabilities = pull[:] if pull and there else [0.0] * len(probabilities)
            for e, d in zip(chosen, d_each, strict=True):
                d_probabilities[e] += d
            d_logits.append(softmax_backward(d_probabilities, probabilities))
        return linear_backward(d_logits, saved.x, self.router, None)

    def _shares(self, x: Matrix, keep: Keep) -> Vector:
        """What each token lets through of what the shared experts give: all of it, or σ(x gᵀ) with a gate."""
        if self.shared_gate is None:
            return [1.0 for _ in x]
        shares = [[sigmoid(logit)] for (logit,) in linear(x, self.shared_gate, None)]
        keep("shared_share", shares)
        return [share for (share,) in shares]

    def _shared_backward(self, d_output: Matrix, saved: Saved) -> Matrix:
        """ds = dy·S(x), through the sigmoid s (1 - s) ds, and through the network s dy: (length, width) -> the same"""
        shares = saved.shares
        d_shared = [[share * d for d in d_vector] for share, d_vector in zip(shares, d_output, strict=True)]
        d_x = self.shared.backward(d_shared, saved.shared)
        if self.shared_gate is None:
            return d_x
        d_shares = [dot(d, y) for d, y in zip(d_output, saved.shared_output, strict=True)]
        d_logits = [[d * share * (1 - share)] for d, share in zip(d_shares, shares, strict=True)]
        return added(d_x, linear_backward(d_logits, saved.x, self.shared_gate, None))

    def _keep(self, logits: Matrix, saved: Saved, output: Matrix, keep: Keep) -> None:
        keep("router_logits", logits)
        keep("router_probabilities", saved.probabilities)
        if keep.wants("router_weights"):
            pairs = zip(saved.chosen, saved.weights, strict=True)
            by_expert = [dict(zip(chosen, weights, strict=True)) for chosen, weights in pairs]
            keep("router_weights", [[each.get(e, 0.0) for e in range(len(self.experts))] for each in by_expert])
        for name in ("gate", "up", "hidden"):
            if keep.wants(f"experts.{name}"):
                rows = [getattr(kept, name) for kept in saved.experts]
                keep(f"experts.{name}", by_token(rows, saved.chosen, saved.visitors))
        keep("experts.output", output)


def ranked(logits: Vector) -> list[int]:
    """Experts by falling logit; of equals the lower id goes first."""
    return sorted(range(len(logits)), key=lambda expert: -logits[expert])


def by_token(rows: Sequence[Any], chosen: Sequence[Sequence[int]], visitors: Sequence[Sequence[int]]) -> list[Any]:
    """What each expert has for each of its visitors, as what each token has from each expert: (length, active, ...)"""
    return [[rows[e][visitors[e].index(place)] for e in visited] for place, visited in enumerate(chosen)]


def _mixed(vectors: Matrix, weights: Vector) -> Vector:
    """Σ wᵢ vᵢ: (active, width), (active,) -> (width,)"""
    return [dot(weights, channel) for channel in zip(*vectors, strict=True)]


def balance(layers: Sequence[Sequence[MixtureOfExperts.Saved]], share: float) -> tuple[float, list[Vector]]:
    """N Σ fₑ Pₑ over the N experts (Fedus et al. 2021, eq. 4 to 6), averaged over layers; and for each layer its pull.

    f is the share of tokens that visit an expert, P its mean probability; f sums to the experts that a token visits.
    How far f would change with the weights is unknown (a choice has no slope), so that P alone pulls.

    layers: for each layer what its mixture saved of each row; share: of this loss in training.
    """
    total = 0.0
    pulls: list[Vector] = []
    for rows in layers:
        there = [
            (row.probabilities[place], row.chosen[place])
            for row in rows
            for place in range(len(row.x))
            if row.present is None or row.present[place]
        ]
        tokens, count = max(1, len(there)), len(rows[0].probabilities[0])
        slopes = [count * sum(e in chosen for _, chosen in there) / tokens for e in range(count)]
        total += sum(slope * sum(p[e] for p, _ in there) / tokens for e, slope in enumerate(slopes))
        pulls.append([share * slope / len(layers) / tokens for slope in slopes])
    return total / len(layers), pulls
