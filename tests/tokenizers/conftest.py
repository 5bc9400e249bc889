"""Tokenizers trained on a small text of many kinds, ours and the same in other libraries."""

from __future__ import annotations

import pytest
import tiktoken
import tokenizers
from hard_texts import CORPUS

from glassbox.tokenizers.bytepair import BytePairTokenizer
from glassbox.tokenizers.bytepair_trainers import train
from glassbox.tokenizers.splitting import PATTERNS


@pytest.fixture(scope="session", params=list(PATTERNS))
def bytepair(request: pytest.FixtureRequest) -> BytePairTokenizer:
    """Ours, by each splitting pattern."""
    return train(CORPUS, 256 + 300 + 2, pattern=PATTERNS[request.param], special_tokens=("<|endoftext|>", "<|user|>"))


@pytest.fixture(scope="session")
def same_in_tiktoken(bytepair: BytePairTokenizer) -> tiktoken.Encoding:
    """OpenAI's library with the same pattern and merges."""
    ordinary = range(bytepair.vocabulary_size - len(bytepair.special_tokens))
    return tiktoken.Encoding(
        "reference",
        pat_str=bytepair.pattern.expression,
        mergeable_ranks={bytepair.token_bytes(token): token for token in ordinary},
        special_tokens=dict(bytepair.special_tokens),
    )


@pytest.fixture(scope="session")
def same_in_huggingface(bytepair: BytePairTokenizer) -> tokenizers.Tokenizer:
    """Hugging Face's library with our tokenizer.json."""
    return tokenizers.Tokenizer.from_str(bytepair.to_tokenizer_json())
