"""Writes shards so that a killed run goes on where it stopped.

Ids and starts are appended to files; every `commit` syncs them and then replaces `progress.json`, which says how much
of each split counts. Whoever opens the folder again cuts the files back to that and asks `documents_done` where to go
on. `finish` turns progress into shards.json.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from glassbox.data.shards import (
    DESCRIPTION,
    ShardsDescription,
    SplitDescription,
    Tokens,
    damaged,
    id_dtype,
    starts_name,
)
from glassbox.errors import BadInput
from glassbox.workspace.atomic import write_file
from glassbox.workspace.faults import disk_faults_as_bad_input

PROGRESS = "progress.json"
TOKENS_PER_FILE = 2**27


Ids = Sequence[int] | NDArray[np.integer]


class PackedDocuments(NamedTuple):
    """Documents one after another, as they lie on disk.

    tokens: all ids, each document's end-of-text included. lengths: ids of each document. text_bytes: of all texts.
    """

    tokens: Tokens
    lengths: NDArray[np.int64]
    text_bytes: int


def pack(documents: Sequence[Ids], text_bytes: int, vocabulary_size: int, end_of_text: int | None) -> PackedDocuments:
    """Put documents' ids one after another, each begun by `end_of_text` unless that is None.

    Raises BadInput for a document without ids and ValueError for an id outside the vocabulary.
    """
    dtype = id_dtype(vocabulary_size)
    separators = 0 if end_of_text is None else 1
    lengths = np.fromiter((len(ids) for ids in documents), np.int64, len(documents))
    if not lengths.all():
        raise BadInput("A document became no token at all.", "Leave empty documents out of the corpus.")
    lengths += separators
    tokens = np.full(int(lengths.sum()), 0 if end_of_text is None else end_of_text, np.int64)
    for end, length, ids in zip(np.cumsum(lengths).tolist(), lengths.tolist(), documents, strict=True):
        tokens[end - length + separators : end] = ids
    if len(tokens) and not 0 <= int(tokens.min()) <= int(tokens.max()) < vocabulary_size:
        raise ValueError(f"ids from {tokens.min()} to {tokens.max()} in a vocabulary of {vocabulary_size}")
    return PackedDocuments(tokens.astype(dtype), lengths, text_bytes)


class Progress(BaseModel):
    """progress.json: what shards are being made, and how much of each split is safely on disk."""

    model_config = ConfigDict(extra="forbid")

    vocabulary_size: int
    tokenizer: str
    end_of_text: int | None
    tokens_per_file: int
    splits: dict[str, SplitDescription] = {}


class ShardWriter:
    """Writes a folder of shards; opened again on the same folder after a kill, it goes on from the last commit.

    with ShardWriter(folder, vocabulary_size=512, tokenizer="tales:1", end_of_text=0) as writer:
        writer.append("train", [[5, 6, 7], [8, 9]], text_bytes=14)
        writer.commit()
    # here shards.json has been written

    A block left by an exception keeps what was committed, without shards.json.
    """

    def __init__(
        self,
        folder: Path,
        *,
        vocabulary_size: int,
        tokenizer: str,
        end_of_text: int | None,
        tokens_per_file: int = TOKENS_PER_FILE,
    ) -> None:
        self.folder = folder
        self.dtype = id_dtype(vocabulary_size)
        self._progress = Progress(
            vocabulary_size=vocabulary_size,
            tokenizer=tokenizer,
            end_of_text=end_of_text,
            tokens_per_file=tokens_per_file,
        )
        with disk_faults_as_bad_input(folder):
            folder.mkdir(parents=True, exist_ok=True)
            self._take_up()
            self._writers = {
                name: _SplitWriter(folder, name, split, self.dtype, tokens_per_file)
                for name, split in self._progress.splits.items()
            }

    def documents_done(self, split: str) -> int:
        """Documents of the split that need not be appended again."""
        return self._writers[split].documents if split in self._writers else 0

    @property
    def text_bytes_done(self) -> int:
        """Bytes of text of all documents appended so far, those of earlier writers included."""
        return sum(writer.text_bytes for writer in self._writers.values())

    def append(self, split: str, documents: Sequence[Ids], text_bytes: int) -> None:
        """Append documents given by their ids without end-of-text, whose texts have `text_bytes` bytes together."""
        settings = self._progress
        self.append_packed(split, pack(documents, text_bytes, settings.vocabulary_size, settings.end_of_text))

    def append_packed(self, split: str, packed: PackedDocuments) -> None:
        """Append what `pack` made, perhaps in another process."""
        with disk_faults_as_bad_input(self.folder):
            if split not in self._writers:
                nothing = SplitDescription(tokens=0, documents=0, bytes=0, files=[])
                self._writers[split] = _SplitWriter(
                    self.folder, split, nothing, self.dtype, self._progress.tokens_per_file
                )
            self._writers[split].append(packed)

    def commit(self) -> None:
        """Make all that was appended so far safe from a kill and a power cut."""
        with disk_faults_as_bad_input(self.folder):
            for writer in self._writers.values():
                writer.sync()
            self._progress.splits = {name: writer.description() for name, writer in self._writers.items()}
            write_file(self.folder / PROGRESS, self._progress.model_dump_json(indent=2).encode())

    def finish(self) -> ShardsDescription:
        """Write the starts and shards.json; the shards are whole from here on."""
        self.commit()
        with disk_faults_as_bad_input(self.folder):
            for writer in self._writers.values():
                writer.finish()
            description = ShardsDescription(
                dtype=self.dtype.name, **self._progress.model_dump(exclude={"tokens_per_file"})
            )
            write_file(self.folder / DESCRIPTION, description.model_dump_json(indent=2).encode())
            for writer in self._writers.values():
                writer.starts_path.unlink()
            (self.folder / PROGRESS).unlink()
        return description

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self.finish()
        finally:
            for writer in self._writers.values():
                writer.close()

    def _take_up(self) -> None:
        """Read progress.json of an earlier, unfinished writer, if there is one."""
        path = self.folder / PROGRESS
        if (self.folder / DESCRIPTION).exists():
            raise BadInput(f"{self.folder} already holds finished shards.", "Write into an empty folder.")
        if not path.exists():
            return
        try:
            earlier = Progress.model_validate_json(path.read_bytes())
        except ValidationError as error:
            raise damaged(self.folder, f"{PROGRESS} cannot be read ({error.errors()[0]['msg']})") from error
        wanted, found = (json.dumps(each.model_dump(exclude={"splits"})) for each in (self._progress, earlier))
        if wanted != found:
            raise BadInput(
                f"{self.folder} holds unfinished shards made with {found}, which is not {wanted}.",
                "Finish those with their own settings, or write into an empty folder.",
            )
        self._progress = earlier


class _SplitWriter:
    """The files of one split, open for appending at the end of what was committed."""

    def __init__(
        self, folder: Path, name: str, committed: SplitDescription, dtype: np.dtype[np.generic], tokens_per_file: int
    ) -> None:
        self.folder, self.name, self.dtype, self.tokens_per_file = folder, name, dtype, tokens_per_file
        self.tokens, self.documents, self.text_bytes = committed.tokens, committed.documents, committed.bytes
        self.files = list(committed.files)
        self.starts_path = folder / f"{name}-documents.partial"
        self._starts = _open_cut(self.starts_path, committed.documents * 8)
        self._file: BinaryIO | None = None
        if self.files:
            in_last = committed.tokens - (len(self.files) - 1) * tokens_per_file
            self._file = _open_cut(folder / self.files[-1], in_last * dtype.itemsize)

    def append(self, packed: PackedDocuments) -> None:
        starts = self.tokens + np.cumsum(packed.lengths) - packed.lengths
        self._starts.write(starts.astype("<i8").tobytes())
        tokens = packed.tokens.astype(self.dtype, copy=False)
        while len(tokens):
            room = len(self.files) * self.tokens_per_file - self.tokens
            if not room:
                self._next_file()
                continue
            assert self._file is not None
            self._file.write(tokens[:room].tobytes())
            self.tokens += len(tokens[:room])
            tokens = tokens[room:]
        self.documents += len(packed.lengths)
        self.text_bytes += packed.text_bytes

    def _next_file(self) -> None:
        if self._file is not None:
            _sync(self._file)
            self._file.close()
        self.files.append(f"{self.name}-{len(self.files):05d}.bin")
        self._file = _open_cut(self.folder / self.files[-1], 0)

    def sync(self) -> None:
        for file in (self._starts, self._file):
            if file is not None:
                _sync(file)

    def description(self) -> SplitDescription:
        return SplitDescription(
            tokens=self.tokens, documents=self.documents, bytes=self.text_bytes, files=list(self.files)
        )

    def finish(self) -> None:
        """Turn the raw starts into a .npy file, which is the same bytes behind a header."""
        self.close()
        path = self.folder / starts_name(self.name)
        starts = np.memmap(self.starts_path, "<i8", mode="r") if self.documents else np.empty(0, "<i8")
        with path.open("wb") as file:
            np.save(file, starts, allow_pickle=False)
            _sync(file)

    def close(self) -> None:
        for file in (self._starts, self._file):
            if file is not None:
                file.close()


def _open_cut(path: Path, size: int) -> BinaryIO:
    """Open for appending at `size`, dropping what lies behind. Raises BadInput if the file is shorter than that."""
    file = path.open("r+b" if path.exists() else "w+b")
    if os.fstat(file.fileno()).st_size < size:
        file.close()
        raise damaged(path.parent, f"{path.name} is shorter than {PROGRESS} says")
    file.truncate(size)
    file.seek(size)
    return file


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())
