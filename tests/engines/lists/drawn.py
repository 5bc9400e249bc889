"""Models and batches drawn by hypothesis, and what it means that two engines agree on them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from hypothesis import strategies as st

from glassbox.engines import tensors
from glassbox.engines.tensors import optimizer as tensors_optimizer
from glassbox.spec import Experts, ModelSpec, RotaryScaling, weight_shapes
from glassbox.spec.model import GATED_ACTIVATIONS

Rows = list[list[int]]


@st.composite
def specs(
    draw: st.DrawFn, kinds: tuple[str, ...] = ("decoder", "encoder", "encoder-decoder"), layers: int = 2
) -> ModelSpec:
    """Any small model of A1 to A5: attention, positions, feed-forward and norms in every combination that exists."""
    heads = draw(st.sampled_from([1, 2, 3, 4]))
    kind = draw(st.sampled_from(kinds))
    norm = draw(st.sampled_from(["layer", "rms", "group", "none"]))
    norm_gain = draw(st.booleans())
    norm_placement = draw(st.sampled_from(["pre", "post", "sandwich"])) if norm != "none" else "pre"
    fields: dict[str, Any] = {
        "kind": kind,
        "vocabulary_size": draw(st.integers(2, 6)),
        "context": 8,
        "width": heads * draw(st.sampled_from([2, 4])),
        "layers": draw(st.integers(1, layers)),
        "encoder_layers": draw(st.integers(1, layers)) if kind == "encoder-decoder" else 0,
        "heads": heads,
        "key_value_heads": draw(st.sampled_from([n for n in (1, 2, 3, 4) if heads % n == 0])),
        "head_width": draw(st.sampled_from([2, 4])),
        "window": draw(st.sampled_from([None, 1, 2, 3])),
        "score_scale": draw(st.sampled_from([1.0, 0.5])),
        "qk_norm": draw(st.booleans()),
        "attention_bias": draw(st.sampled_from(["none", "inputs", "all"])),
        "value_embeddings": kind == "decoder" and draw(st.booleans()),
        "positions": draw(st.sampled_from(["learned", "sinusoidal", "rotary", "alibi", "relative", "none"])),
        "activation": draw(
            st.sampled_from(["relu", "relu_squared", "gelu", "gelu_tanh", "silu", "swiglu", "geglu", "geglu_tanh"])
        ),
        "hidden_width": draw(st.integers(1, 6)),
        "feedforward_bias": draw(st.booleans()),
        "norm": norm,
        "norm_placement": norm_placement,
        "norm_gain": norm_gain,
        "norm_bias": norm_gain and norm in ("layer", "group") and draw(st.booleans()),
        "norm_groups": heads if norm == "group" else 1,
        "embedding_norm": norm != "none" and draw(st.booleans()),
        "final_norm": draw(st.booleans()),
        "parallel_residual": norm_placement == "pre" and kind != "encoder-decoder" and draw(st.booleans()),
        "tied_embeddings": draw(st.booleans()),
        "embedding_scale": draw(st.sampled_from([1.0, 2.5])),
        "output_bias": draw(st.booleans()),
        "logit_scale": draw(st.sampled_from([1.0, 0.5])),
        "logit_softcap": draw(st.sampled_from([None, 3.0])),
    }
    # Two kinds of model multiply rounding by any number, so that no two engines could agree. A norm over two nearly
    # equal numbers divides by almost nothing: its epsilon is larger. Where an activation multiplies what it reads by
    # itself, as a square or as a gate, and no norm follows, squares are squared in each layer.
    if norm in ("layer", "group") and fields["width"] == 2 * fields["norm_groups"]:
        fields["norm_epsilon"] = 0.1
    if norm == "none" and fields["activation"] in ("relu_squared", *GATED_ACTIVATIONS):
        fields |= {"layers": 1, "encoder_layers": min(1, fields["encoder_layers"]), "embedding_scale": 1.0}
    if fields["positions"] == "relative":
        fields |= {"relative_buckets": 4, "relative_distance": 5}
    if fields["positions"] == "rotary" and fields["head_width"] == 4:
        fields["rotary_fraction"] = draw(st.sampled_from([0.5, 1.0]))
    if fields["positions"] == "rotary":
        llama3 = RotaryScaling(kind="llama3", factor=8, original_context=16, fast_turns=2, slow_turns=0.5)
        fields["rotary_scaling"] = draw(st.sampled_from([None, RotaryScaling(kind="linear", factor=2.5), llama3]))
    if draw(st.integers(0, 3)) == 0:
        fields |= {"experts": draw(mixtures(fields["layers"])), "feedforward_bias": False}
    if kind == "encoder":
        fields |= draw(encoder_fields(gated=fields["activation"] in GATED_ACTIVATIONS))
    return ModelSpec(**fields)


@st.composite
def encoder_fields(draw: st.DrawFn, *, gated: bool) -> dict[str, Any]:
    """What only encoders have."""
    fields: dict[str, Any] = {
        "token_types": draw(st.sampled_from([0, 0, 2, 3])),
        "output_transform": not gated and draw(st.booleans()),
    }
    if draw(st.booleans()):
        fields |= {"head": "classes", "classes": 3, "tied_embeddings": False}
    return fields


@st.composite
def mixtures(draw: st.DrawFn, layers: int) -> Experts:
    """Any small mixture of experts."""
    count, shared = draw(st.integers(2, 5)), draw(st.integers(0, 2))
    return Experts(
        count=count,
        active=draw(st.integers(1, count)),
        hidden_width=draw(st.integers(1, 4)),
        shared=shared,
        shared_gate=shared > 0 and draw(st.booleans()),
        dense_layers=draw(st.integers(0, layers - 1)),
        normalized=draw(st.booleans()),
        balance=draw(st.sampled_from([0.0, 0.5])),
    )


class Batch(NamedTuple):
    """Tokens, targets of which the first counts, and which tokens are there (None: all); and so of the source."""

    tokens: Rows
    targets: Any
    types: Rows | None
    present: list[list[bool]] | None
    source: Rows | None
    source_present: list[list[bool]] | None

    def read(self, convert: Callable[[Any], Any], *, with_present: bool = True) -> dict[str, Any]:
        """What `forward` takes besides tokens and targets, as the engine takes it."""
        found = {name: getattr(self, name) for name in ("types", "present", "source", "source_present")}
        if not with_present:
            del found["present"]
        return {name: convert(value) for name, value in found.items() if value is not None}


@st.composite
def batches(draw: st.DrawFn, spec: ModelSpec) -> Batch:
    """Any small batch for this model."""
    rows, length = draw(st.integers(1, 2)), draw(st.integers(1, 6))
    token = st.integers(0, spec.vocabulary_size - 1)

    def table(element: st.SearchStrategy[Any], length: int = length) -> Any:
        return draw(st.lists(st.lists(element, min_size=length, max_size=length), min_size=rows, max_size=rows))

    tokens = table(token)
    if spec.head == "classes":
        targets = draw(st.lists(st.integers(0, spec.classes - 1), min_size=rows, max_size=rows))
    else:
        targets = table(st.one_of(token, st.just(-1)))
        targets[0][0] = draw(token)
    present = table(st.booleans()) if draw(st.booleans()) else None
    source = source_present = None
    if spec.kind == "encoder-decoder":
        source_length = draw(st.integers(1, 4))
        source = table(token, source_length)
        if draw(st.booleans()):
            source_present = [[True, *flags] for flags in table(st.booleans(), source_length - 1)]
    has_types = spec.token_types > 0 and draw(st.booleans())
    types = table(st.integers(0, spec.token_types - 1)) if has_types else None
    return Batch(tokens, targets, types, present, source, source_present)


def weights_of(spec: ModelSpec, seed: int) -> dict[str, np.ndarray]:
    """Weights that leave nothing at one or zero, gains and biases neither, and numbers in the model near one.

    Far from there, a loss of 1e-8 or the end of a soft cap is the difference of two numbers near one, of which every
    engine keeps other digits.
    """
    generator = np.random.default_rng(seed)
    weights: dict[str, np.ndarray] = {}
    for name, shape in weight_shapes(spec).items():
        deviation = shape[-1] ** -0.5 if len(shape) >= 2 else 0.3
        weights[name] = generator.normal(1 if name.endswith("gain") else 0, deviation, shape)
    return weights


def reference(spec: ModelSpec, weights: Mapping[str, np.ndarray]) -> tensors.Transformer:
    """The same model in PyTorch and float64."""
    model = tensors.Transformer(spec).double()
    model.load_weights(weights)
    return model


def assert_agree(ours: Any, theirs: Any, what: str, floor: float = 0.0) -> None:
    """Of one shape, and no number further apart than 1e-9 of the largest.

    floor: where the largest is smaller than this, this counts as the largest: a gradient that is zero by mathematics
    (of a key's bias, which moves all scores of a query alike) is nothing but rounding in every engine, and a loss near
    zero is a difference of logits.
    """
    found = np.array(ours, dtype=np.float64)
    expected = theirs.detach().numpy() if isinstance(theirs, torch.Tensor) else np.asarray(theirs)
    assert found.shape == expected.shape, f"{what}: {found.shape} instead of {expected.shape}"
    finite = np.isfinite(expected)
    assert (np.isfinite(found) == finite).all(), f"{what}: infinite in other places"
    if finite.any():
        largest = max(float(np.abs(expected[finite]).max()), floor)
        apart = float(np.abs(found[finite] - expected[finite]).max())
        assert apart <= 1e-9 * largest, f"{what}: {apart} apart, where the largest is {largest}"


def assert_same_step(engine: Any, spec: ModelSpec, batch: Batch, seed: int) -> None:
    """Logits, loss, every intermediate value and every gradient of one step are PyTorch's."""
    weights = weights_of(spec, seed)
    theirs, ours = reference(spec, weights), engine.Transformer(spec, weights=weights)
    their_logits, expected = theirs.forward(
        torch.tensor(batch.tokens), torch.tensor(batch.targets), keep="*", **batch.read(torch.tensor)
    )
    logits, details = ours.forward(batch.tokens, batch.targets, keep="*", **batch.read(list))
    theirs.backward(expected)
    ours.backward(details)

    assert_agree(logits, their_logits, "logits")
    assert_agree(details.loss.item(), expected.loss, "loss", floor=1.0)
    assert (details.balance is None) == (expected.balance is None) == (spec.experts is None)
    if expected.balance is not None:
        assert_agree(float(details.balance), expected.balance, "balance", floor=1.0)
    assert details.values.keys() == expected.values.keys()
    for name, value in expected.values.items():
        assert_agree(details.values[name], value, name, floor=1e-5)
    gradients, their_gradients = ours.gradients(), theirs.gradients()
    assert list(gradients) == list(their_gradients) == list(weight_shapes(spec))
    largest = max(float(gradient.abs().max()) for gradient in their_gradients.values())
    for name, gradient in their_gradients.items():
        assert_agree(gradients[name], gradient, f"gradient of {name}", floor=1e-5 * max(1.0, largest))


def assert_same_training(engine: Any, optimizer: Any, name: str, spec: ModelSpec, batch: Batch, seed: int) -> None:
    """Three steps of training give the losses and every weight that PyTorch's give.

    Adam's epsilon is 1e-6 on both sides: a gradient that is zero by mathematics is 1e-16 of rounding in each engine,
    other digits in each, and Adam divides it by epsilon. With 1e-8 that noise alone comes to 1e-9 of a weight.
    """
    options: dict[str, Any] = {} if name == "sgd" else {"epsilon": 1e-6}
    weights = weights_of(spec, seed)
    theirs, ours = reference(spec, weights), engine.Transformer(spec, weights=weights)
    their_optimizer = tensors_optimizer.OPTIMIZERS[name](theirs, 1e-3, **options)
    our_optimizer = optimizer.OPTIMIZERS[name](ours, 1e-3, **options)
    for step in range(3):
        expected = theirs.train_step(
            torch.tensor(batch.tokens),
            torch.tensor(batch.targets),
            their_optimizer,
            **batch.read(torch.tensor, with_present=False),
        )
        loss = ours.train_step(batch.tokens, batch.targets, our_optimizer, **batch.read(list, with_present=False))
        assert_agree(loss, expected, f"loss {step}", floor=1.0)
    for name, weight in theirs.weights().items():
        assert_agree(ours.weights()[name], weight, f"{name} after three steps", floor=1.0)
