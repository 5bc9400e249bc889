"""The step of decoding is the forward pass said again: equal to it for any model."""

from __future__ import annotations

import torch
from drawn_specs import assert_near, model_of, specs, tokens_of
from hypothesis import given, settings
from hypothesis import strategies as st

from glassbox.engines.tensors.cache import Cache
from glassbox.engines.tensors.step import Step
from glassbox.spec import ModelSpec


@given(
    specs(kinds=("decoder", "encoder-decoder")),
    st.sampled_from([(torch.float64, 1e-11), (torch.float32, 2e-4)]),
    st.lists(st.integers(0, 3), min_size=1, max_size=5),
    st.booleans(),
)
@settings(max_examples=150)
def test_a_step_gives_the_logits_of_the_forward_pass(
    spec: ModelSpec, precision: tuple[torch.dtype, float], lengths: list[int], padded: bool
) -> None:
    dtype, tolerance = precision
    batch = len(lengths)
    model, tokens = model_of(spec, dtype=dtype), tokens_of(spec, batch, 12)
    padding = torch.tensor(lengths) if padded else None
    like = model.embedding.tokens
    with torch.inference_mode():
        cache, other = (Cache(spec, batch, 12, like=like, padding=padding) for _ in range(2))
        step = Step(model, batch)
        read = {"source": tokens[:, :7]} if spec.kind == "encoder-decoder" else {}
        if read and padded:
            read["source_present"] = torch.arange(7) >= torch.tensor(lengths)[:, None]
        for one in (cache, other):
            model(tokens[:, :5], cache=one, **read)
        for index in range(5, 12):
            expected = model(tokens[:, index : index + 1], cache=other)[0][:, 0]
            assert_near(step(tokens[:, index], cache), expected, tolerance)
            assert cache.length == index + 1


@given(specs(kinds=("decoder",)), st.lists(st.integers(0, 4), min_size=2, max_size=4))
@settings(max_examples=60)
def test_a_padded_sequence_gets_the_logits_that_it_gets_alone(spec: ModelSpec, lengths: list[int]) -> None:
    batch = len(lengths)
    model, tokens = model_of(spec), tokens_of(spec, batch, 10)
    with torch.inference_mode():
        cache = Cache(spec, batch, 10, like=model.embedding.tokens, padding=torch.tensor(lengths))
        model(tokens[:, :6], cache=cache)
        step = Step(model, batch)
        for index in range(6, 10):
            logits = step(tokens[:, index], cache)
        for row, begin in enumerate(lengths):
            alone = model(tokens[row : row + 1, begin:])[0][0, -1]
            assert_near(logits[row], alone)
