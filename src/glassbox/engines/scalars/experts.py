"""A mixture of experts: many feed-forward networks, of which each token visits the few that a router picks for it."""

from __future__ import annotations

from collections.abc import Sequence

from glassbox.engines.lists.experts import by_token, ranked
from glassbox.engines.scalars.attention import Route, Surroundings, softmax
from glassbox.engines.scalars.feedforward import FeedForward, GatedFeedForward
from glassbox.engines.scalars.linear import added, linear
from glassbox.engines.scalars.parameters import OneOf, Parameters
from glassbox.engines.scalars.value import Matrix, Value, Vector, dot, numbers, total
from glassbox.engines.values import Keep
from glassbox.spec import ModelSpec


class MixtureOfExperts:
    """sum over the visited experts of weight * expert(x), plus the shared experts (Shazeer 2017; Dai et al. 2024)."""

    def __init__(self, spec: ModelSpec, parameters: Parameters) -> None:
        assert spec.experts is not None
        self.active, self.normalized = spec.experts.active, spec.experts.normalized
        self.inner = ("gate", "up", "hidden") if spec.gated else ("up", "hidden")
        self.router = parameters["router"]
        network = GatedFeedForward if spec.gated else FeedForward
        matrices = parameters.under("experts")
        self.experts = [network(spec, OneOf(matrices, expert)) for expert in range(spec.experts.count)]
        self.shared = network(spec, parameters.under("shared")) if spec.experts.shared else None
        self.shared_gate = parameters.get("shared_gate")

    def forward(self, x: Matrix, around: Surroundings, keep: Keep) -> Matrix:
        """p = softmax(x Rᵀ), y = Σ wₑ Eₑ(x) over the chosen e, with w = p, divided by their sum if normalised.

        (length, width) -> the same
        """
        logits = linear(x, self.router, None)  # (length, experts)
        probabilities = list(map(softmax, logits))
        chosen = [ranked(numbers(vector))[: self.active] for vector in logits]
        there = [place for place in range(len(x)) if around.present is None or around.present[place]]
        around.routes.append([(probabilities[place], chosen[place]) for place in there])
        weights = [
            [p[e] for e in visited] for p, visited in zip(probabilities, chosen, strict=True)
        ]  # (length, active)
        if self.normalized:
            weights = [_normalised(vector) for vector in weights]
        keep("router_logits", logits)
        keep("router_probabilities", probabilities)
        if keep.wants("router_weights"):
            keep("router_weights", [self._whole(*both) for both in zip(chosen, weights, strict=True)])
        given = self._visit(x, chosen, keep)
        mixed = [_mixed(vectors, vector) for vectors, vector in zip(given, weights, strict=True)]  # (length, width)
        keep("experts.output", mixed)
        output = mixed if self.shared is None else added(mixed, self._shared(x, keep))
        keep("output", output)
        return output

    def _visit(self, x: Matrix, chosen: list[list[int]], keep: Keep) -> list[Matrix]:
        """What each expert gives to each token that visits it: (length, active, width)"""
        visitors = [[place for place, visited in enumerate(chosen) if e in visited] for e in range(len(self.experts))]
        kept = [Keep(frozenset(self.inner), {}) for _ in self.experts]
        outputs = [
            expert.forward([x[place] for place in places], inner)
            for expert, places, inner in zip(self.experts, visitors, kept, strict=True)
        ]
        for name in self.inner:
            if keep.wants(f"experts.{name}"):
                keep(f"experts.{name}", by_token([inner.values[name] for inner in kept], chosen, visitors))
        return by_token(outputs, chosen, visitors)

    def _shared(self, x: Matrix, keep: Keep) -> Matrix:
        """What the experts give that every token visits, times σ(x gᵀ) with a gate: (length, width) -> the same"""
        assert self.shared is not None
        output = self.shared.forward(x, keep.under("shared"))
        if self.shared_gate is None:
            return output
        shares = [[logit.sigmoid()] for (logit,) in linear(x, self.shared_gate, None)]
        keep("shared_share", shares)
        return [[share * value for value in vector] for (share,), vector in zip(shares, output, strict=True)]

    def _whole(self, chosen: list[int], weights: Vector) -> Vector:
        """The weights of one token as those of all experts, zero where it doesn't go."""
        by_expert = dict(zip(chosen, weights, strict=True))
        return [by_expert.get(e, Value(0.0)) for e in range(len(self.experts))]


def _normalised(weights: Vector) -> Vector:
    visited = total(weights)
    return [weight / visited for weight in weights]


def _mixed(vectors: Matrix, weights: Vector) -> Vector:
    """Σ wᵢ vᵢ: (active, width), (active,) -> (width,)"""
    return [dot(weights, list(channel)) for channel in zip(*vectors, strict=True)]


def balance(layers: Sequence[Sequence[Route]]) -> Value:
    """N Σ fₑ Pₑ over the N experts (Fedus et al. 2021, eq. 4 to 6), averaged over layers.

    f is the share of tokens that visit an expert, P its mean probability; f sums to the experts that a token visits.
    f is a plain number: how far it would change with the weights is unknown, since a choice has no slope.

    layers: for each layer the routes of each row.
    """
    terms: Vector = []
    for rows in layers:
        route = [token for row in rows for token in row]
        tokens, count = max(1, len(route)), len(route[0][0]) if route else 0
        for e in range(count):
            share = sum(e in chosen for _, chosen in route) / tokens
            terms.append(total([probabilities[e] for probabilities, _ in route]) * (count * share / tokens))
    return total(terms) / len(layers)
