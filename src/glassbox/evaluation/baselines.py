"""What anyone gets without a model: honest marks to measure bits per byte against.

- unigram: how often each token stood in the training text, nothing else.
- gzip, xz: general compressors at their strongest, on the very same held-out bytes, knowing nothing beforehand.
- xz after the training text: what xz adds for the held-out bytes when it has read the training text first, as the
  model has. Its window is 64 MiB, so of a longer text it has only the last part in sight.
"""

from __future__ import annotations

import lzma
import zlib
from collections.abc import Iterable, Iterator

import numpy as np

from glassbox.data.shards import ShardSplit
from glassbox.tokenizers import Tokenizer

CHUNK = 2**20  # tokens looked at in one go


def unigram_bits(train: ShardSplit, split: ShardSplit, vocabulary_size: int) -> float:
    """Bits for every token of `split` after the first, from the counts in `train`, each raised by one (Laplace)."""
    counts = np.ones(vocabulary_size)
    for ids in _chunks(train):
        counts += np.bincount(ids, minlength=vocabulary_size)
    bits = -np.log2(counts / counts.sum())
    return float(sum(bits[ids].sum() for ids in _chunks(split)) - bits[split.tokens[0:1]].sum())


def gzip_bits(pieces: Iterable[bytes]) -> int:
    """Bits of the text after gzip -9."""
    squeeze = zlib.compressobj(9, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    return 8 * (sum(len(squeeze.compress(piece)) for piece in pieces) + len(squeeze.flush()))


def xz_bits(pieces: Iterable[bytes]) -> int:
    """Bits of the text after xz -9 --extreme."""
    squeeze = lzma.LZMACompressor(preset=9 | lzma.PRESET_EXTREME)
    return 8 * (sum(len(squeeze.compress(piece)) for piece in pieces) + len(squeeze.flush()))


def xz_bits_after(first: Iterable[bytes], then: Iterable[bytes]) -> int:
    """Bits that xz adds for `then` after `first`: the difference of compressing both and the first alone."""
    known = b"".join(first)
    return xz_bits([known, *then]) - xz_bits([known])


def text_of(split: ShardSplit, tokenizer: Tokenizer) -> Iterator[bytes]:
    """The bytes that a split's tokens stand for, piece by piece; the tokens between documents stand for none."""
    for ids in _chunks(split):
        yield tokenizer.decode_bytes(ids[ids != tokenizer.end_of_text].tolist())


def _chunks(split: ShardSplit) -> Iterator[np.ndarray]:
    for start in range(0, len(split.tokens), CHUNK):
        yield split.tokens[start : start + CHUNK]
