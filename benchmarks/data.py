"""How fast batches are drawn, duplicates are found and a corpus is split, beside the usual way to do each.

    python benchmarks/data.py                  (needs torch and datasketch: pip install datasketch)

Each comparison alternates between the two in one run and prints the medians; ratios travel between machines, times
don't. Batches: against drawing random windows from a memory map row by row, as nanoGPT does, at its CPU setting of
12 windows of 64 tokens and at 64 of 256. Duplicates: against datasketch's MinHash with as many permutations.
"""

from __future__ import annotations

import random
import re
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from datasketch import MinHash  # pyright: ignore[reportMissingImports]  (for tests alone)

from glassbox.data.batches import Batches
from glassbox.data.corpus import CorpusWriter
from glassbox.data.documents import Document
from glassbox.data.duplicates import PLACES, fingerprint
from glassbox.data.shard_writer import ShardWriter
from glassbox.data.shards import Shards
from glassbox.data.sources.embedded import python_source
from glassbox.data.split import Shares, split_by_documents

ROUNDS = 9
TOKENS = 1_000_000


def medians(ours: Callable[[], object], theirs: Callable[[], object]) -> tuple[float, float]:
    """Median seconds of each, called in turns."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS):
        for run, kept in zip((ours, theirs), times, strict=True):
            start = time.perf_counter()
            run()
            kept.append(time.perf_counter() - start)
    return statistics.median(times[0]), statistics.median(times[1])


def batches(folder: Path, batch_size: int, context: int) -> None:
    data = np.memmap(folder / "train-00000.bin", np.uint16, mode="r")
    drawn = Batches(Shards(folder).split("train"), batch_size, context, seed=0)

    def ours() -> None:
        for step in range(200):
            inputs, targets = drawn.batch(step)
            torch.from_numpy(inputs), torch.from_numpy(targets)

    def theirs() -> None:
        for _ in range(200):
            starts = torch.randint(len(data) - context, (batch_size,))
            torch.stack([torch.from_numpy(data[start : start + context].astype(np.int64)) for start in starts])
            torch.stack([torch.from_numpy(data[start + 1 : start + 1 + context].astype(np.int64)) for start in starts])

    mine, plain = (seconds / 200 * 1e6 for seconds in medians(ours, theirs))
    print(f"batch {batch_size} x {context}: {mine:.0f} us, plain {plain:.0f} us, {plain / mine:.2f} times as fast")


def texts(size: int) -> list[str]:
    """About `size` bytes of the standard library's lines, in documents of 20 to 120 lines."""
    rng = random.Random(0)
    lines = [line for document in python_source() for line in document.text.split("\n")]
    found: list[str] = []
    while size > 0:
        found.append("\n".join(rng.choice(lines) for _ in range(rng.randrange(20, 120))))
        size -= len(found[-1])
    return found


def duplicates(documents: list[str]) -> None:
    word = re.compile(r"\w+")

    def theirs() -> None:
        for text in documents:
            words = word.findall(text.casefold())
            MinHash(num_perm=PLACES).update_batch({" ".join(words[i : i + 5]).encode() for i in range(len(words) - 4)})

    mine, library = medians(lambda: [fingerprint(text) for text in documents], theirs)
    size = sum(map(len, documents)) / 1e6
    print(f"fingerprints: {size / mine:.1f} MB/s, datasketch {size / library:.1f} MB/s, ratio {library / mine:.2f}")


def split(documents: list[str], folder: Path) -> None:
    with CorpusWriter(folder) as writer:
        for text in documents:
            writer.append(Document(text, "benchmark"))
    start = time.perf_counter()
    split_by_documents(folder, folder, Shares(0.05, 0.05), seed=0, similarity=0.8, progress=lambda done, total: None)
    seconds = time.perf_counter() - start
    size = writer.text_bytes / 1e6
    print(
        f"split of {size:.0f} MB: {seconds:.1f} s, {size / seconds:.1f} MB/s, {len(documents) / seconds:,.0f} texts/s"
    )


def main() -> None:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ids = np.random.default_rng(0).integers(1, 50_000, TOKENS)
        with ShardWriter(folder / "shards", vocabulary_size=50_000, tokenizer="none:1", end_of_text=0) as writer:
            writer.append("train", [ids], text_bytes=4 * TOKENS)
        batches(folder / "shards", 12, 64)
        batches(folder / "shards", 64, 256)
        duplicates(texts(2_000_000))
        split(texts(100_000_000), folder / "corpus")


if __name__ == "__main__":
    main()
