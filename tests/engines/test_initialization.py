"""How weights begin."""

from __future__ import annotations

import numpy as np
import pytest

from glassbox.engines.initialization import initial_weights
from glassbox.spec import ModelSpec, weight_shapes

SPEC = ModelSpec(vocabulary_size=300, context=16, width=96, layers=8, heads=4, attention_bias="all")


def test_a_tensor_depends_on_seed_and_name_but_on_no_other_tensor() -> None:
    first, deeper = initial_weights(SPEC, 1), initial_weights(SPEC.replace(layers=9, initialization="normal"), 1)
    assert all(np.array_equal(weight, initial_weights(SPEC, 1)[name]) for name, weight in first.items())
    for name in ("embedding.tokens", "blocks.3.attention.query", "output.weight"):
        assert np.array_equal(first[name], deeper[name])
        assert not np.array_equal(first[name], initial_weights(SPEC, 2)[name])
    assert not np.array_equal(first["blocks.0.attention.key"], first["blocks.0.attention.value"])


def test_every_weight_of_the_table_begins_in_float32() -> None:
    weights = initial_weights(SPEC, 0)
    assert {name: weight.shape for name, weight in weights.items()} == weight_shapes(SPEC)
    assert {weight.dtype for weight in weights.values()} == {np.dtype(np.float32)}


@pytest.mark.parametrize(("kind", "factor"), [("normal", 1.0), ("scaled", 0.25), ("zero", 0.0)])
def test_matrices_that_write_into_the_stream_begin_as_asked(kind: str, factor: float) -> None:
    weights = initial_weights(SPEC.replace(initialization=kind, initial_std=0.05), 0)
    for name in ("blocks.0.attention.output", "blocks.7.feedforward.down"):
        assert weights[name].std() == pytest.approx(0.05 * factor, rel=0.05)
    assert weights["blocks.0.attention.query"].std() == pytest.approx(0.05, rel=0.05)
    assert (weights["blocks.0.attention_norm.gain"] == 1).all()
    assert (weights["blocks.0.attention.query_bias"] == 0).all()
