"""Each component's hand-written backward pass is the slope of its forward pass (central differences, float64)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from arrays.differences import assert_backward, assert_slopes, drawn, slopes
from glassbox.engines.arrays.attention import Attention, Surroundings, softmax
from glassbox.engines.arrays.block import Block
from glassbox.engines.arrays.embedding import Embedding, Output, add_rows
from glassbox.engines.arrays.experts import MixtureOfExperts, balance
from glassbox.engines.arrays.feedforward import ACTIVATIONS, FeedForward, GatedFeedForward, bend
from glassbox.engines.arrays.loss import cross_entropy, cross_entropy_backward
from glassbox.engines.arrays.network import Network
from glassbox.engines.arrays.normalization import Norm, norm
from glassbox.engines.arrays.parameters import Array, Parameters
from glassbox.engines.arrays.positions import Tables, rotary_table, rotate, rotate_backward
from glassbox.engines.values import NOTHING
from glassbox.spec import Experts, ModelSpec

SIZES: dict[str, Any] = {"vocabulary_size": 5, "context": 6, "width": 8, "layers": 1, "heads": 4, "hidden_width": 6}
BATCH, LENGTH = 2, 5
TOKENS = np.array([[0, 3, 3, 1, 4], [2, 2, 0, 4, 1]])
TYPES = TOKENS % 3


def stream(width: int = SIZES["width"]) -> Array:
    return np.random.default_rng(7).normal(size=(BATCH * LENGTH, width))


def surroundings(spec: ModelSpec) -> Surroundings:
    tables = Tables(spec, np.float64)
    rotary = tables.rotary(0, LENGTH) if spec.positions == "rotary" else None
    return Surroundings(TOKENS, rotary, tables.bias(0, LENGTH), None)


def only(parameters: Parameters, prefix: str) -> dict[str, Array]:
    return {name: each for name, each in parameters.apart(parameters.gradients).items() if name.startswith(prefix)}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_activation_returns_its_slope(name: Any):
    x = np.random.default_rng(0).normal(0, 3, (4, 50))
    _, slope = ACTIVATIONS[name](x)
    assert_slopes(slope, slopes_of_each(ACTIVATIONS[name], x), name)


def slopes_of_each(activation: Any, x: Array, step: float = 1e-6) -> Array:
    return (activation(x + step)[0] - activation(x - step)[0]) / (2 * step)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_activation_computed_in_chunks_is_the_same(name: Any, dtype: type):
    joint = np.random.default_rng(0).normal(0, 3, (301, 400)).astype(dtype)
    half = joint[:, 200:]  # a view, as of a gate beside the up matrix
    for found, expected in zip(bend(ACTIVATIONS[name], half), ACTIVATIONS[name](half.copy()), strict=True):
        assert found.dtype == dtype
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("activation", ["relu", "gelu", "gelu_tanh", "silu", "relu_squared", "swiglu", "geglu"])
def test_the_feedforward_network(activation: str, bias: bool):
    spec = ModelSpec(**SIZES, activation=activation, feedforward_bias=bias)
    parameters = drawn(Parameters(spec, np.float64))
    kind = GatedFeedForward if spec.gated else FeedForward
    part = kind(spec, parameters.under("blocks.0.feedforward"))
    assert_backward(lambda x: part.forward(x, NOTHING), part.backward, stream(), parameters)


@pytest.mark.parametrize("present", [None, np.arange(10) % 3 > 0])
@pytest.mark.parametrize("activation", ["silu", "swiglu"])
@pytest.mark.parametrize("normalized", [False, True])
def test_the_mixture_of_experts(activation: str, normalized: bool, present: Any):
    """As the output is weighted by chance, so is the load-balancing loss, by its share."""
    experts = Experts(count=3, active=2, hidden_width=3, shared=1, shared_gate=True, normalized=normalized)
    spec = ModelSpec(**SIZES, activation=activation, experts=experts)
    parameters = drawn(Parameters(spec, np.float64))
    part, share, x = MixtureOfExperts(spec, parameters.under("blocks.0.feedforward")), 0.7, stream()
    importance = np.random.default_rng(1).normal(size=x.shape)

    def objective() -> float:
        output = part.forward(x, present, NOTHING)
        return float((output * importance).sum() + share * balance([[part]], share))

    objective()
    d_x = part.backward(importance)
    gradients = only(parameters, "blocks.0.feedforward")
    assert_slopes(d_x, slopes(objective, x), "x")
    for name, gradient in gradients.items():
        assert_slopes(gradient, slopes(objective, parameters.apart(parameters.values)[name]), name)


@pytest.mark.parametrize(
    "fields",
    [
        {"norm": "rms"},
        {"norm": "rms", "norm_gain": False},
        {"norm": "layer", "norm_bias": True},
        {"norm": "layer"},
        {"norm": "group", "norm_groups": 4, "norm_bias": True},
        {"norm": "group", "norm_groups": 2, "norm_gain": False},
        {"norm": "none"},
    ],
)
def test_the_norms(fields: dict[str, Any]):
    spec = ModelSpec(**SIZES, **fields)
    parameters = drawn(Parameters(spec, np.float64))
    part = norm(spec, parameters.under("blocks.0.attention_norm"))
    assert_backward(part.forward, part.backward, stream(), parameters)


def test_a_norm_of_nothing_but_zeros_has_a_slope():
    spec = ModelSpec(**SIZES, norm="layer")
    parameters = drawn(Parameters(spec, np.float64))
    part = Norm(spec, parameters.under("final_norm"))
    y = part.forward(np.zeros((2, 8)))
    assert np.array_equal(y, np.zeros((2, 8)))
    assert np.isfinite(part.backward(np.ones((2, 8)))).all()


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"kind": "encoder", "attention_bias": "all"},
        {"key_value_heads": 2, "qk_norm": True, "window": 2, "attention_bias": "inputs"},
        {"key_value_heads": 1, "positions": "alibi", "value_embeddings": True},
        {"head_width": 4, "rotary_fraction": 0.5, "qk_norm": True, "norm_gain": False},
        {"kind": "encoder", "positions": "alibi", "window": 3},
    ],
)
def test_attention(fields: dict[str, Any]):
    spec = ModelSpec(**SIZES, **fields)
    parameters = drawn(Parameters(spec, np.float64))
    part, around = Attention(spec, 0, parameters.under("blocks.0.attention")), surroundings(spec)
    assert_backward(lambda x: part.forward(x, around, NOTHING), part.backward, stream(), parameters)


def test_the_softmax_jacobian_of_attention_is_the_whole_matrix():
    """dS = A (dA - sum of dA A), against diag(A) - A A^T written out for every row."""
    scores, d_weights = np.random.default_rng(3).normal(size=(2, 6, 7))
    weights = softmax(scores.copy())
    jacobians = [np.diag(row) - np.outer(row, row) for row in weights]
    whole = np.stack([jacobian @ d for jacobian, d in zip(jacobians, d_weights, strict=True)])
    short = weights * (d_weights - (d_weights * weights).sum(-1, keepdims=True))
    np.testing.assert_allclose(short, whole, atol=1e-15)
    assert_slopes(whole, slopes(lambda: float((softmax(scores.copy()) * d_weights).sum()), scores), "scores")


def test_rotation():
    cosines, sines = rotary_table(LENGTH, [1.0, 0.01])
    x = np.random.default_rng(0).normal(size=(BATCH, LENGTH, 3, 6))  # of six channels four are turned
    importance = np.random.default_rng(1).normal(size=x.shape)
    d_x = rotate_backward(importance, cosines, sines)
    assert_slopes(d_x, slopes(lambda: float((rotate(x, cosines, sines) * importance).sum()), x), "rotation")


@pytest.mark.parametrize("placement", ["pre", "post", "sandwich", "parallel"])
def test_a_block_in_every_placement(placement: str):
    parallel = placement == "parallel"
    spec = ModelSpec(
        **SIZES,
        norm_placement="pre" if parallel else placement,
        parallel_residual=parallel,
        norm="layer",
        norm_bias=True,
    )
    parameters = drawn(Parameters(spec, np.float64))
    part, around = Block(spec, 0, parameters.under("blocks.0")), surroundings(spec)
    assert_backward(lambda x: part.forward(x, around, NOTHING), part.backward, stream(), parameters)


@pytest.mark.parametrize("positions", ["learned", "sinusoidal", "none"])
def test_the_embedding(positions: str):
    spec = ModelSpec(**SIZES, kind="encoder", positions=positions, embedding_scale=2.5, token_types=3)
    parameters = drawn(Parameters(spec, np.float64))
    part, tables = Embedding(spec, parameters), Tables(spec, np.float64)
    importance = np.random.default_rng(0).normal(size=(BATCH * LENGTH, spec.width))

    def weighted() -> float:
        return float((part.forward(TOKENS, 0, tables, NOTHING, types=TYPES) * importance).sum())

    weighted()
    part.backward(importance)
    for name, gradient in only(parameters, "embedding").items():
        assert_slopes(gradient, slopes(weighted, parameters.apart(parameters.values)[name]), name)


@pytest.mark.parametrize("rows", [3, 700])
def test_rows_that_repeat_are_all_added(rows: int):
    generator = np.random.default_rng(0)
    places, vectors = generator.integers(0, 9, rows), generator.normal(size=(rows, 4))
    table, expected = np.ones((9, 4)), np.ones((9, 4))
    for place, vector in zip(places, vectors, strict=True):
        expected[place] += vector
    add_rows(table, places, vectors)
    np.testing.assert_allclose(table, expected, atol=1e-12)


@pytest.mark.parametrize("softcap", [None, 0.7])
@pytest.mark.parametrize("tied", [False, True])
def test_the_output(tied: bool, softcap: float | None):
    spec = ModelSpec(**SIZES, tied_embeddings=tied, output_bias=True, logit_softcap=softcap)
    parameters = drawn(Parameters(spec, np.float64))
    part = Output(spec, parameters)
    assert_backward(part.forward, part.backward, stream(), parameters)


@pytest.mark.parametrize("targets", [[0, 4, 2], [-1, 4, -1]])
def test_the_loss(targets: list[int]):
    logits, ids = np.random.default_rng(0).normal(size=(3, 5)), np.array(targets)
    counted = int((ids >= 0).sum())
    _, probabilities = cross_entropy(logits, ids, counted)
    expected = slopes(lambda: float(cross_entropy(logits, ids, counted)[0]), logits)
    assert_slopes(cross_entropy_backward(probabilities, ids, counted), expected, "logits")


@pytest.mark.parametrize("fields", [{}, {"kind": "encoder", "head": "classes", "classes": 3, "embedding_norm": True}])
def test_the_whole_network(fields: dict[str, Any]):
    spec = ModelSpec(**SIZES | {"layers": 2}, **fields)
    parameters = drawn(Parameters(spec, np.float64))
    network = Network(spec, parameters)
    present = np.array([[True, True, False, True, False], [True] * 5])
    targets = np.array([1, 0]) if spec.head == "classes" else TOKENS.reshape(-1)

    def loss() -> float:
        return float(network.loss(network.forward(TOKENS, present=present), targets, len(targets)))

    loss()
    network.backward()
    for name, gradient in parameters.apart(parameters.gradients.copy()).items():
        assert_slopes(gradient, slopes(loss, parameters.apart(parameters.values)[name]), name)
