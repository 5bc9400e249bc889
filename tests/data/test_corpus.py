"""A corpus on disk: what was written is read again, in order, by us and by anything that reads Parquet."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glassbox.data import corpus
from glassbox.data.corpus import CorpusWriter, SplitSize, read_documents, split_names, split_size
from glassbox.data.documents import Document
from glassbox.errors import BadInput

unicode_text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


def write(folder: Path, texts: list[str], split: str = "documents") -> None:
    with CorpusWriter(folder, split) as writer:
        for number, text in enumerate(texts):
            writer.append(Document(text, f"source {number}"))


@given(st.lists(unicode_text, max_size=20), st.integers(0, 25))
def test_documents_come_back_as_they_were_written_and_from_any_place_on(texts: list[str], skip: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        write(Path(name), texts)
        documents = list(read_documents(Path(name), skip=skip))
        assert documents == [Document(text, f"source {number}") for number, text in enumerate(texts)][skip:]
        assert split_size(Path(name)) == SplitSize(len(texts), sum(len(text.encode()) for text in texts))


def test_another_reader_of_parquet_finds_text_and_source(tmp_path: Path) -> None:
    write(tmp_path, ["häuser", "二"])
    table = pq.read_table(tmp_path / "documents.parquet")
    assert table.to_pydict() == {"text": ["häuser", "二"], "source": ["source 0", "source 1"]}


def test_a_corpus_is_written_in_row_groups_so_that_it_need_not_fit_into_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corpus, "ROW_GROUP_BYTES", 100)
    monkeypatch.setattr(corpus, "ROW_GROUP_DOCUMENTS", 3)
    texts = ["x" * 60, "y" * 60, "z" * 500, "a", "b", "c", "d"]
    write(tmp_path, texts)
    assert pq.ParquetFile(tmp_path / "documents.parquet").num_row_groups == 5
    for skip in range(len(texts) + 1):
        assert [document.text for document in read_documents(tmp_path, skip=skip)] == texts[skip:]


def test_the_splits_that_a_corpus_has_are_listed_in_the_order_of_their_use(tmp_path: Path) -> None:
    for split in ("test", "train"):
        write(tmp_path, ["text"], split)
    assert split_names(tmp_path) == ["train", "test"]


def test_an_exception_leaves_no_file_and_an_earlier_file_untouched(tmp_path: Path) -> None:
    write(tmp_path, ["earlier"])

    def fail() -> None:
        with CorpusWriter(tmp_path) as writer:
            writer.append(Document("later", "s"))
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError):
        fail()
    assert [path.name for path in tmp_path.iterdir()] == ["documents.parquet"]
    assert [document.text for document in read_documents(tmp_path)] == ["earlier"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [("", "is empty"), ("a\ud800b", "U+D800\\) at character 1"), ("four", "has 4 bytes; a document may have 3")],
)
def test_text_that_cannot_be_a_document_is_refused_with_its_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, problem: str
) -> None:
    monkeypatch.setattr(corpus, "LARGEST_DOCUMENT", 3)
    with pytest.raises(BadInput, match=f"book.txt .*{problem.replace('+', '.')}"), CorpusWriter(tmp_path) as writer:
        writer.append(Document(text, "book.txt"))
    assert not list(tmp_path.iterdir())


def test_a_split_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"no split train; it has none at all"):
        read_documents(tmp_path, "train")
    write(tmp_path, ["text"])
    with pytest.raises(BadInput, match=r"no split train; it has documents\. Split the corpus first"):
        read_documents(tmp_path, "train")
    with pytest.raises(BadInput, match=r"no split named '\.\./\.\./etc'"):
        read_documents(tmp_path, "../../etc")


def test_damage_is_told_with_the_file(tmp_path: Path) -> None:
    write(tmp_path, [f"text {number}" for number in range(1000)])
    path = tmp_path / "documents.parquet"
    whole = path.read_bytes()
    for data in (b"", b"PAR1", whole[: len(whole) // 2], b"\0" * len(whole)):
        path.write_bytes(data)
        with pytest.raises(BadInput, match=r"documents\.parquet is not a whole corpus file"):
            list(read_documents(tmp_path))
    path.write_bytes(whole[:4] + b"\xff" * 2000 + whole[2004:])  # the footer is whole, the data isn't
    with pytest.raises(BadInput, match=r"documents\.parquet is not a whole corpus file"):
        list(read_documents(tmp_path))


def test_parquet_of_others_is_refused_by_its_columns(tmp_path: Path) -> None:
    import pyarrow as pa

    pq.write_table(pa.table({"text": ["a"]}), tmp_path / "train.parquet")
    with pytest.raises(BadInput, match="lacks the column source"):
        read_documents(tmp_path, "train")
    pq.write_table(pa.table({"text": ["a"], "source": ["b"]}), tmp_path / "train.parquet")
    with pytest.raises(BadInput, match="lacks the count of bytes"):
        split_size(tmp_path, "train")


def test_a_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(BadInput, match="file"):
        CorpusWriter(tmp_path / "file")


FULL_DISK = """
import random, resource, signal, sys
from pathlib import Path
from glassbox.data.corpus import CorpusWriter
from glassbox.data.documents import Document
from glassbox.errors import BadInput

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
try:
    with CorpusWriter(Path(sys.argv[1])) as writer:
        for number in range(1000):
            writer.append(Document(random.randbytes(20_000).hex(), "s"))
except BadInput as error:
    print(error.problem)
"""


def test_a_disk_that_takes_no_more_is_told_and_nothing_half_written_stays(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", FULL_DISK, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"The disk that holds {tmp_path / 'documents.parquet'} is full."
    assert not list(tmp_path.iterdir())
