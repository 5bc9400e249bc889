"""Corpora over HTTP: their parts, documents from any place, and counts that anybody could check."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from access_examples import run_of
from fastapi.testclient import TestClient
from people import People

from glassbox.data.corpus import CorpusWriter
from glassbox.data.documents import Document
from glassbox.workshop.routes import corpora
from glassbox.workspace import Artifact

TEXTS = [f"document {number} of the corpus\nwith two lines" for number in range(250)] + ["x" * 30_000, "x" * 30_000]


def corpus_of(people: People, splits: dict[str, list[str]], name: str = "member") -> Artifact:
    """A corpus that a run of that person made."""
    run = run_of(people, name)
    with people.workshop.workspace.artifacts.draft("corpus", "tales", run=run.id) as draft:
        for split, texts in splits.items():
            with CorpusWriter(draft.folder, split) as writer:
                for number, text in enumerate(texts):
                    writer.append(Document(text, f"tales.zip/{number}.txt"))
    return draft.artifact


@pytest.fixture
def ann(people: People) -> TestClient:
    return people.client("member")


def asked(client: TestClient, path: str, **query: Any) -> Any:
    answer = client.get(path, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_corpus_tells_its_parts(people: People, ann: TestClient) -> None:
    plain = corpus_of(people, {"documents": TEXTS})
    assert asked(ann, f"/api/corpora/{plain.id}") == {
        "id": plain.id,
        "reference": "tales:1",
        "run": plain.manifest.run,
        "splits": [{"name": "documents", "documents": 252, "bytes": sum(map(len, TEXTS))}],
    }
    split = corpus_of(people, {"train": ["a", "b"], "validation": ["c"], "test": ["dd"]})
    assert [(one["name"], one["documents"]) for one in asked(ann, f"/api/corpora/{split.id}")["splits"]] == [
        ("train", 2),
        ("validation", 1),
        ("test", 1),
    ]


def test_documents_are_read_from_any_place(people: People, ann: TestClient) -> None:
    place = f"/api/corpora/{corpus_of(people, {'documents': TEXTS}).id}/documents"
    first = asked(ann, place)
    assert (first["split"], first["of"], len(first["documents"])) == ("documents", 252, 20)
    assert first["documents"][0] == {
        "number": 0,
        "text": TEXTS[0],
        "characters": len(TEXTS[0]),
        "source": "tales.zip/0.txt",
    }
    seen = [one["text"] for skip in range(0, 300, 100) for one in asked(ann, place, skip=skip, limit=100)["documents"]]
    assert seen == [text[:2000] for text in TEXTS]
    assert asked(ann, place, skip=10**12)["documents"] == []


def test_a_long_document_is_read_in_parts(people: People, ann: TestClient) -> None:
    text = "".join(chr(0x4E00 + number % 5000) for number in range(45_000))
    place = f"/api/corpora/{corpus_of(people, {'documents': [text]}).id}/documents"
    parts = [asked(ann, place, offset=offset, characters=20_000)["documents"][0] for offset in range(0, 60_000, 20_000)]
    assert "".join(part["text"] for part in parts) == text
    assert {part["characters"] for part in parts} == {45_000}


def test_counts_are_those_that_anybody_would_count(people: People, ann: TestClient) -> None:
    corpus = corpus_of(people, {"train": TEXTS, "test": ["only one"]})
    found = asked(ann, f"/api/corpora/{corpus.id}/statistics")
    assert (found["split"], found["of"]) == ("train", 252)
    counted = found["counted"]
    assert counted["documents"] == counted["compared"] == 252
    assert counted["characters"] == counted["bytes"] == sum(map(len, TEXTS))
    assert counted["lengths"]["longest"] == counted["longest_line"] == 30_000
    assert counted["repeated"] == 1
    assert asked(ann, f"/api/corpora/{corpus.id}/statistics", split="test")["counted"]["documents"] == 1


def test_of_a_large_corpus_the_beginning_is_counted_and_that_is_said(
    people: People, ann: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corpora, "MOST_MEASURED", 100)
    corpus = corpus_of(people, {"documents": ["x" * 40] * 9})
    found = asked(ann, f"/api/corpora/{corpus.id}/statistics")
    assert (found["of"], found["counted"]["documents"]) == (9, 3)


@pytest.mark.parametrize("what", ["", "/documents", "/statistics"])
def test_what_is_not_theirs_or_no_corpus_is_not_there(people: People, ann: TestClient, what: str) -> None:
    corpus = corpus_of(people, {"documents": ["a"]})
    assert people.client("other member").get(f"/api/corpora/{corpus.id}{what}").status_code == 404
    assert people.client("educator").get(f"/api/corpora/{corpus.id}{what}").status_code == 200
    assert ann.get(f"/api/corpora/{'0' * 16}{what}").status_code == 404
    with people.workshop.workspace.artifacts.draft("report", "no-corpus", run=corpus.manifest.run) as draft:
        (draft.folder / "report.json").write_text("{}")
    assert ann.get(f"/api/corpora/{draft.artifact.id}{what}").status_code == 404


def test_a_part_that_is_not_there_is_named_with_those_that_are(people: People, ann: TestClient) -> None:
    corpus = corpus_of(people, {"train": ["a"], "test": ["b"]})
    answer = ann.get(f"/api/corpora/{corpus.id}/documents", params={"split": "validation"})
    assert answer.status_code == 404
    assert answer.json()["remedy"] == "The corpus tales:1 has train, test."
    assert ann.get(f"/api/corpora/{corpus.id}/documents", params={"split": "../x"}).status_code == 422


def test_damage_is_told_without_saying_where_the_server_keeps_things(
    people: People, ann: TestClient, own_workspace: Path
) -> None:
    corpus = corpus_of(people, {"documents": ["a"]})
    (corpus.folder / "documents.parquet").write_bytes(b"PAR1 no more")
    for what in ("", "/documents", "/statistics"):
        answer = ann.get(f"/api/corpora/{corpus.id}{what}")
        assert answer.status_code == 422
        assert "is not a whole corpus file" in answer.json()["detail"]
        assert str(own_workspace) not in answer.text
