"""Corpora: their documents, and what can be counted about them.

What all artifacts have (versions, files, lineage, notes, deleting) is under /api/artifacts. A corpus is made by the
stage `collect`: from an upload with `"source": "files", "path": "upload:<id>"`, or from the web with `"source": "url"`.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Generator, Iterable, Iterator
from itertools import islice
from pathlib import Path as FilePath
from typing import Annotated, Literal

from fastapi import Path, Query
from pydantic import BaseModel, Field

from glassbox.data.corpus import read_documents, split_names, split_size
from glassbox.data.documents import Document
from glassbox.data.inspection import Statistics, measure
from glassbox.errors import BadInput
from glassbox.workshop.access.guards import allows
from glassbox.workshop.access.seeing import Seen
from glassbox.workshop.problems import NotFound
from glassbox.workshop.router import Router
from glassbox.workshop.state import CurrentWorkshop
from glassbox.workshop.visible import Visible
from glassbox.workspace import Artifact

router = Router(tags=["Corpora"])

SplitName = Literal["documents", "train", "validation", "test"]
MOST_MEASURED = 512 * 2**20
"""Characters that are counted at most: about five seconds' work."""

CorpusId = Annotated[str, Path(max_length=100, description="The corpus's id as an artifact.")]
SplitQuery = Annotated[SplitName | None, Query(description="Which part; none takes the first that there is.")]


class Split(BaseModel):
    """A part of a corpus. A corpus that isn't split has one, named documents."""

    name: SplitName
    documents: int = Field(examples=[32_033])
    bytes: int = Field(description="Of the texts in UTF-8.", examples=[228_145])


class Corpus(BaseModel):
    """A corpus and its parts."""

    id: str = Field(examples=["3f9a1c2b7d4e5a60"])
    reference: str = Field(description="NAME:VERSION.", examples=["tales:2"])
    run: str | None = Field(description="The run that made it.")
    splits: list[Split]


class CorpusDocument(BaseModel):
    """A document, or a part of its text."""

    number: int = Field(description="Its place in the split, from 0.")
    text: str
    characters: int = Field(description="Of the whole text.")
    source: str = Field(description="Where it came from: a file, or the path in an archive.")


class CorpusDocuments(BaseModel):
    """Some documents in the order of the corpus."""

    split: SplitName
    of: int = Field(description="Documents in the split.")
    documents: list[CorpusDocument]


class CorpusStatistics(BaseModel):
    """Counted over the split, or over its beginning where that is too large."""

    split: SplitName
    of: int = Field(description="Documents in the split.")
    counted: Statistics = Field(description="`documents` says over how many.")


@router.get("/api/corpora/{corpus_id}", summary="A corpus and its parts")
@allows("member")
def get_corpus(corpus_id: CorpusId, seen: Seen) -> Corpus:
    """How many documents and bytes of text each part has."""
    corpus = _corpus(seen, corpus_id)
    with _no_path_of_ours(seen):
        splits = [_split(corpus, name) for name in _names(corpus)]
    return Corpus(id=corpus.id, reference=corpus.reference, run=corpus.manifest.run, splits=splits)


@router.get("/api/corpora/{corpus_id}/documents", summary="Look into a corpus")
@allows("member")
def list_documents(
    corpus_id: CorpusId,
    seen: Seen,
    split: SplitQuery = None,
    skip: Annotated[int, Query(ge=0, le=10**12, description="Begin behind so many documents.")] = 0,
    limit: Annotated[int, Query(ge=1, le=100, description="At most so many documents.")] = 20,
    offset: Annotated[int, Query(ge=0, le=2**30, description="Begin each text behind so many characters.")] = 0,
    characters: Annotated[int, Query(ge=1, le=20_000, description="At most so many of each text.")] = 2_000,
) -> CorpusDocuments:
    """Texts from any place on, without reading what is before. A long text is read in parts, with `offset`."""
    corpus = _corpus(seen, corpus_id)
    with _no_path_of_ours(seen):
        name = _chosen(corpus, split)
        found = [
            CorpusDocument(
                number=number,
                text=document.text[offset : offset + characters],
                characters=len(document.text),
                source=document.source,
            )
            for number, document in enumerate(islice(read_documents(corpus.folder, name, skip), limit), start=skip)
        ]
        return CorpusDocuments(split=name, of=split_size(corpus.folder, name).documents, documents=found)


@router.get("/api/corpora/{corpus_id}/statistics", summary="Count a corpus")
@allows("member")
def get_corpus_statistics(
    corpus_id: CorpusId, seen: Seen, workshop: CurrentWorkshop, split: SplitQuery = None
) -> CorpusStatistics:
    """Documents, bytes, characters, lengths, the longest line, repeated documents. Counted once, then remembered."""
    corpus = _corpus(seen, corpus_id)
    with _no_path_of_ours(seen):
        name = _chosen(corpus, split)
        of = split_size(corpus.folder, name).documents
        with workshop.turns.take():
            return CorpusStatistics(split=name, of=of, counted=_measured(corpus.folder, corpus.id, name))


@functools.lru_cache(maxsize=256)
def _measured(folder: FilePath, corpus_id: str, split: SplitName) -> Statistics:
    """An artifact never changes, so that its id answers for its content."""
    return measure(_at_most(read_documents(folder, split), MOST_MEASURED))


def _at_most(documents: Iterable[Document], characters: int) -> Iterator[Document]:
    """The first documents, until they have that many characters together."""
    for document in documents:
        yield document
        characters -= len(document.text)
        if characters <= 0:
            return


def _corpus(seen: Visible, corpus_id: str) -> Artifact:
    artifact = seen.by_id(corpus_id)
    if artifact.kind != "corpus":
        raise NotFound("corpus", corpus_id)
    return artifact


def _names(corpus: Artifact) -> list[SplitName]:
    there = split_names(corpus.folder)
    return [name for name in ("documents", "train", "validation", "test") if name in there]


def _chosen(corpus: Artifact, split: SplitName | None) -> SplitName:
    there = _names(corpus)
    if not there or (split is not None and split not in there):
        raise NotFound(
            "split", split or "documents", f"The corpus {corpus.reference} has {', '.join(there) or 'none'}."
        )
    return split or there[0]


def _split(corpus: Artifact, name: SplitName) -> Split:
    size = split_size(corpus.folder, name)
    return Split(name=name, documents=size.documents, bytes=size.text_bytes)


@contextlib.contextmanager
def _no_path_of_ours(seen: Visible) -> Generator[None]:
    """A damaged file is told with its path in the workspace, wherever that lies."""
    try:
        yield
    except BadInput as error:
        raise BadInput(error.problem.replace(str(seen.workspace.folder), "the workspace"), error.remedy) from error
