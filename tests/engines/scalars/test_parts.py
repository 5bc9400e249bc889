"""Each part of the scalars engine against central differences of the numbers that it computes."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from glassbox.engines.scalars.attention import Attention, Surroundings, softmax
from glassbox.engines.scalars.block import Block
from glassbox.engines.scalars.embedding import Embedding, Output
from glassbox.engines.scalars.feedforward import ACTIVATIONS, FeedForward, GatedFeedForward
from glassbox.engines.scalars.loss import cross_entropy
from glassbox.engines.scalars.normalization import norm
from glassbox.engines.scalars.parameters import Parameters, flat
from glassbox.engines.scalars.positions import Tables, visible
from glassbox.engines.scalars.value import Matrix, Value, dot
from glassbox.engines.values import NOTHING
from glassbox.spec import ModelSpec, weight_shapes

STEP = 1e-6
TOLERANCE = 1e-7
LENGTH = 3


def spec_of(**changes: Any) -> ModelSpec:
    return ModelSpec(**({"vocabulary_size": 4, "context": 4, "width": 4, "layers": 1, "heads": 2} | changes))


def parameters_of(spec: ModelSpec) -> Parameters:
    generator = random.Random(3)

    def drawn(shape: tuple[int, ...]) -> Any:
        return [drawn(shape[1:]) for _ in range(shape[0])] if shape else Value(generator.gauss(0.3, 0.6))

    return Parameters({name: drawn(shape) for name, shape in weight_shapes(spec).items()})


def own(parameters: Parameters, part: str) -> list[Value]:
    return [value for name, weight in parameters.by_name.items() if part in name for value in flat(weight)]


def matrix(rows: int, columns: int) -> Matrix:
    generator = random.Random(0)
    return [[Value(generator.gauss(0, 1)) for _ in range(columns)] for _ in range(rows)]


def surroundings(spec: ModelSpec) -> Surroundings:
    tables = Tables(spec)
    turns = tables.rotary(0, LENGTH) if spec.positions == "rotary" else None
    return Surroundings([3, 1, 3], 0, turns, tables.slopes, visible(spec, 0, LENGTH), None)


def check(forward: Callable[[], list[Value]], leaves: list[Value]) -> None:
    """Σ c · forward() has the slopes that `backward` finds, towards every leaf."""

    def weighted() -> Value:
        y, generator = forward(), random.Random(1)
        return dot(y, [Value(generator.gauss(0, 1)) for _ in y])

    weighted().backward()
    assert any(leaf.grad for leaf in leaves)
    for leaf in leaves:
        held = leaf.data
        leaf.data = held + STEP
        above = weighted().data
        leaf.data = held - STEP
        below = weighted().data
        leaf.data = held
        assert (above - below) / (2 * STEP) == pytest.approx(leaf.grad, rel=TOLERANCE, abs=TOLERANCE)


def test_softmax():
    scores = matrix(1, 5)[0]
    check(lambda: softmax(scores), scores)


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_feed_forward_networks(activation: str):
    spec = spec_of(activation=activation, hidden_width=3, feedforward_bias=True)
    parameters = parameters_of(spec)
    network = (GatedFeedForward if spec.gated else FeedForward)(spec, parameters.under("blocks.0.feedforward"))
    x = matrix(LENGTH, spec.width)
    check(lambda: flat(network.forward(x, NOTHING)), flat(x) + own(parameters, "feedforward."))


@pytest.mark.parametrize("kind", ["layer", "rms", "group"])
def test_norms(kind: str):
    spec = spec_of(norm=kind, norm_bias=kind != "rms", norm_groups=2 if kind == "group" else 1)
    parameters = parameters_of(spec)
    part, x = norm(spec, parameters.under("final_norm")), matrix(LENGTH, spec.width)
    check(lambda: flat(part.forward(x)), flat(x) + own(parameters, "final_norm"))


@pytest.mark.parametrize(
    "changes",
    [
        {"positions": "none", "attention_bias": "all", "key_value_heads": 1},
        {"positions": "rotary", "qk_norm": True},
        {"positions": "alibi", "window": 2},
        {"positions": "none", "kind": "encoder"},
        {"positions": "none", "value_embeddings": True},
    ],
    ids=str,
)
def test_attention(changes: dict[str, Any]):
    spec = spec_of(**changes)
    around, parameters = surroundings(spec), parameters_of(spec)
    part, x = Attention(spec, 0, parameters.under("blocks.0.attention")), matrix(LENGTH, spec.width)
    check(lambda: flat(part.forward(x, around, NOTHING)), flat(x) + own(parameters, "attention."))


@pytest.mark.parametrize(
    "changes",
    [{}, {"norm_placement": "post"}, {"norm_placement": "sandwich"}, {"parallel_residual": True}, {"norm": "none"}],
    ids=str,
)
def test_blocks_of_every_placement(changes: dict[str, Any]):
    spec = spec_of(hidden_width=3, **changes)
    around, parameters = surroundings(spec), parameters_of(spec)
    part, x = Block(spec, 0, parameters.under("blocks.0")), matrix(LENGTH, spec.width)
    check(lambda: flat(part.forward(x, around, NOTHING)), flat(x) + own(parameters, "blocks."))


@pytest.mark.parametrize("positions", ["learned", "sinusoidal"])
def test_embeddings_of_repeated_tokens(positions: str):
    spec = spec_of(kind="encoder", positions=positions, embedding_scale=2.5, token_types=2)
    parameters = parameters_of(spec)
    part, tables = Embedding(spec, parameters.under("embedding"), parameters["embedding.tokens"]), Tables(spec)
    check(lambda: flat(part.forward([3, 1, 3], [0] * 3, 1, tables, NOTHING)), own(parameters, "embedding."))


@pytest.mark.parametrize("softcap", [None, 0.7])
def test_output(softcap: float | None):
    spec = spec_of(logit_softcap=softcap, output_bias=True)
    parameters = parameters_of(spec)
    part = Output(spec, parameters.under("output"), parameters["embedding.tokens"])
    x = matrix(LENGTH, spec.width)
    check(lambda: flat(part.forward(x)), flat(x) + own(parameters, "output."))


def test_cross_entropy_with_a_target_that_does_not_count():
    logits = matrix(LENGTH, 4)
    check(lambda: cross_entropy(logits, [2, -1, 0]), flat(logits))
