"""Train a byte-pair tokenizer on documents, by our own code or by one of two libraries.

- `python`: `bytepair_training`, in pure Python, and still faster than Hugging Face's library on a corpus of megabytes.
- `huggingface`: the same merges from Hugging Face's library.
- `rustbpe`: the fastest (https://github.com/karpathy/rustbpe). It breaks ties between equally frequent pairs by the
  bytes' own order instead of GPT-2's, so that some merges differ; the tokenizer is as good.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

from glassbox.errors import BadInput
from glassbox.tokenizers import tokenizer_json
from glassbox.tokenizers.byte_alphabet import IDS_BY_BYTE
from glassbox.tokenizers.bytepair import BLANKS_IN_A_ROW, BytePairTokenizer, has_endless_blanks
from glassbox.tokenizers.bytepair_merging import Pair, merge
from glassbox.tokenizers.bytepair_training import LearnedMerge, count_pieces, learn_merges
from glassbox.tokenizers.interface import END_OF_TEXT, check_special_tokens, check_text
from glassbox.tokenizers.splitting import GPT4, SplittingPattern

BYTES = 256
LARGEST_VOCABULARY = 1_000_000  # `learn_merges` writes ids as characters, of which there are 1,114,112

Watcher = Callable[[LearnedMerge], None]


def train(
    documents: Iterable[str],
    vocabulary_size: int,
    *,
    pattern: SplittingPattern = GPT4,
    special_tokens: Sequence[str] = (END_OF_TEXT,),
    trainer: str = "python",
    watch: Watcher | None = None,
) -> BytePairTokenizer:
    """A tokenizer of `vocabulary_size` ids (256 bytes, merges, special tokens) learned from a stream of documents.

    Text that has no two neighbours left to merge gives a smaller vocabulary. `watch` is told of each merge as it is
    learned, by the trainer `python` only.
    Raises BadInput if the vocabulary has no room for the bytes and special tokens, or if there is no text.
    """
    check_special_tokens(special_tokens)
    smallest = BYTES + len(special_tokens)
    if not smallest <= vocabulary_size <= LARGEST_VOCABULARY:
        raise BadInput(
            f"The vocabulary should have {smallest:,} to {LARGEST_VOCABULARY:,} ids (256 bytes and "
            f"{len(special_tokens):,} special tokens come first), not {vocabulary_size:,}.",
            f"Choose a size from {smallest:,} on; 4,096 suits a small corpus.",
        )
    if trainer not in TRAINERS:
        raise BadInput(f"There is no trainer {trainer!r}.", f"Choose one of {', '.join(TRAINERS)}.")
    number = vocabulary_size - smallest
    text = _Text(documents)
    merges = TRAINERS[trainer](text, number, pattern, watch)
    if not text.seen:
        raise BadInput("The corpus is empty: there is no text to learn from.", "Collect a corpus with text in it.")
    return BytePairTokenizer(merges, pattern, special_tokens)


class _Text:
    """A stream of documents that are Unicode, which knows whether there was any text in it."""

    def __init__(self, documents: Iterable[str]) -> None:
        self._documents = documents
        self.seen = False

    def __iter__(self) -> Iterator[str]:
        for document in self._documents:
            check_text(document)
            self.seen = self.seen or bool(document)
            yield document


def _by_python(text: _Text, number: int, pattern: SplittingPattern, watch: Watcher | None) -> list[Pair]:
    merges: list[Pair] = []
    for learned in islice(learn_merges(count_pieces(text, pattern)), number):
        merges.append((learned.left, learned.right))
        if watch:
            watch(learned)
    return merges


def _by_huggingface(text: _Text, number: int, pattern: SplittingPattern, _: Watcher | None) -> list[Pair]:
    from tokenizers import Tokenizer, pre_tokenizers, trainers

    tokenizer = Tokenizer.from_str(BytePairTokenizer([], pattern, ()).to_tokenizer_json())
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    settings = trainers.BpeTrainer(vocab_size=BYTES + number, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(text, settings)
    return tokenizer_json.read(json.loads(tokenizer.to_str()), "what Hugging Face's trainer made").merges


def _by_rustbpe(text: _Text, number: int, pattern: SplittingPattern, _: Watcher | None) -> list[Pair]:
    from rustbpe import Tokenizer  # pyright: ignore[reportAttributeAccessIssue]  (compiled, without types)

    learner = Tokenizer()
    learner.train_from_iterator(map(_without_endless_blanks, text), BYTES + number, pattern=pattern.expression)
    # It gives the bytes of each new token. Merged as far as the earlier merges go, they are the pair that it came from.
    made_by: dict[Pair, int] = {}
    for data, rank in learner.get_mergeable_ranks()[BYTES:]:
        left, right = merge(list(bytes(data).translate(IDS_BY_BYTE)), made_by)
        made_by[left, right] = rank
    return list(made_by)


def _without_endless_blanks(document: str) -> str:
    if has_endless_blanks(document):
        raise BadInput(
            f"A document holds {BLANKS_IN_A_ROW:,} blanks in a row or more, over which the trainer rustbpe may break.",
            "Use the trainer python, or take the blanks out.",
        )
    return document


TRAINERS: dict[str, Callable[[_Text, int, SplittingPattern, Watcher | None], list[Pair]]] = {
    "python": _by_python,
    "huggingface": _by_huggingface,
    "rustbpe": _by_rustbpe,
}
