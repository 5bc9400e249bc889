"""A corpus on disk: one Parquet file a split, columns text and source.

After `collect` there is one split named documents; after `split` there are train, validation and test. A file is
written row group by row group and read batch by batch, so that a corpus may be larger than memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from glassbox.data.documents import LARGEST_DOCUMENT, Document, utf8_length
from glassbox.errors import BadInput
from glassbox.workspace.faults import disk_faults_as_bad_input

SPLITS = ("documents", "train", "validation", "test")
SCHEMA = pa.schema([("text", pa.string()), ("source", pa.string())])
ROW_GROUP_BYTES = 8 * 2**20
ROW_GROUP_DOCUMENTS = 50_000
BYTES_KEY = b"glassbox.text_bytes"


class SplitSize(NamedTuple):
    """documents: how many. text_bytes: the length of all their texts in UTF-8."""

    documents: int
    text_bytes: int


class CorpusWriter:
    """Writes one split of a corpus; the file appears under its name when the block ends without an exception.

    with CorpusWriter(folder, "documents") as writer:
        writer.append(Document("Once upon a time", "tales.txt"))
    """

    def __init__(self, folder: Path, split: str = "documents") -> None:
        self.path = split_path(folder, split)
        self.documents = 0
        self.text_bytes = 0
        self._partial = self.path.with_suffix(".parquet.partial")
        self._pending: list[Document] = []
        self._pending_bytes = 0
        with disk_faults_as_bad_input(self.path):
            folder.mkdir(parents=True, exist_ok=True)
            # Texts hardly ever repeat, and zstd sees to the sources: a dictionary of values would only cost memory.
            self._writer = pq.ParquetWriter(self._partial, SCHEMA, compression="zstd", use_dictionary=False)

    def append(self, document: Document) -> None:
        """Add one document. Raises BadInput for text that is empty, too large, or not Unicode, and for a full disk."""
        if not document.text:
            raise BadInput(
                f"The document from {document.source} is empty: there is nothing to learn from it.",
                "Leave empty documents out.",
            )
        size = utf8_length(document)
        if size > LARGEST_DOCUMENT:
            raise BadInput(
                f"The document from {document.source} has {size:,} bytes; a document may have {LARGEST_DOCUMENT:,}.",
                "Cut it into lines or paragraphs.",
            )
        if self._pending and self._pending_bytes + size > ROW_GROUP_BYTES:
            self._flush()
        self._pending.append(document)
        self._pending_bytes += size
        self.documents += 1
        self.text_bytes += size
        if len(self._pending) >= ROW_GROUP_DOCUMENTS:
            self._flush()

    def _flush(self) -> None:
        texts, sources = zip(*self._pending, strict=True)
        table = pa.Table.from_arrays([pa.array(texts, pa.string()), pa.array(sources, pa.string())], schema=SCHEMA)
        with disk_faults_as_bad_input(self.path):
            self._writer.write_table(table)
        self._pending = []
        self._pending_bytes = 0

    def __enter__(self) -> CorpusWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._finish()
        finally:
            if self._writer.is_open:
                _close_quietly(self._writer)
            self._partial.unlink(missing_ok=True)

    def _finish(self) -> None:
        if self._pending:
            self._flush()
        with disk_faults_as_bad_input(self.path):
            self._writer.add_key_value_metadata({BYTES_KEY.decode(): str(self.text_bytes)})
            self._writer.close()
            self._partial.replace(self.path)


def read_documents(folder: Path, split: str = "documents", skip: int = 0) -> Iterator[Document]:
    """The split's documents in the order of writing, as a stream, without the first `skip` ones.

    Raises BadInput at once if the split isn't there or its file is damaged, and later if damage shows on the way.
    """
    path, file = _open(folder, split)
    return _stream(path, file, skip)


def split_names(folder: Path) -> list[str]:
    """The splits that the corpus has, in the order of `SPLITS`."""
    return [name for name in SPLITS if split_path(folder, name).is_file()]


def split_size(folder: Path, split: str = "documents") -> SplitSize:
    """How many documents and bytes of text the split has; from the file's footer, so it costs nothing."""
    path, file = _open(folder, split)
    with file:
        recorded = (file.metadata.metadata or {}).get(BYTES_KEY)
        if recorded is None:
            raise _damaged(path, "its footer lacks the count of bytes that Glassbox writes")
        return SplitSize(file.metadata.num_rows, int(recorded))


def split_path(folder: Path, split: str) -> Path:
    """Where the split's file lies. Raises BadInput for a name that isn't a split's."""
    if split not in SPLITS:
        raise BadInput(f"A corpus has no split named {split!r}.", f"Use one of {', '.join(SPLITS)}.")
    return folder / f"{split}.parquet"


def _open(folder: Path, split: str) -> tuple[Path, pq.ParquetFile]:
    path = split_path(folder, split)
    if not path.is_file():
        there = split_names(folder)
        raise BadInput(
            f"The corpus in {folder} has no split {split}; it has {', '.join(there) or 'none at all'}.",
            "Split the corpus first with `glassbox split`." if "documents" in there else "Choose another corpus.",
        )
    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise _damaged(path, str(error)) from error
    missing = {"text", "source"} - set(file.schema_arrow.names)
    if missing:
        file.close()
        raise _damaged(path, f"it lacks the column {' and '.join(sorted(missing))}")
    return path, file


def _stream(path: Path, file: pq.ParquetFile, skip: int) -> Iterator[Document]:
    with file:
        first_group = 0
        while first_group < file.num_row_groups and skip >= file.metadata.row_group(first_group).num_rows:
            skip -= file.metadata.row_group(first_group).num_rows
            first_group += 1
        batches = file.iter_batches(
            batch_size=1024, row_groups=list(range(first_group, file.num_row_groups)), columns=["text", "source"]
        )
        while True:
            try:
                batch = next(batches, None)
                columns: Any = None if batch is None else [column.to_pylist() for column in batch.columns]
            except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
                raise _damaged(path, str(error)) from error
            if columns is None:
                return
            for text, source in zip(columns[0], columns[1], strict=True):
                if skip:
                    skip -= 1
                else:
                    yield Document(text, source)


def _damaged(path: Path, why: str) -> BadInput:
    return BadInput(f"{path} is not a whole corpus file: {why}.", "Collect the corpus again.")


def _close_quietly(writer: pq.ParquetWriter) -> None:
    """Close a file that is about to be deleted: whatever goes wrong now has no meaning any more."""
    try:
        writer.close()
    except (pa.ArrowException, OSError):
        return
