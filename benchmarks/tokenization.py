"""Byte-pair training and encoding beside Hugging Face's library, tiktoken and rustbpe, in one run.

    python benchmarks/tokenization.py                     # on the standard library's documentation
    python benchmarks/tokenization.py --text FILE         # on a text of yours, such as tinyshakespeare

Every round runs all the competitors one after the other, and the best round of each counts, so that a busy machine
slows all of them alike. Merges and ids are compared before anything is timed.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import tiktoken
import tokenizers
from rustbpe import Tokenizer as RustBPE  # pyright: ignore[reportAttributeAccessIssue]  (its types lack it)
from tokenizers import pre_tokenizers, trainers

from glassbox.tokenizers.bytepair import BytePairTokenizer
from glassbox.tokenizers.bytepair_trainers import train
from glassbox.tokenizers.splitting import PATTERNS, SplittingPattern


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", type=Path, help="a UTF-8 file; by default the standard library's documentation")
    parser.add_argument("--pattern", choices=PATTERNS, default="gpt2", help="how text is split before merging")
    parser.add_argument("--rounds", type=int, default=7, help="how often everything is timed")
    options = parser.parse_args()
    text = options.text.read_text(encoding="utf-8") if options.text else standard_library_documentation()
    pattern = PATTERNS[options.pattern]
    size = len(text.encode())
    print(f"{size:,} bytes of text, pattern {pattern.name}, best of {options.rounds} rounds")

    for vocabulary_size in (512, 4096):
        seconds = training(text, pattern, vocabulary_size, options.rounds)
        print(f"\ntraining a vocabulary of {vocabulary_size:,}: seconds, and as a part of Hugging Face's")
        for name, taken in seconds.items():
            print(f"  {name:24}{taken:10.3f}{taken / seconds['Hugging Face']:10.2f}")

    tokenizer = train([text], 4096, pattern=pattern, special_tokens=())
    seconds = encoding(tokenizer, text, options.rounds)
    print("\nencoding at vocabulary 4,096: MB/s, million tokens/s, and speed as a part of tiktoken's")
    tokens = len(tokenizer.encode(text))
    for name, taken in seconds.items():
        figures = f"{size / taken / 1e6:10.2f}{tokens / taken / 1e6:10.2f}{seconds['tiktoken'] / taken:10.2f}"
        print(f"  {name:24}{figures}")

    pieces = pattern.split(text[:100_000])
    taken = best([lambda: [tokenizer.steps(piece) for piece in pieces]], options.rounds)[0]
    shown = sum(len(tokenizer.encode(piece)) for piece in pieces)
    print(f"\nteaching mode, every merge step kept: {shown / taken:,.0f} tokens/s")


def training(text: str, pattern: SplittingPattern, vocabulary_size: int, rounds: int) -> dict[str, float]:
    """Seconds that each trainer takes."""
    empty = BytePairTokenizer([], pattern, ()).to_tokenizer_json()

    def by_huggingface() -> list[list[str]]:
        library = tokenizers.Tokenizer.from_str(empty)
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        library.train_from_iterator(
            [text], trainers.BpeTrainer(vocab_size=vocabulary_size, initial_alphabet=alphabet, show_progress=False)
        )
        return json.loads(library.to_str())["model"]["merges"]

    def by_us() -> BytePairTokenizer:
        return train([text], vocabulary_size, pattern=pattern, special_tokens=())

    def by_rustbpe() -> None:
        RustBPE().train_from_iterator([text], vocabulary_size, pattern=pattern.expression)

    if json.loads(by_us().to_tokenizer_json())["model"]["merges"] != by_huggingface():
        raise SystemExit("Our merges differ from Hugging Face's: the times say nothing.")
    names = ("Hugging Face", "Glassbox, pure Python", "rustbpe")
    return dict(zip(names, best([by_huggingface, by_us, by_rustbpe], rounds), strict=True))


def encoding(tokenizer: BytePairTokenizer, text: str, rounds: int) -> dict[str, float]:
    """Seconds that each encoder takes for the text, as one document."""
    expression, merges, special = tokenizer.pattern.expression, tokenizer.merges, ()
    ranks = {tokenizer.token_bytes(token): token for token in range(tokenizer.vocabulary_size)}
    openai = tiktoken.Encoding("same", pat_str=expression, mergeable_ranks=ranks, special_tokens={})
    library = tokenizers.Tokenizer.from_str(tokenizer.to_tokenizer_json())
    ways: dict[str, Callable[[], list[int]]] = {
        "tiktoken": lambda: openai.encode_ordinary(text),
        "Glassbox, fast path": lambda: tokenizer.encode_batch([text])[0],
        "Glassbox, Python, cached": lambda: tokenizer.encode(text),
        "Glassbox, Python, cold": lambda: BytePairTokenizer(merges, tokenizer.pattern, special).encode(text),
        "Hugging Face": lambda: library.encode_batch_fast([text])[0].ids,
    }
    expected = ways["tiktoken"]()
    for name, way in ways.items():
        if way() != expected:
            raise SystemExit(f"{name} gives other ids than tiktoken: the times say nothing.")
    return dict(zip(ways, best(list(ways.values()), rounds), strict=True))


def best(competitors: list[Callable[[], object]], rounds: int) -> list[float]:
    """The shortest time of each competitor over rounds in which all of them run."""
    shortest = [float("inf")] * len(competitors)
    for _ in range(rounds):
        for place, run in enumerate(competitors):
            start = time.perf_counter()
            run()
            shortest[place] = min(shortest[place], time.perf_counter() - start)
    return shortest


def standard_library_documentation() -> str:
    """The language reference that every Python has, about half a megabyte."""
    from pydoc_data.topics import topics

    return "\n\n".join(topics.values())


if __name__ == "__main__":
    main()
