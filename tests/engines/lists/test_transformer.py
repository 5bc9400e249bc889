"""The lists engine's promises."""

from __future__ import annotations

import math
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glassbox.engines import lists
from glassbox.engines.lists import optimizer
from glassbox.spec import ModelSpec
from lists.behaviour import SPEC, TARGETS, TOKENS, EngineBehaviour, assert_writing_agrees
from lists.drawn import specs


@settings(max_examples=15)
@given(specs(layers=1), st.integers(0, 2**32 - 1), st.integers(1, 10))
def test_writing_with_a_cache_gives_what_reading_everything_anew_gives(spec: ModelSpec, seed: int, count: int):
    assert_writing_agrees(lists, spec, seed, count)


class TestLists(EngineBehaviour):
    engine = lists
    optimizer = optimizer

    def test_writing_into_a_weight_changes_the_model(self):
        model = self.model()
        before, _ = model.forward(TOKENS)
        model.weights()["output.weight"][2][0] += 1.0
        after, _ = model.forward(TOKENS)
        assert after[0][0][2] != before[0][0][2]
        assert after[0][0][:2] == before[0][0][:2]

    def test_values_kept_stay_what_they_were_when_the_weights_change(self):
        model = self.model(SPEC)
        _, details = model.forward(TOKENS, TARGETS, keep="embedding.*")
        before = str(details.values)
        model.train_step(TOKENS, TARGETS, optimizer.SGD(model, 0.5))
        assert str(details.values) == before

    def test_a_loss_is_a_number(self):
        _, details = self.model().forward(TOKENS, TARGETS)
        assert isinstance(details.loss, float)
        assert details.loss.item() == details.loss > 0

    def test_a_cache_continues_rows_of_different_lengths(self):
        model, cache = self.model(), [lists.Cache(SPEC), lists.Cache(SPEC)]
        model.forward([[1, 2], [4]], cache=cache)
        continued, _ = model.forward([[0], [3, 3]], cache=cache)
        whole, _ = model.forward([[1, 2, 0], [4, 3, 3]])
        assert continued == [whole[0][2:], whole[1][1:]]
        assert [held.length for held in cache] == [3, 3]

    @pytest.mark.slow
    def test_microgpt_ends_with_the_loss_and_the_names_that_are_known(self, test_data: Path):
        model, names, characters, bos = self.microgpt_of(test_data / "names.txt")
        losses = self.train_microgpt(model, names, characters, bos, steps=1000)
        assert round(losses[-1], 4) == 2.6497

        def choose(logits: list[float]) -> int:
            weights = [math.exp((logit - max(logits)) / 0.5) for logit in logits]
            return random.choices(range(len(logits)), weights)[0]

        written: list[str] = []
        for _ in range(5):
            tokens = model.generate([bos], 1, choose)
            while tokens[-1] != bos and len(tokens) <= 16:
                tokens = model.generate(tokens, 1, choose)
            written.append("".join(characters[token] for token in tokens[1:] if token != bos))
        assert written == ["kamon", "ann", "karai", "jaire", "vialan"]
