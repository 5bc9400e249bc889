"""Token ids on disk, read through a memory map as one long stream a split.

    train-00000.bin, train-00001.bin, ...   little-endian uint16 (vocabulary of at most 65,536) or uint32
    train-documents.npy                     int64: where in the stream each document starts
    shards.json                             what the rest is; written last, so that its presence means "whole"

A document begins with the tokenizer's end-of-text token (where it has one), and its start is that token's place. So
every token of text has something before it that predicts it, the first one too, and a model that is shown end-of-text
alone begins a new document. Documents follow one another without a gap, and one may run on into the next file.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from glassbox.errors import BadInput

DESCRIPTION = "shards.json"
TOKENS_CHECKED = 2**24
"""Ids are compared with the vocabulary when a split is opened up to this many tokens (about 10 ms), else sampled."""

Tokens = NDArray[np.uint16 | np.uint32]


class SplitDescription(BaseModel):
    """One split's entry in shards.json."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tokens: int = Field(ge=0, description="Ids in the stream, end-of-text tokens included.")
    documents: int = Field(ge=0, description="Documents packed into the stream.")
    bytes: int = Field(ge=0, description="Bytes of the documents' text in UTF-8.")
    files: list[str] = Field(description="The files of the stream, in order.")


class ShardsDescription(BaseModel):
    """shards.json."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    vocabulary_size: int = Field(ge=1, le=2**32, description="Every id is below this.")
    dtype: str = Field(pattern="^uint(16|32)$", description="Type of an id on disk, little-endian.")
    tokenizer: str = Field(description="Reference of the tokenizer that made the ids.")
    end_of_text: int | None = Field(ge=0, description="The id that begins every document, if there is one.")
    splits: dict[str, SplitDescription]

    @property
    def files(self) -> list[str]:
        """Names of all files that the shards are made of; whatever else lies in the folder is a writer's leftover."""
        return [
            DESCRIPTION,
            *(file for name, split in self.splits.items() for file in (starts_name(name), *split.files)),
        ]


class TokenStream:
    """Several memory-mapped files that read as one array of ids."""

    def __init__(self, files: Sequence[Tokens]) -> None:
        self._files = [file for file in files if len(file)]
        self._ends = np.cumsum([len(file) for file in self._files], dtype=np.int64)
        self._length = int(self._ends[-1]) if self._files else 0

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, part: slice) -> Tokens:
        """Ids of a slice with step 1: a view of the file, or a copy where the slice crosses from one to the next."""
        start, stop, step = part.indices(self._length)
        if step != 1:
            raise ValueError(f"a stream of tokens is read with step 1, not {step}")
        if len(self._files) == 1:
            return self._files[0][start:stop]
        pieces: list[Tokens] = []
        number = int(np.searchsorted(self._ends, start, side="right"))
        while start < stop:
            file, end = self._files[number], int(self._ends[number])
            offset = start - (end - len(file))
            pieces.append(file[offset : offset + min(stop, end) - start])
            start = min(stop, end)
            number += 1
        if len(pieces) == 1:
            return pieces[0]
        return np.concatenate(pieces) if pieces else np.empty(0, np.uint16)

    def windows(self, starts: NDArray[np.int64], length: int) -> Tokens:
        """(len(starts), length): the ids from each start on."""
        if len(self._files) == 1:
            return self._files[0].take(starts[:, None] + np.arange(length))
        return np.stack([self[start : start + length] for start in starts.tolist()])


class ShardSplit:
    """One split: `tokens` (the stream), `document_starts` (int64), and how much there is of each."""

    def __init__(self, name: str, description: SplitDescription, tokens: TokenStream, starts: NDArray[np.int64]):
        self.name = name
        self.tokens = tokens
        self.document_starts = starts
        self.token_count = description.tokens
        self.document_count = description.documents
        self.byte_count = description.bytes


