"""Turn a split corpus into shards of token ids.

Several processes encode a large corpus, a piece of text each; what they made is written in the corpus's order. A run
that was killed goes on from the last commit, a few seconds back.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pydantic import Field, JsonValue

from glassbox.errors import BadInput
from glassbox.stages.interface import Context, Slot, Stage, StageSettings, Stopped

if TYPE_CHECKING:
    from glassbox.data.documents import Document
    from glassbox.data.shard_writer import PackedDocuments, ShardWriter
    from glassbox.tokenizers.interface import Tokenizer

PIECE_CHARACTERS = 2**19
PIECE_DOCUMENTS = 4096
WORTH_PROCESSES = 32 * 2**20
"""Bytes of text from which on starting processes (about a second) pays."""
SECONDS_BETWEEN_COMMITS = 5.0


class Settings(StageSettings):
    processes: int = Field(
        default=0, ge=0, le=256, description="Processes that encode; 0 takes one for each core if the corpus is large."
    )


def run(settings: Settings, context: Context) -> dict[str, object]:
    from glassbox.data.corpus import split_names, split_size
    from glassbox.data.shard_writer import ShardWriter
    from glassbox.data.shards import DESCRIPTION, Shards
    from glassbox.tokenizers import load

    corpus, tokenizer_artifact = context.input("corpus"), context.input("tokenizer")
    splits = [name for name in split_names(corpus.folder) if name != "documents"]
    sizes = {name: split_size(corpus.folder, name) for name in splits}
    if not splits or not all(size.documents for size in sizes.values()):
        raise BadInput(
            f"The corpus {corpus.reference} has no documents in a split named train, validation or test.",
            "Split it with `glassbox split`, and tokenize the result.",
        )
    text_bytes = sum(size.text_bytes for size in sizes.values())
    processes = settings.processes or (os.cpu_count() or 1 if text_bytes >= WORTH_PROCESSES else 1)
    tokenizer = load(tokenizer_artifact.folder)
    if tokenizer.end_of_text is None:
        context.log("The tokenizer has no end-of-text token: nothing marks where a document ends.")

    work = context.checkpoints / "shards"
    if not (work / DESCRIPTION).exists():  # else an earlier attempt lacked only the publishing
        with _Encoders(tokenizer, tokenizer_artifact.folder, processes) as encoders:
            writer = ShardWriter(
                work,
                vocabulary_size=tokenizer.vocabulary_size,
                tokenizer=tokenizer_artifact.reference,
                end_of_text=tokenizer.end_of_text,
            )
            try:
                with writer:
                    _encode_corpus(corpus.folder, splits, text_bytes, writer, encoders, context)
            except Stopped:
                return {}  # what was made so far is safe

    description = Shards(work).description
    facts: dict[str, JsonValue] = {
        name: {"tokens": split.tokens, "documents": split.documents, "bytes": split.bytes}
        for name, split in description.splits.items()
    }
    with context.output("shards") as draft:
        for file in description.files:
            _link(work / file, draft.folder / file)
        draft.describe(vocabulary_size=description.vocabulary_size, splits=facts)
    tokens = sum(split.tokens for split in description.splits.values())
    return {
        "vocabulary_size": description.vocabulary_size,
        "splits": facts,
        "bytes_per_token": text_bytes / tokens,
        "processes": processes,
    }


def _encode_corpus(
    corpus: Path, splits: list[str], text_bytes: int, writer: ShardWriter, encoders: _Encoders, context: Context
) -> None:
    """Append every document of the splits that the writer doesn't have yet. Raises Stopped if asked to stop."""
    from glassbox.data.corpus import read_documents

    done = writer.text_bytes_done
    committed = time.monotonic()
    for split in splits:
        finished = writer.documents_done(split)
        if finished:
            context.log(f"Going on after {finished:,} documents of {split} that are on disk.")
        for packed in encoders.encode(_pieces(read_documents(corpus, split, skip=finished))):
            writer.append_packed(split, packed)
            done += packed.text_bytes
            context.progress(done, text_bytes, unit="bytes", note=f"encoding {split}")
            if context.stop_requested:
                writer.commit()
                raise Stopped
            if time.monotonic() - committed > SECONDS_BETWEEN_COMMITS:
                writer.commit()
                committed = time.monotonic()


