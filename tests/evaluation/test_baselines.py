"""Baselines are what the well-known tools give on the same bytes."""

from __future__ import annotations

import gzip
import lzma
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glassbox.data.shard_writer import ShardWriter
from glassbox.data.shards import Shards
from glassbox.evaluation.baselines import gzip_bits, text_of, unigram_bits, xz_bits, xz_bits_after
from glassbox.tokenizers.characters import CharacterTokenizer


@given(st.lists(st.binary(max_size=2_000), max_size=5))
def test_gzip_and_xz_cost_what_the_standard_library_makes_of_the_whole(pieces: list[bytes]) -> None:
    whole = b"".join(pieces)
    assert gzip_bits(pieces) == 8 * len(gzip.compress(whole, 9, mtime=0))
    assert xz_bits(pieces) == 8 * len(lzma.compress(whole, preset=9 | lzma.PRESET_EXTREME))


def test_text_that_was_read_before_costs_next_to_nothing() -> None:
    text = bytes(range(256)) * 8
    assert xz_bits_after([text], [text]) < xz_bits([text]) / 4


def test_a_unigram_model_charges_each_token_by_how_often_training_had_it(tmp_path: Path) -> None:
    with ShardWriter(tmp_path, vocabulary_size=3, tokenizer="test:1", end_of_text=None) as writer:
        writer.append("train", [[0, 0, 0, 1, 1]], text_bytes=5)
        writer.append("validation", [[2, 0, 1, 2]], text_bytes=4)
    shards = Shards(tmp_path)
    bits = unigram_bits(shards.split("train"), shards.split("validation"), 3)
    assert bits == pytest.approx(-math.log2(4 / 8) - math.log2(3 / 8) - math.log2(1 / 8))  # the first is not predicted


def test_the_text_of_a_split_is_every_document_without_what_parts_them(tmp_path: Path) -> None:
    texts = ["ab", "ba", "b"]
    tokenizer = CharacterTokenizer.train(texts)
    with ShardWriter(
        tmp_path, vocabulary_size=tokenizer.vocabulary_size, tokenizer="test:1", end_of_text=tokenizer.end_of_text
    ) as writer:
        writer.append("validation", tokenizer.encode_batch(texts), text_bytes=5)
    assert b"".join(text_of(Shards(tmp_path).split("validation"), tokenizer)) == b"abbab"
