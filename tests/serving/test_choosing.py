"""Rows with settings of their own are chosen for together, and each as if it were alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from glassbox.generation import Decoding, Ending
from glassbox.generation.sampling import draw, penalized, uniform_numbers, warped
from glassbox.serving.choosing import DRAWN_AHEAD, Choosing
from glassbox.serving.requests import Request
from glassbox.tokenizers.characters import CharacterTokenizer

VOCABULARY = 11
TOKENIZER = CharacterTokenizer("abcdefghij")


def request(ids: list[int], prompt: int, decoding: Decoding, row: int = 0) -> Request:
    return Request(list(ids), prompt, row, decoding, Ending(prompt, decoding, TOKENIZER, 1000))


def alone(logits: Tensor, request: Request) -> int:
    """What the functions of `sampling` choose for one row: (vocabulary,)."""
    decoding, answer = request.decoding, request.ids[request.prompt :]
    seen = torch.zeros(1, VOCABULARY, dtype=torch.bool)
    seen[0, request.ids] = True
    counts = torch.tensor([[answer.count(token) for token in range(VOCABULARY)]], dtype=torch.float32)
    changed = penalized(logits[None], decoding, seen, counts)
    if decoding.temperature == 0:
        return int(changed.argmax())
    place = np.array([[request.row]], np.uint64), np.array([[len(request.ids)]], np.uint64)
    return int(draw(warped(changed, decoding), torch.from_numpy(uniform_numbers(decoding.seed, *place))[:, 0]))


decodings = st.builds(
    Decoding,
    temperature=st.sampled_from([0, 0.5, 1, 1.7]),
    top_k=st.sampled_from([0, 1, 3, VOCABULARY, 1000]),
    top_p=st.sampled_from([1, 0.9, 0.3, 1e-9]),
    min_p=st.sampled_from([0, 0.2, 1]),
    repetition_penalty=st.sampled_from([1, 0.5, 1.8]),
    presence_penalty=st.sampled_from([0, -1, 1.5]),
    frequency_penalty=st.sampled_from([0, -0.5, 0.7]),
    seed=st.integers(0, 2**64 - 1),
)
ids = st.lists(st.integers(0, VOCABULARY - 1), min_size=1, max_size=9)
asked = st.builds(
    lambda ids, share, *rest: request(ids, max(1, int(share * len(ids))), *rest),
    ids,
    st.floats(0, 1),
    decodings,
    st.integers(0, 5),
)


@given(st.lists(asked, min_size=1, max_size=5), st.integers(0, 2**32), st.sampled_from([torch.float64, torch.float32]))
@settings(max_examples=200)
def test_each_row_is_chosen_for_as_if_it_were_alone(requests: list[Request], seed: int, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(seed)
    choosing = Choosing(requests, VOCABULARY, like=torch.empty(0, dtype=dtype))
    for _ in range(4):
        logits = 3 * torch.randn(len(requests), VOCABULARY, generator=generator, dtype=dtype)
        before, expected = logits.clone(), [alone(logits[row], each) for row, each in enumerate(requests)]
        tokens = choosing.choose(logits).tolist()
        assert tokens == expected
        assert torch.equal(logits, before)
        for each, token in zip(requests, tokens, strict=True):
            each.ids.append(token)


def test_settings_are_not_rounded_with_logits_of_half_precision() -> None:
    settings = [{"temperature": 0.7}, {"presence_penalty": 0.3}, {"repetition_penalty": 1.1, "frequency_penalty": 0.1}]
    requests = [request([1, 2, 3], 1, Decoding(seed=row, **each)) for row, each in enumerate(settings)]  # pyright: ignore[reportArgumentType]  (numbers all)
    for seed in range(100):
        generator = torch.Generator().manual_seed(seed)
        logits = torch.randn(3, VOCABULARY, generator=generator, dtype=torch.float64).to(torch.bfloat16)
        expected = [alone(logits[row], each) for row, each in enumerate(requests)]
        assert Choosing(requests, VOCABULARY, like=logits).choose(logits).tolist() == expected


@pytest.mark.parametrize("count", [1, 3])
def test_numbers_drawn_ahead_never_end(count: int) -> None:
    requests = [request([1], 1, Decoding(seed=seed)) for seed in range(count)]
    choosing = Choosing(requests, VOCABULARY, like=torch.empty(0))
    logits = torch.zeros(count, VOCABULARY)
    for _ in range(2 * DRAWN_AHEAD + 1):
        expected = [alone(logits[0], each) for each in requests]
        tokens = choosing.choose(logits).tolist()
        assert tokens == expected
        for each, token in zip(requests, tokens, strict=True):
            each.ids.append(token)


def test_what_nobody_asks_for_is_not_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any) -> Tensor:
        raise AssertionError("nobody asked")

    for name in ("keep_top_k", "keep_top_p", "keep_min_p", "penalize_repetition", "uniform_numbers", "draw"):
        monkeypatch.setattr(f"glassbox.serving.choosing.{name}", never)
    requests = [request([1], 1, Decoding(temperature=0, top_k=3, top_p=0.5, min_p=0.1)) for _ in range(2)]
    logits = torch.tensor([[0.0, 2.0, 1.0], [3.0, 2.0, 1.0]])
    assert Choosing(requests, 3, like=logits).choose(logits).tolist() == [1, 0]
