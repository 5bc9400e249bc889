"""The loss on held-out text."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import SPEC, make_step

from glassbox.data.shards import Shards
from glassbox.training.validation import Validation


def validation(shards: Shards, *, batch_size: int = 8, sample_tokens: int = 128, context: int = 16) -> Validation:
    return Validation(shards.split("validation"), context, batch_size, sample_tokens, torch.device("cpu"))


def by_hand(shards: Shards, starts: list[int]) -> float:
    """One window after the other, log-probabilities picked one by one, in float64."""
    model = make_step(dtype=torch.float64).model.eval()
    stream = np.asarray(shards.split("validation").tokens[:]).astype(np.int64)
    total, count = 0.0, 0
    for start in starts:
        window = stream[start : start + SPEC.context + 1]
        with torch.no_grad():
            logits, _ = model(torch.from_numpy(window[:-1])[None])
        probabilities = logits[0].log_softmax(-1)
        for place, target in enumerate(window[1:]):
            total -= probabilities[place, target].item()
            count += 1
    return total / count


def test_the_full_loss_equals_one_computed_token_by_token(shards: Shards) -> None:
    tokens = shards.split("validation").token_count
    expected = by_hand(shards, list(range(0, tokens - 1, SPEC.context)))
    for batch_size in (1, 3, 100):
        assert validation(shards, batch_size=batch_size).full_loss(make_step().loss) == pytest.approx(
            expected, rel=1e-5
        )


def test_the_sampled_loss_equals_one_computed_on_windows_spread_over_the_split(shards: Shards) -> None:
    whole = (shards.split("validation").token_count - 1) // SPEC.context
    starts = [number * whole // 8 * SPEC.context for number in range(8)]
    held_out = validation(shards, batch_size=3)
    assert held_out.sample_tokens == 128
    assert held_out.sampled_loss(make_step().loss) == pytest.approx(by_hand(shards, starts), rel=1e-5)


def test_the_sample_is_the_same_every_time(shards: Shards) -> None:
    losses = {validation(shards).sampled_loss(make_step().loss) for _ in range(2)}
    assert len(losses) == 1


def test_a_sample_as_large_as_the_split_is_the_split(shards: Shards) -> None:
    everything = validation(shards, sample_tokens=10**6)
    assert everything.sample_tokens == shards.split("validation").token_count - 1
    assert everything.sampled_loss(make_step().loss) == everything.full_loss(make_step().loss)


def test_bits_per_byte_counts_the_bytes_of_the_text(tmp_path: Path, shards: Shards) -> None:
    for file in shards.folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    description = json.loads((tmp_path / "shards.json").read_text())
    description["splits"]["validation"]["bytes"] *= 4  # as if a token stood for four bytes
    (tmp_path / "shards.json").write_text(json.dumps(description))
    tokens = shards.split("validation").token_count
    once = (tokens - 1) / tokens  # the first token is predicted from nothing, so it isn't predicted
    assert validation(shards).bits_per_byte(math.log(2)) == once
    assert validation(Shards(tmp_path)).bits_per_byte(math.log(2)) == once / 4
