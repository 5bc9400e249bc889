"""Prompts become the keys and values that the model gives them, however they are cut and whoever reads beside."""

from __future__ import annotations

import pytest
import torch
from drawn_specs import model_of, specs
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from glassbox.engines.tensors import Transformer
from glassbox.engines.tensors.cache import Cache
from glassbox.generation import Decoding, Ending
from glassbox.serving.reading import FEWEST, MOST, Reading, Unread, chunk_tokens
from glassbox.serving.requests import Request
from glassbox.spec import ModelSpec, preset
from glassbox.tokenizers.characters import CharacterTokenizer

TOKENIZER = CharacterTokenizer("abcdefghijkl")


def request() -> Request:
    return Request([1], 1, 0, Decoding(), Ending(1, Decoding(), TOKENIZER, 12))


def read_alone(model: Transformer, ids: list[int]) -> Tensor:
    cache = Cache(model.spec, 1, len(ids), like=model.embedding.tokens)
    if ids:
        model.hidden(torch.tensor([ids]), cache=cache)
    return cache.store[:, :, 0]


rows = st.lists(st.integers(0, 12), max_size=12)


known = st.lists(st.integers(0, 12), min_size=4, max_size=4)


@given(specs(kinds=("decoder",)), st.lists(rows, min_size=1, max_size=4), st.integers(1, 12), known)
@settings(max_examples=80)
def test_what_is_read_in_chunks_and_together_is_what_is_read_at_once_and_alone(
    spec: ModelSpec, rows: list[list[int]], chunk: int, known: list[int]
) -> None:
    model = model_of(spec)
    with torch.inference_mode():
        expected = [read_alone(model, ids) for ids in rows]
        unread = [
            Unread(request(), ids, held[:, :, :, :count] if count else None)
            for ids, held, count in zip(rows, expected, known, strict=False)
        ]
        reading = Reading(model, unread)
        assert not reading.done
        count = reading.read(chunk)
        while not reading.done:
            count += reading.read(chunk)
    assert count + reading.reused == sum(map(len, rows))
    if len(rows) == 1:
        assert reading.reused == min(known[0], len(rows[0]))
    for row, held in enumerate(expected):
        assert reading.held(row).shape == held.shape
        torch.testing.assert_close(reading.held(row), held, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("name", "tokens"), [("gpt2-small", FEWEST), ("llama2-7b", FEWEST)])
def test_a_large_model_reads_no_fewer_tokens_than_use_the_processor_well(name: str, tokens: int) -> None:
    assert chunk_tokens(preset(name)) == tokens


def test_the_larger_a_model_the_fewer_tokens_it_reads_at_a_time() -> None:
    spec = ModelSpec(vocabulary_size=65, context=256, width=64, layers=2, heads=4)
    chunks = [chunk_tokens(spec.replace(width=64 * 2**step)) for step in range(5)]
    assert chunks[0] == MOST
    assert chunks == sorted(chunks, reverse=True)
    assert FEWEST < chunks[-1] < MOST
