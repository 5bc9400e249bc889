"""The scalars engine's promises."""

from __future__ import annotations

import gc
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lists.behaviour import SPEC, TARGETS, TOKENS, EngineBehaviour, assert_writing_agrees
from lists.drawn import specs

from glassbox.engines import scalars
from glassbox.engines.scalars import optimizer
from glassbox.spec import ModelSpec


@settings(max_examples=8)
@given(specs(layers=1), st.integers(0, 2**32 - 1), st.integers(1, 10))
def test_writing_with_a_cache_gives_what_reading_everything_anew_gives(spec: ModelSpec, seed: int, count: int):
    assert_writing_agrees(scalars, spec, seed, count)


class TestScalars(EngineBehaviour):
    engine = scalars
    optimizer = optimizer

    def test_setting_the_number_of_a_weight_changes_the_model(self):
        model = self.model()
        before, _ = model.forward(TOKENS)
        model.weights()["output.weight"][2][0].data += 1.0
        after, _ = model.forward(TOKENS)
        assert after[0][0][2].data != before[0][0][2].data
        assert after[0][0][1].data == before[0][0][1].data

    def test_every_value_kept_has_its_gradient_after_backward(self):
        model = self.model()
        _, details = model.forward(TOKENS, TARGETS, keep=["logits", "final_norm.output"])
        model.backward(details)
        logits, vectors = (
            [value for row in details.values[name] for value in row] for name in ("logits", "final_norm.output")
        )  # (batch * length, vocabulary) and (batch * length, width)
        # A weight of the output matrix works through the logits of its token alone.
        explained = sum(logit[3].grad * vector[0].data for logit, vector in zip(logits, vectors, strict=True))
        assert model.weights()["output.weight"][3][0].grad == pytest.approx(explained, rel=1e-12)

    def test_memory_stays_flat_over_many_steps_without_the_garbage_collector(self):
        model = self.model(SPEC.replace(layers=1))
        adam = optimizer.Adam(model)

        def steps(count: int) -> int:
            for _ in range(count):
                model.train_step([[1, 2]], [[2, 0]], adam)
            return tracemalloc.get_traced_memory()[0]

        gc.collect()
        gc.disable()
        tracemalloc.start()
        try:
            early, late = steps(200), steps(100)  # at first Python fills its stores of freed tuples
        finally:
            tracemalloc.stop()
            unreachable = gc.collect()
            gc.enable()
        assert unreachable == 0
        assert late - early < 10_000  # bytes; the graph of one step alone is larger

    def test_a_cache_forgets_how_its_numbers_were_made(self):
        model, cache = self.model(), [scalars.Cache(SPEC)]
        model.forward([[1, 2]], cache=cache)
        assert all(not value.parents for head in cache[0].keys[0] for vector in head for value in vector)