def _pieces(documents: Iterable[Document]) -> Iterator[list[Document]]:
    """Documents in lists that are worth sending to another process."""
    piece: list[Document] = []
    size = 0
    for document in documents:
        piece.append(document)
        size += len(document.text)
        if size >= PIECE_CHARACTERS or len(piece) >= PIECE_DOCUMENTS:
            yield piece
            piece, size = [], 0
    if piece:
        yield piece


class _Encoders:
    """Encodes pieces in this process, or in several others; the results come in the order of the pieces."""

    def __init__(self, tokenizer: Tokenizer, tokenizer_folder: Path, processes: int) -> None:
        self._tokenizer = tokenizer
        self._processes = processes
        self._pool: ProcessPoolExecutor | None = None
        if processes > 1:
            self._pool = ProcessPoolExecutor(
                processes,
                mp_context=multiprocessing.get_context("spawn"),  # a fork would copy the locks of running threads
                initializer=_start_worker,
                initargs=(tokenizer_folder,),
            )

    def encode(self, pieces: Iterable[list[Document]]) -> Iterator[PackedDocuments]:
        """Raises BadInput for a document that the tokenizer refuses."""
        if self._pool is None:
            for piece in pieces:
                yield _unwrap(_encode(self._tokenizer, piece))
            return
        waiting: deque[Future[_Encoded]] = deque()
        try:
            for piece in pieces:
                waiting.append(self._pool.submit(_encode_in_worker, piece))
                if len(waiting) > 2 * self._processes:  # so that memory holds a few pieces, not the corpus
                    yield _unwrap(waiting.popleft().result())
            while waiting:
                yield _unwrap(waiting.popleft().result())
        except BrokenProcessPool as error:
            raise BadInput(
                "A process that encoded text was ended from outside, perhaps for want of memory.",
                "Resume the run; fewer processes (--processes) need less memory.",
            ) from error

    def __enter__(self) -> _Encoders:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)


class _Encoded(NamedTuple):
    """What a process hands back: packed ids, or the two sentences of a BadInput."""

    packed: PackedDocuments | None
    refused: tuple[str, str] | None


def _unwrap(encoded: _Encoded) -> PackedDocuments:
    if encoded.packed is None:
        assert encoded.refused is not None
        raise BadInput(*encoded.refused)
    return encoded.packed


def _encode(tokenizer: Tokenizer, piece: list[Document]) -> _Encoded:
    from glassbox.data.shard_writer import pack

    try:
        ids = tokenizer.encode_arrays([document.text for document in piece])
        size = sum(len(document.text.encode()) for document in piece)
        return _Encoded(pack(ids, size, tokenizer.vocabulary_size, tokenizer.end_of_text), None)
    except BadInput as error:
        if len(piece) == 1:
            return _Encoded(
                None, (f"The document from {piece[0].source} can't be encoded. {error.problem}", error.remedy)
            )
    refusals = (_encode(tokenizer, [document]) for document in piece)  # one of them is to blame
    return next(encoded for encoded in refusals if encoded.packed is None)


_worker_tokenizer: Tokenizer | None = None


def _start_worker(tokenizer_folder: Path) -> None:
    """Load the tokenizer once a process; leave Ctrl-C to the parent, and end with it if it is killed."""
    global _worker_tokenizer
    from glassbox.tokenizers import load

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _worker_tokenizer = load(tokenizer_folder)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _encode_in_worker(piece: list[Document]) -> _Encoded:
    assert _worker_tokenizer is not None
    return _encode(_worker_tokenizer, piece)


def _link(source: Path, target: Path) -> None:
    """The same file under a second name, so that an attempt that is killed while publishing has lost nothing."""
    try:
        target.hardlink_to(source)
    except OSError:  # a file system without hard links
        shutil.copyfile(source, target)


STAGE = Stage(
    settings=Settings,
    takes={
        "corpus": Slot("corpus", "the split corpus to encode"),
        "tokenizer": Slot("tokenizer", "the tokenizer that turns its text into ids"),
    },
    makes={"shards": Slot("shards", "token ids of each split, ready for training")},
    run=run,
)