class Shards:
    """The shards in a folder. Raises BadInput if they are unfinished or damaged."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.description = _read_description(folder / DESCRIPTION)
        self.vocabulary_size = self.description.vocabulary_size
        self.tokenizer = self.description.tokenizer
        self.end_of_text = self.description.end_of_text
        self._opened: dict[str, ShardSplit] = {}

    @cached_property
    def splits(self) -> list[str]:
        """Names of the splits."""
        return list(self.description.splits)

    def split(self, name: str) -> ShardSplit:
        """Open a split. Raises BadInput if there is none of that name, or if what is on disk isn't what was written."""
        if name not in self.description.splits:
            raise BadInput(
                f"The shards in {self.folder} have no split {name}; they have {', '.join(self.splits) or 'none'}.",
                "Use one of those, or split the corpus so that it has this one and tokenize it again.",
            )
        if name not in self._opened:
            self._opened[name] = self._open(name, self.description.splits[name])
        return self._opened[name]

    def _open(self, name: str, description: SplitDescription) -> ShardSplit:
        files = [self._map(file) for file in description.files]
        tokens = TokenStream(files)
        if len(tokens) != description.tokens:
            raise damaged(self.folder, f"{name} has {len(tokens):,} tokens instead of {description.tokens:,}")
        for file_name, file in zip(description.files, files, strict=True):
            self._check_ids(file_name, file)
        return ShardSplit(name, description, tokens, self._map_starts(name, description))

    def _map(self, name: str) -> Tokens:
        path = self.folder / name
        if Path(name).name != name or not path.is_file():
            raise damaged(self.folder, f"the file {name} is missing")
        dtype = np.dtype(self.description.dtype).newbyteorder("<")
        size = path.stat().st_size
        if size % dtype.itemsize:
            raise damaged(self.folder, f"{name} has {size:,} bytes, which is no whole number of {dtype.name} ids")
        # A view as a plain array: slicing np.memmap itself costs three times as much.
        return np.memmap(path, dtype, mode="r").view(np.ndarray) if size else np.empty(0, dtype)

    def _check_ids(self, name: str, file: Tokens) -> None:
        edge = TOKENS_CHECKED // 2
        for part in (file[:edge], file[edge:] if len(file) <= TOKENS_CHECKED else file[-edge:]):
            if len(part) and int(part.max()) >= self.vocabulary_size:
                raise damaged(
                    self.folder, f"{name} has id {int(part.max()):,} in a vocabulary of {self.vocabulary_size:,}"
                )

    def _map_starts(self, name: str, description: SplitDescription) -> NDArray[np.int64]:
        path = self.folder / starts_name(name)
        try:
            starts = np.load(path, mmap_mode="r" if description.documents else None, allow_pickle=False).view(
                np.ndarray
            )
        except (OSError, ValueError, EOFError) as error:
            raise damaged(self.folder, f"{path.name} cannot be read ({error})") from error
        if starts.dtype != np.int64 or starts.shape != (description.documents,):
            raise damaged(self.folder, f"{path.name} doesn't hold {description.documents:,} starts")
        if len(starts) and (starts[0] != 0 or starts[-1] >= description.tokens or _falls(starts[:TOKENS_CHECKED])):
            raise damaged(self.folder, f"{path.name} doesn't rise from 0 to below {description.tokens:,}")
        return starts


def _falls(starts: NDArray[np.int64]) -> bool:
    return bool(np.any(np.diff(starts) <= 0))


def id_dtype(vocabulary_size: int) -> np.dtype[np.uint16] | np.dtype[np.uint32]:
    """The smallest type on disk for ids below `vocabulary_size`, little-endian."""
    return np.dtype("<u2") if vocabulary_size <= 2**16 else np.dtype("<u4")


def starts_name(split: str) -> str:
    """Name of the file with the documents' starts."""
    return f"{split}-documents.npy"


def damaged(folder: Path, why: str) -> BadInput:
    """What to raise when the files aren't what was written."""
    return BadInput(f"The shards in {folder} are damaged: {why}.", "Tokenize the corpus again.")


def _read_description(path: Path) -> ShardsDescription:
    if not path.is_file():
        raise BadInput(
            f"{path.parent} holds no finished shards: {path.name} is missing.", "Make them with `glassbox tokenize`."
        )
    try:
        return ShardsDescription.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "as a whole"
        raise damaged(path.parent, f"{path.name} is wrong at {where} ({first['msg']})") from error
