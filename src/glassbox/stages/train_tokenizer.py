"""Train a tokenizer on a corpus: byte pairs, or characters.

Byte pairs are learned from the train split alone (from all documents if the corpus isn't split). A character tokenizer
takes the characters of every split, because it can't encode any other. How many bytes a token stands for is measured on
the validation split, if there is one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from glassbox.stages.interface import Context, Slot, Stage, StageSettings, Stopped

if TYPE_CHECKING:
    from glassbox.tokenizers.bytepair_training import LearnedMerge
    from glassbox.tokenizers.interface import Tokenizer

DOCUMENTS_AT_ONCE = 256


class Settings(StageSettings):
    kind: Literal["bytepair", "characters"] = Field(
        default="bytepair", description="Byte pairs encode any text; characters are one id for each in the corpus."
    )
    vocabulary_size: int = Field(
        default=4096,
        ge=257,
        le=1_000_000,
        description="Byte pairs: how many ids, counting 256 bytes, the merges and the special tokens.",
    )
    pattern: Literal["gpt2", "gpt4"] = Field(
        default="gpt4", description="Byte pairs: how text is split before merging; gpt4 takes digits by threes."
    )
    trainer: Literal["python", "huggingface", "rustbpe"] = Field(
        default="python",
        description="Byte pairs: who learns the merges. The first two learn the same; rustbpe is the fastest on "
        "gigabytes and breaks ties otherwise.",
    )
    special_tokens: tuple[str, ...] | None = Field(
        default=None,
        description="Tokens that no text can spell; the first one parts documents. Left out: <|endoftext|> for byte "
        "pairs, <|bos|> for characters.",
    )


def run(settings: Settings, context: Context) -> dict[str, object]:
    from glassbox.data.corpus import split_names

    corpus = context.input("corpus")
    splits = split_names(corpus.folder)
    learn_from = [name for name in splits if name in ("train", "documents") or settings.kind == "characters"]
    try:
        documents = _Documents(corpus.folder, learn_from, context, "reading")
        if settings.kind == "characters":
            tokenizer = _train_characters(settings, documents)
        else:
            tokenizer = _train_byte_pairs(settings, documents, context)
        measured = "validation" if "validation" in splits else None
        bytes_per_token = _bytes_per_token(tokenizer, corpus.folder, measured, context) if measured else None
    except Stopped:
        return {}
    ran_out = settings.kind == "bytepair" and tokenizer.vocabulary_size < settings.vocabulary_size
    if ran_out:
        context.log(
            f"The text ran out of pairs to merge: the vocabulary has {tokenizer.vocabulary_size:,} ids, "
            f"not {settings.vocabulary_size:,}."
        )
    with context.output("tokenizer") as draft:
        tokenizer.save(draft.folder)
        draft.describe(
            kind=settings.kind, vocabulary_size=tokenizer.vocabulary_size, special_tokens=dict(tokenizer.special_tokens)
        )
        if bytes_per_token is not None:
            draft.describe(bytes_per_token=bytes_per_token)
    return {
        "kind": settings.kind,
        "vocabulary_size": tokenizer.vocabulary_size,
        "ran_out_of_merges": ran_out,
        "special_tokens": dict(tokenizer.special_tokens),
        "bytes_per_token": bytes_per_token,
    }


class _Documents:
    """The texts of some splits as a stream that shows how far it is."""

    def __init__(self, folder: Path, splits: Iterable[str], context: Context, note: str) -> None:
        from glassbox.data.corpus import split_size

        self._folder, self._splits, self._context, self._note = folder, list(splits), context, note
        self.bytes = sum(split_size(folder, name).text_bytes for name in self._splits)

    def __iter__(self) -> Iterator[str]:
        from glassbox.data.corpus import read_documents

        done = 0
        for name in self._splits:
            for document in read_documents(self._folder, name):
                if self._context.stop_requested:
                    raise Stopped
                yield document.text
                done += len(document.text.encode())
                self._context.progress(done, self.bytes, unit="bytes", note=self._note)


def _train_characters(settings: Settings, documents: _Documents) -> Tokenizer:
    from glassbox.tokenizers.characters import BEGINNING, CharacterTokenizer

    special_tokens = (BEGINNING,) if settings.special_tokens is None else settings.special_tokens
    return CharacterTokenizer.train(documents, special_tokens)


def _train_byte_pairs(settings: Settings, documents: _Documents, context: Context) -> Tokenizer:
    from glassbox.tokenizers.bytepair_trainers import train
    from glassbox.tokenizers.interface import END_OF_TEXT
    from glassbox.tokenizers.splitting import pattern_named

    def watch(merge: LearnedMerge) -> None:
        if context.stop_requested:
            raise Stopped
        context.progress(merge.token + 1, settings.vocabulary_size, unit="ids", note="merging")

    return train(
        documents,
        settings.vocabulary_size,
        pattern=pattern_named(settings.pattern),
        special_tokens=(END_OF_TEXT,) if settings.special_tokens is None else settings.special_tokens,
        trainer=settings.trainer,
        watch=watch,
    )


def _bytes_per_token(tokenizer: Tokenizer, corpus: Path, split: str, context: Context) -> float | None:
    """How many bytes of text a token stands for; None if the split has no text."""
    documents = _Documents(corpus, [split], context, f"measuring on {split}")
    texts, tokens = iter(documents), 0
    while batch := list(islice(texts, DOCUMENTS_AT_ONCE)):
        tokens += sum(map(len, tokenizer.encode_batch(batch)))
    return documents.bytes / tokens if tokens else None


STAGE = Stage(
    settings=Settings,
    takes={"corpus": Slot("corpus", "the text to learn from")},
    makes={"tokenizer": Slot("tokenizer", "the learned vocabulary")},
    run=run,
)
