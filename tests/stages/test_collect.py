"""The stage collect: from a source to a corpus in the workspace."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from glassbox.data.corpus import read_documents
from glassbox.data.documents import Document
from glassbox.data.fetching import Fetched
from glassbox.data.sources import download, web
from glassbox.errors import BadInput
from glassbox.stages import collect
from glassbox.stages.execution import Outcome, execute, resume
from glassbox.stages.stopping import StopRequest
from glassbox.workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


def collected(workspace: Workspace, stop: StopRequest | None = None, **settings: Any) -> Outcome:
    return execute(collect.STAGE, collect.Settings(**settings), workspace, {}, stop=stop)


def test_names_become_a_corpus_of_that_name(workspace: Workspace) -> None:
    outcome = collected(workspace, source="names")
    corpus = outcome.outputs["corpus"]
    assert corpus.reference == "names:1"
    assert outcome.result == {"source": "names", "documents": 2780, "bytes": 16050, "skipped": []}
    assert corpus.manifest.facts == {"source": "names", "documents": 2780, "bytes": 16050}
    assert len(list(read_documents(corpus.folder))) == 2780


def test_python_docs_are_collected_without_being_asked_for(workspace: Workspace) -> None:
    outcome = collected(workspace)
    assert outcome.outputs["corpus"].reference == "python-docs:1"
    assert isinstance(outcome.result["bytes"], int)
    assert outcome.result["bytes"] > 1_500_000


def test_a_corpus_of_files_is_named_after_them_and_tells_what_it_passed_over(
    workspace: Workspace, tmp_path: Path
) -> None:
    folder = tmp_path / "My Letters.2024"
    folder.mkdir()
    (folder / "a.txt").write_text("Dear all,\n\nthank you.\n")
    (folder / "b.txt").write_bytes(b"\xff")
    outcome = collected(workspace, source="files", path=folder, cut="paragraphs", unreadable="skip")
    corpus = outcome.outputs["corpus"]
    assert corpus.name == "my-letters"
    assert [document.text for document in read_documents(corpus.folder)] == ["Dear all,", "thank you."]
    result: Any = outcome.result
    assert [skipped["file"] for skipped in result["skipped"]] == ["b.txt"]
    logged = [event for event in outcome.run.events if event.kind == "log"]
    assert "Passed over b.txt: b.txt is not UTF-8 text" in str(logged)


def test_progress_is_told_in_bytes_of_the_files(workspace: Workspace, tmp_path: Path) -> None:
    path = tmp_path / "lines.txt"
    path.write_text("a line\n" * 1000)
    outcome = collected(workspace, source="files", path=path, cut="lines")
    told = [event for event in outcome.run.events if event.kind == "progress"]
    assert told
    assert "7000" in str(told[-1])


def test_a_known_corpus_is_fetched(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "web_documents", lambda name: iter([Document(f"all of {name}", "https://...")]))
    outcome = collected(workspace, source="tinyshakespeare")
    assert [document.text for document in read_documents(outcome.outputs["corpus"].folder)] == [
        "all of tinyshakespeare"
    ]


def test_a_path_goes_with_files_and_with_nothing_else(workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="The source files needs a path"):
        collected(workspace, source="files")
    with pytest.raises(BadInput, match="The source names takes no path"):
        collected(workspace, source="names", path=tmp_path)
    with pytest.raises(BadInput, match="The source url needs a url"):
        collected(workspace, source="url")
    with pytest.raises(BadInput, match="The source files takes no url"):
        collected(workspace, source="files", path=tmp_path, url="https://example.org/a.txt")


def test_a_file_on_the_web_is_fetched_once_and_kept_for_the_next_attempt(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: list[str] = []

    def fetch(url: str, into: Any, *, progress: Any, **_: object) -> Fetched:
        fetched.append(url)
        into.write(b'{"text": "once"}\n{"text": "upon"}\nbroken')
        progress(40, 40)
        return Fetched(url, "rows.jsonl", "text/plain", 40, "0" * 64)

    monkeypatch.setattr(download, "fetch", fetch)
    url = "https://example.org/data/My%20Tales.jsonl?raw=true"
    with pytest.raises(BadInput, match=r"line 3 of rows\.jsonl"):
        collected(workspace, source="url", url=url)
    [run] = workspace.runs.list()
    [kept] = workspace.runs.get(run.id).checkpoints.rglob("rows.jsonl")
    kept.write_bytes(kept.read_bytes().replace(b"broken", b""))
    outcome = resume(workspace, run.id)
    assert outcome.outputs["corpus"].reference == "my-20tales:1"
    assert [document.text for document in read_documents(outcome.outputs["corpus"].folder)] == ["once", "upon"]
    assert fetched == [url]
    assert not kept.exists()


def test_a_fetch_can_be_stopped(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    stop = StopRequest()

    def fetch(url: str, into: Any, *, progress: Any, **_: object) -> Fetched:
        stop.make()
        progress(1, None)
        raise AssertionError("went on")

    monkeypatch.setattr(download, "fetch", fetch)
    outcome = collected(workspace, stop=stop, source="url", url="https://example.org/a.txt")
    assert outcome.run.state == "interrupted"


def test_an_address_of_this_machine_is_refused(workspace: Workspace) -> None:
    with pytest.raises(BadInput, match=r"127\.0\.0\.1 isn't on the public internet"):
        collected(workspace, source="url", url="http://127.0.0.1/etc/passwd")


def test_a_relative_path_means_the_same_when_the_run_is_resumed_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = collect.Settings(source="files", path=Path("texts"))
    assert settings.path == Path.cwd() / "texts"


def test_nothing_half_written_stays_after_bad_input_or_a_stop(workspace: Workspace, tmp_path: Path) -> None:
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"text": "fine"}\nbroken\n')
    with pytest.raises(BadInput, match=r"line 2 of bad\.jsonl"):
        collected(workspace, source="files", path=bad)
    stop = StopRequest()
    stop.make()
    outcome = collected(workspace, stop=stop, source="names")
    assert outcome.run.state == "interrupted"
    assert workspace.artifacts.list() == []
    assert not list(workspace.folder.rglob("*.parquet*"))
