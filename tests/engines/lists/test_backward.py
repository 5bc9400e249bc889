"""Each backward of the lists engine against central differences of its own forward."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from glassbox.engines.lists.attention import Attention, Surroundings, softmax, softmax_backward
from glassbox.engines.lists.block import Block
from glassbox.engines.lists.embedding import Embedding, Output
from glassbox.engines.lists.feedforward import ACTIVATIONS, FeedForward, GatedFeedForward
from glassbox.engines.lists.linear import linear, linear_backward
from glassbox.engines.lists.loss import cross_entropy, cross_entropy_backward
from glassbox.engines.lists.normalization import norm
from glassbox.engines.lists.parameters import Parameter, Parameters
from glassbox.engines.lists.positions import Tables, rotary_turn, rotate, rotate_backward, visible
from glassbox.engines.values import NOTHING
from glassbox.spec import ModelSpec, weight_shapes

STEP = 1e-6
TOLERANCE = 1e-7
LENGTH = 5


def spec_of(**changes: Any) -> ModelSpec:
    return ModelSpec(**({"vocabulary_size": 7, "context": 8, "width": 8, "layers": 1, "heads": 2} | changes))


def parameters_of(spec: ModelSpec) -> Parameters:
    generator = random.Random(3)

    def drawn(shape: tuple[int, ...]) -> Any:
        return [drawn(shape[1:]) for _ in range(shape[0])] if shape else generator.gauss(0.3, 0.6)

    return Parameters({name: Parameter(drawn(shape)) for name, shape in weight_shapes(spec).items()})


def matrix(rows: int, columns: int, seed: int = 0) -> list[list[float]]:
    generator = random.Random(seed)
    return [[generator.gauss(0, 1) for _ in range(columns)] for _ in range(rows)]


def surroundings(spec: ModelSpec, present: list[bool] | None = None) -> Surroundings:
    tables = Tables(spec)
    return Surroundings(
        tokens=[3, 1, 3, 0, 6],
        start=0,
        turns=tables.rotary(0, LENGTH) if spec.positions == "rotary" else None,
        slopes=tables.slopes,
        visible=visible(spec, 0, LENGTH, present),
        cache=None,
    )


def rows_of(numbers: Any) -> list[list[float]]:
    return numbers if isinstance(numbers[0], list) else [numbers]


def check(
    forward: Callable[[], Any], backward: Callable[[Any], Any], x: Any = None, parameters: Iterable[Parameter] = ()
) -> None:
    """Σ c · forward() has the slopes that backward(c) gives, towards x and towards every parameter."""
    y = forward()
    generator = random.Random(1)
    weights_of_y = [[generator.gauss(0, 1) for _ in row] for row in rows_of(y)]
    d_x = backward(weights_of_y if isinstance(y[0], list) else weights_of_y[0])

    def weighted() -> float:
        return sum(
            c * n
            for cs, row in zip(weights_of_y, rows_of(forward()), strict=True)
            for c, n in zip(cs, row, strict=True)
        )

    pairs = [] if x is None else [(x, d_x)]
    pairs += [(parameter.value, parameter.gradient) for parameter in parameters]
    for numbers, gradient in pairs:
        for row, slopes in zip(rows_of(numbers), rows_of(gradient), strict=True):
            for i, slope in enumerate(slopes):
                held = row[i]
                row[i] = held + STEP
                above = weighted()
                row[i] = held - STEP
                below = weighted()
                row[i] = held
                assert (above - below) / (2 * STEP) == pytest.approx(slope, rel=TOLERANCE, abs=TOLERANCE)


def test_linear_with_and_without_bias():
    x, weight, bias = matrix(LENGTH, 3), Parameter(matrix(4, 3, 1)), Parameter(matrix(1, 4, 2)[0])
    check(lambda: linear(x, weight, bias), lambda d: linear_backward(d, x, weight, bias), x, [weight, bias])
    weight.gradient = None
    check(lambda: linear(x, weight, None), lambda d: linear_backward(d, x, weight, None), x, [weight])


def test_softmax_has_its_whole_jacobian():
    scores = matrix(1, 6)[0]
    check(lambda: softmax(scores), lambda d: softmax_backward(d, softmax(scores)), scores)


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_every_activation_has_the_slope_of_its_curve(name: Any):
    function, slope = ACTIVATIONS[name]
    for x in (-30.0, -3.0, -0.7, -0.01, 0.01, 0.4, 2.0, 5.0, 30.0):
        assert (function(x + STEP) - function(x - STEP)) / (2 * STEP) == pytest.approx(slope(x), rel=1e-6, abs=1e-8)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_feed_forward_networks(activation: str, bias: bool):
    spec = spec_of(activation=activation, hidden_width=5, feedforward_bias=bias)
    parameters = parameters_of(spec).under("blocks.0.feedforward")
    network: Any = (GatedFeedForward if spec.gated else FeedForward)(spec, parameters)
    x = matrix(LENGTH, spec.width)
    own = [parameter for name, parameter in parameters.by_name.items() if "feedforward." in name]
    check(lambda: network.forward(x, NOTHING)[0], lambda d: network.backward(d, network.forward(x, NOTHING)[1]), x, own)


@pytest.mark.parametrize("gain_and_bias", [(False, False), (True, False), (True, True)])
@pytest.mark.parametrize("kind", ["layer", "rms", "group"])
def test_norms(kind: str, gain_and_bias: tuple[bool, bool]):
    gain, bias = gain_and_bias
    spec = spec_of(norm=kind, norm_gain=gain, norm_bias=bias and kind != "rms", norm_groups=2 if kind == "group" else 1)
    parameters = parameters_of(spec)
    part = norm(spec, parameters.under("final_norm"))
    x = matrix(LENGTH, spec.width)
    own = [parameter for name, parameter in parameters.by_name.items() if name.startswith("final_norm")]
    check(lambda: part.forward(x)[0], lambda d: part.backward(d, part.forward(x)[1]), x, own)


def test_rotation_is_turned_back():
    turns = [rotary_turn(position, [1.0, 0.1]) for position in range(LENGTH)]
    x = matrix(LENGTH, 6)  # the last two channels of each head stand still
    check(lambda: rotate(x, turns), lambda d: rotate_backward(d, turns), x)


@pytest.mark.parametrize(
    "changes",
    [
        {"positions": "none"},
        {"positions": "rotary"},
        {"positions": "rotary", "rotary_fraction": 0.5, "qk_norm": True},
        {"positions": "alibi", "heads": 3, "width": 6},
        {"positions": "none", "key_value_heads": 1, "attention_bias": "all"},
        {"positions": "rotary", "heads": 4, "key_value_heads": 2, "attention_bias": "inputs", "qk_norm": True},
        {"positions": "none", "window": 2},
        {"positions": "none", "value_embeddings": True},
        {"positions": "alibi", "kind": "encoder", "window": 3},
        {"positions": "none", "qk_norm": True, "norm_gain": False, "head_width": 3},
    ],
    ids=str,
)
@pytest.mark.parametrize("padded", [False, True])
def test_attention(changes: dict[str, Any], padded: bool):
    spec = spec_of(**changes)
    around = surroundings(spec, [False, True, True, False, True] if padded else None)
    parameters = parameters_of(spec)
    part = Attention(spec, 0, parameters.under("blocks.0.attention"))
    x = matrix(LENGTH, spec.width)
    own = [parameter for name, parameter in parameters.by_name.items() if "attention." in name]
    check(
        lambda: part.forward(x, around, NOTHING)[0],
        lambda d: part.backward(d, part.forward(x, around, NOTHING)[1], around),
        x,
        own,
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"norm_placement": "pre"},
        {"norm_placement": "post", "norm": "layer", "norm_bias": True},
        {"norm_placement": "sandwich", "activation": "swiglu"},
        {"parallel_residual": True},
        {"norm": "none"},
    ],
    ids=str,
)
def test_blocks_of_every_placement(changes: dict[str, Any]):
    spec = spec_of(hidden_width=4, **changes)
    around, parameters = surroundings(spec), parameters_of(spec)
    part = Block(spec, 0, parameters.under("blocks.0"))
    x = matrix(LENGTH, spec.width)
    own = [parameter for name, parameter in parameters.by_name.items() if name.startswith("blocks")]
    check(
        lambda: part.forward(x, around, NOTHING)[0],
        lambda d: part.backward(d, part.forward(x, around, NOTHING)[1], around),
        x,
        own,
    )


@pytest.mark.parametrize("positions", ["learned", "sinusoidal", "none"])
def test_embeddings_of_repeated_tokens(positions: str):
    spec = spec_of(kind="encoder", positions=positions, embedding_scale=2.5, token_types=2)
    parameters = parameters_of(spec)
    tables, tokens, types = Tables(spec), [3, 1, 3, 0], [0, 1, 1, 0]
    part = Embedding(spec, parameters.under("embedding"), parameters["embedding.tokens"])
    own = [parameter for name, parameter in parameters.by_name.items() if name.startswith("embedding")]
    check(
        lambda: part.forward(tokens, types, 1, tables, NOTHING),
        lambda d: part.backward(d, tokens, types, 1),
        None,
        own,
    )


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("softcap", [None, 0.7])
def test_output(softcap: float | None, tied: bool):
    spec = spec_of(logit_softcap=softcap, output_bias=True, tied_embeddings=tied)
    parameters = parameters_of(spec)
    part = Output(spec, parameters.under("output"), parameters["embedding.tokens"])
    x = matrix(LENGTH, spec.width)
    own = [parameters["embedding.tokens" if tied else "output.weight"], parameters["output.bias"]]
    check(lambda: part.forward(x)[0], lambda d: part.backward(d, part.forward(x)[1]), x, own)


def test_cross_entropy_with_targets_that_do_not_count():
    logits, targets = matrix(LENGTH, 4), [2, -1, 0, 3, -1]
    check(
        lambda: [cross_entropy(logits, targets) / 3],
        lambda d: [[d[0] * slope for slope in row] for row in cross_entropy_backward(logits, targets, 3)],
        logits,
    )
