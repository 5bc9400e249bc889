"""Loss, perplexity and bits per byte are what arithmetic by hand gives."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from glassbox.data.shard_writer import ShardWriter
from glassbox.data.shards import Shards, ShardSplit
from glassbox.engines.interface import Array, Details, Transformer
from glassbox.errors import BadInput
from glassbox.evaluation.held_out import held_out
from glassbox.spec import ModelSpec

VOCABULARY = 7


class Table(Transformer):
    """A bigram model: the logits of the next token depend on the current token alone."""

    def __init__(self, logits: torch.Tensor, context: int) -> None:
        self.spec = ModelSpec(vocabulary_size=VOCABULARY, context=context, width=2, layers=1, heads=1)
        self.logits = logits  # (VOCABULARY, VOCABULARY)

    def forward(
        self, tokens: Array, targets: Array | None = None, *, keep: Iterable[str] = ()
    ) -> tuple[Array, Details]:
        return self.logits[tokens], Details()

    def backward(self, details: Details) -> None:
        raise AssertionError("measuring needs no gradients")

    def weights(self) -> dict[str, Array]:
        return {}

    def gradients(self) -> dict[str, Array]:
        return {}

    def load_weights(self, weights: Mapping[str, Array]) -> None:
        raise AssertionError("measuring changes no weights")

    def zero_grad(self) -> None:
        raise AssertionError("measuring needs no gradients")

    def batch(self, rows: Sequence[Sequence[int]]) -> Array:
        return torch.tensor(rows)

    def most_likely(self, logits: Array) -> int:
        return int(logits.argmax())


def split_of(folder: Path, ids: list[int], text_bytes: int) -> ShardSplit:
    with ShardWriter(folder, vocabulary_size=VOCABULARY, tokenizer="test:1", end_of_text=None) as writer:
        writer.append("validation", [ids], text_bytes)
    return Shards(folder).split("validation")


@given(
    ids=st.lists(st.integers(0, VOCABULARY - 1), min_size=2, max_size=60),
    context=st.integers(1, 12),
    batch_size=st.integers(1, 5),
    seed=st.integers(0, 1_000),
)
def test_every_token_after_the_first_is_charged_once_whatever_the_windows(
    tmp_path_factory: pytest.TempPathFactory, ids: list[int], context: int, batch_size: int, seed: int
) -> None:
    logits = torch.randn(VOCABULARY, VOCABULARY, generator=torch.Generator().manual_seed(seed))
    split = split_of(tmp_path_factory.mktemp("shards"), ids, text_bytes=11)
    measured = held_out(Table(logits, context), split, batch_size=batch_size)
    nats = -sum(float(logits.double().log_softmax(1)[a, b]) for a, b in itertools.pairwise(ids))
    assert measured.tokens == len(ids) - 1
    assert measured.loss == pytest.approx(nats / (len(ids) - 1), rel=1e-5)
    assert measured.perplexity == pytest.approx(math.exp(measured.loss))
    assert measured.bits_per_byte == pytest.approx(nats / math.log(2) / 11, rel=1e-5)


def test_a_model_that_knows_nothing_needs_the_logarithm_of_the_vocabulary(tmp_path: Path) -> None:
    split = split_of(tmp_path, [1, 2, 3, 4, 5, 6, 0, 1, 2], text_bytes=8)
    measured = held_out(Table(torch.zeros(VOCABULARY, VOCABULARY), 4), split)
    assert measured.perplexity == pytest.approx(VOCABULARY)
    assert measured.bits_per_byte == pytest.approx(math.log2(VOCABULARY))
    assert measured.margin == pytest.approx(0, abs=1e-6)


def test_the_margin_covers_the_truth_about_95_times_in_100(tmp_path: Path) -> None:
    logits = torch.randn(VOCABULARY, VOCABULARY, generator=torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(1)
    chance = torch.full((VOCABULARY,), 1 / VOCABULARY)
    truth = float(-logits.log_softmax(1).mean()) / math.log(2)  # tokens drawn at random, one byte each
    covered = 0
    for trial in range(200):
        ids = torch.multinomial(chance, 401, replacement=True, generator=generator).tolist()
        measured = held_out(Table(logits, 8), split_of(tmp_path / str(trial), ids, text_bytes=400))
        covered += abs(measured.bits_per_byte - truth) <= measured.margin
    assert 180 <= covered <= 199


def test_progress_ends_at_the_number_of_tokens(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    split = split_of(tmp_path, [1, 2, 3, 4, 5, 6, 0], text_bytes=7)
    held_out(Table(torch.zeros(VOCABULARY, VOCABULARY), 2), split, batch_size=1, progress=lambda *now: seen.append(now))
    assert seen == [(2, 6), (4, 6), (6, 6)]


def test_text_of_no_bytes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no bytes of text"):
        held_out(Table(torch.zeros(VOCABULARY, VOCABULARY), 2), split_of(tmp_path, [1, 2], text_bytes=0))
