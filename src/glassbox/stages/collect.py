"""Collect documents into a corpus.

Three sources need no network: python-docs (the language reference and the standard library's docstrings, about 2.5 MB),
python-source (the standard library's code, about 11 MB) and names (2,780 given names). Two are fetched: tinyshakespeare
and makemore-names (32,033 names). And your own: files are a file or folder here, url is a file on the web.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from glassbox.data.sources.encodings import Encoding
from glassbox.errors import BadInput
from glassbox.stages.interface import Context, Slot, Stage, StageSettings, Stopped
from glassbox.stages.local_paths import InputPath
from glassbox.workspace.names import name_from

if TYPE_CHECKING:
    from glassbox.data.corpus import SplitSize
    from glassbox.data.documents import Document
    from glassbox.data.sources.files import FilesReport


_DOWNLOAD = "download"


class Settings(StageSettings):
    source: Literal["python-docs", "python-source", "names", "tinyshakespeare", "makemore-names", "files", "url"] = (
        Field(default="python-docs", description="Where the documents come from; files needs a path, url a url.")
    )
    path: InputPath | None = Field(
        default=None,
        description="With source files: a file or folder of txt, md, jsonl, csv, tsv, parquet, or gz or zip of those.",
    )
    url: str | None = Field(
        default=None,
        min_length=1,
        max_length=2000,
        description="With source url: the http or https address of such a file, at most 2 GiB, on the public internet.",
    )
    cut: Literal["whole", "lines", "paragraphs"] = Field(
        default="whole",
        description="With source files or url: what a document is, a whole text, each line, or each paragraph.",
    )
    text_field: str = Field(
        default="text",
        min_length=1,
        max_length=256,
        description="With source files or url: the field or column with the text.",
    )
    encoding: Encoding = Field(default="utf-8", description="With source files or url: how texts are encoded.")
    unreadable: Literal["stop", "skip"] = Field(
        default="stop", description="With source files or url: what to do about a file that can't be read as text."
    )

    @property
    def default_name(self) -> str | None:
        if self.url is not None:
            return name_from(self.url.partition("?")[0].rstrip("/").rpartition("/")[2].partition(".")[0])
        if self.path is None:
            return self.source
        return name_from(self.path.name.partition(".")[0])


def run(settings: Settings, context: Context) -> dict[str, object]:
    from glassbox.data.sources.files import FilesReport

    for source, what, given in (("files", "path", settings.path), ("url", "url", settings.url)):
        if (given is None) == (settings.source == source):
            raise BadInput(
                f"The source {settings.source} {'needs a' if given is None else 'takes no'} {what}.",
                "Give --source files together with --path FILE_OR_FOLDER, or --source url with --url ADDRESS.",
            )
    report = FilesReport()
    try:
        with context.output("corpus") as draft:
            size = _write(settings, draft.folder, report, context)
            draft.describe(source=settings.source, documents=size.documents, bytes=size.text_bytes)
    except Stopped:
        return {}
    shutil.rmtree(context.checkpoints / _DOWNLOAD, ignore_errors=True)  # the corpus holds it all now
    for skipped in report.skipped:
        context.log(f"Passed over {skipped.file}: {skipped.reason}")
    return {
        "source": settings.source,
        "documents": size.documents,
        "bytes": size.text_bytes,
        "skipped": [skipped._asdict() for skipped in report.skipped],
    }


def _write(settings: Settings, folder: Path, report: FilesReport, context: Context) -> SplitSize:
    from glassbox.data.corpus import CorpusWriter, SplitSize

    path = _fetched(settings.url, context) if settings.url else settings.path
    with CorpusWriter(folder) as writer:
        for document in _documents(settings, path, report):
            writer.append(document)
            if context.stop_requested:
                raise Stopped
            if writer.documents % 64 == 0:
                done, total = (report.bytes_read, report.bytes_total) if path else (writer.text_bytes, None)
                context.progress(done, total, unit="bytes", note=f"{writer.documents:,} documents")
    return SplitSize(writer.documents, writer.text_bytes)


def _fetched(url: str, context: Context) -> Path:
    """Kept with the run, so that the next attempt needn't fetch it again."""
    from glassbox.data.sources.download import downloaded

    def progress(received: int, told: int | None) -> None:
        if context.stop_requested:
            raise Stopped
        context.progress(received, told, unit="bytes", note="fetching")

    return downloaded(url, context.checkpoints / _DOWNLOAD, progress)


def _documents(settings: Settings, path: Path | None, report: FilesReport) -> Iterator[Document]:
    from glassbox.data.sources import embedded
    from glassbox.data.sources.files import read_files
    from glassbox.data.sources.formats import Reading
    from glassbox.data.sources.web import WEB_CORPORA, web_documents

    if path is not None:
        reading = Reading(settings.cut, settings.text_field, settings.encoding)
        return read_files(path, reading, report, skip_unreadable=settings.unreadable == "skip")
    if settings.source in WEB_CORPORA:
        return web_documents(settings.source)
    here = {"python-docs": embedded.python_docs, "python-source": embedded.python_source, "names": embedded.names}
    return here[settings.source]()


STAGE = Stage(settings=Settings, takes={}, makes={"corpus": Slot("corpus", "the documents")}, run=run)
