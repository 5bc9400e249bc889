from __future__ import annotations

import math
from types import SimpleNamespace

import pytest

from glassbox.errors import BadInput
from glassbox.evaluation import training_time
from glassbox.evaluation.training_time import LARGEST_STEP, measure_pace, slice_of
from glassbox.spec import ModelSpec, count_flops, count_parameters, preset, presets

TINY = ModelSpec(vocabulary_size=16, context=16, width=8, layers=1, heads=2)


@pytest.fixture(autouse=True)
def briefly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_time, "MEASURING", 0.0)


def test_a_small_model_is_measured_itself():
    pace = measure_pace(TINY, batch=2)
    assert pace.measured == TINY
    assert not pace.of_slice
    assert pace.flops > 0
    assert pace.seconds(3 * pace.flops) == pytest.approx(3)


def test_the_pace_is_that_of_the_middle_step(monkeypatch: pytest.MonkeyPatch):
    moments = iter([0.0, 0.0, 2.0, 2.0, 6.0, 6.0])  # steps of 2 and 4 seconds
    monkeypatch.setattr(training_time, "time", SimpleNamespace(perf_counter=lambda: next(moments)))
    assert measure_pace(TINY).flops == count_flops(TINY).training * TINY.context / 4


@pytest.mark.parametrize("name", [name for name in presets() if preset(name).kind != "encoder-decoder"])
def test_a_slice_of_any_preset_is_of_its_kind_and_quick_to_train(name: str):
    spec = preset(name)
    part = slice_of(spec)
    assert count_parameters(part).total <= 40e6
    length = min(part.context, training_time.CONTEXT)
    step = count_flops(part, length).training * max(length, training_time.TOKENS)
    assert step <= 1.5 * LARGEST_STEP
    alike = ("kind", "positions", "norm", "norm_placement", "activation", "head_width", "qk_norm", "tied_embeddings")
    for field in alike:
        assert getattr(part, field) == getattr(spec, field)
    assert (part.experts is None) == (spec.experts is None)
    if spec.layers > 1 and spec.heads > 1 and part.heads > 1:
        shared = part.heads // part.key_value_heads
        assert shared == min(spec.heads // spec.key_value_heads, part.heads)


def test_a_large_model_is_measured_on_a_slice(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(training_time, "LARGEST_STEP", 1.0)
    monkeypatch.setattr(training_time, "slice_of", lambda spec: TINY)
    pace = measure_pace(preset("gpt2-small"))
    assert pace.of_slice
    assert pace.measured == TINY
    assert math.isfinite(pace.flops)


def test_what_learns_from_more_than_tokens_is_refused():
    with pytest.raises(BadInput, match="pace"):
        measure_pace(TINY.replace(kind="encoder-decoder", encoder_layers=1))
    with pytest.raises(BadInput, match="pace"):
        measure_pace(TINY.replace(kind="encoder", head="classes", classes=3))
