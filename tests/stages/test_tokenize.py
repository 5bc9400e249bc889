"""The stage tokenize: every document's ids end up in the shards, however often the run is killed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from glassbox.data.corpus import CorpusWriter
from glassbox.data.documents import Document
from glassbox.data.shards import Shards
from glassbox.errors import BadInput
from glassbox.stages import tokenize
from glassbox.stages.execution import Outcome, execute, resume
from glassbox.stages.stopping import StopRequest
from glassbox.tokenizers import Tokenizer, load
from glassbox.tokenizers.bytepair import BytePairTokenizer
from glassbox.tokenizers.characters import CharacterTokenizer
from glassbox.workspace import Artifact, Workspace

TEXTS = {
    "train": [f"The {number}th tale: {'äöü€ ' * (number % 7)}and so on.\n" for number in range(400)],
    "validation": ["Once upon a time"],
}


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


def corpus_of(workspace: Workspace, texts: dict[str, list[str]]) -> Artifact:
    draft = workspace.artifacts.draft("corpus", "tales")
    with draft:
        for split, documents in texts.items():
            with CorpusWriter(draft.folder, split) as writer:
                for number, text in enumerate(documents):
                    writer.append(Document(text, f"book {number}"))
    return draft.artifact


def saved(workspace: Workspace, tokenizer: Tokenizer) -> Artifact:
    draft = workspace.artifacts.draft("tokenizer", "letters")
    with draft:
        tokenizer.save(draft.folder)
    return draft.artifact


def bytes_only() -> BytePairTokenizer:
    return BytePairTokenizer([])


def tokenized(
    workspace: Workspace, corpus: Artifact, tokenizer: Artifact, stop: StopRequest | None = None, **settings: Any
) -> Outcome:
    inputs = {"corpus": corpus, "tokenizer": tokenizer}
    return execute(tokenize.STAGE, tokenize.Settings(**settings), workspace, inputs, stop=stop)


@pytest.mark.parametrize("processes", [1, 2])
def test_the_shards_hold_every_document_behind_end_of_text(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, processes: int
) -> None:
    monkeypatch.setattr(tokenize, "PIECE_CHARACTERS", 500)
    artifact = saved(workspace, bytes_only())
    outcome = tokenized(workspace, corpus_of(workspace, TEXTS), artifact, processes=processes)
    shards = Shards(outcome.outputs["shards"].folder)
    tokenizer = load(artifact.folder)
    assert (shards.vocabulary_size, shards.tokenizer) == (257, "letters:1")
    for split, texts in TEXTS.items():
        opened = shards.split(split)
        expected = [[tokenizer.end_of_text, *tokenizer.encode(text)] for text in texts]
        assert opened.tokens[:].tolist() == [token for ids in expected for token in ids]
        assert opened.document_count == len(texts)
        assert opened.byte_count == sum(len(text.encode()) for text in texts)
    facts = {"tokens": 17, "documents": 1, "bytes": 16}
    result: Any = outcome.result
    kept: Any = outcome.outputs["shards"].manifest.facts
    assert result["splits"]["validation"] == kept["splits"]["validation"] == facts
    assert outcome.result["processes"] == processes
    assert {link.kind for link in outcome.outputs["shards"].manifest.parents} == {"corpus", "tokenizer"}


def test_a_small_corpus_starts_no_processes(workspace: Workspace) -> None:
    outcome = tokenized(workspace, corpus_of(workspace, TEXTS), saved(workspace, bytes_only()))
    assert outcome.result["processes"] == 1


def test_an_unsplit_or_empty_corpus_is_refused(workspace: Workspace) -> None:
    tokenizer = saved(workspace, bytes_only())
    for texts in ({"documents": ["a tale"]}, {"train": ["a tale"], "validation": list[str]()}):
        with pytest.raises(BadInput, match=r"has no documents in a split .*glassbox split"):
            tokenized(workspace, corpus_of(workspace, texts), tokenizer)
    assert workspace.artifacts.list("shards") == []


@pytest.mark.parametrize("processes", [1, 2])
def test_a_document_that_the_tokenizer_refuses_is_named(workspace: Workspace, processes: int) -> None:
    tokenizer = saved(workspace, CharacterTokenizer.train(["abc "]))
    corpus = corpus_of(workspace, {"train": ["abc", "cab", "xyz", "bac"]})
    with pytest.raises(BadInput, match="The document from book 2 can't be encoded"):
        tokenized(workspace, corpus, tokenizer, processes=processes)
    assert workspace.artifacts.list("shards") == []


class StopAfter(StopRequest):
    """Is made once the stage has looked a number of times."""

    def __init__(self, looks: int) -> None:
        self.looks = looks
        super().__init__()

    @property
    def made(self) -> bool:
        self.looks -= 1
        return self.looks < 0

    @made.setter
    def made(self, value: bool) -> None: ...


@pytest.mark.parametrize("processes", [1, 2])
def test_a_stopped_run_goes_on_where_it_was(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, processes: int
) -> None:
    monkeypatch.setattr(tokenize, "PIECE_CHARACTERS", 500)
    corpus, tokenizer = corpus_of(workspace, TEXTS), saved(workspace, bytes_only())
    stopped = tokenized(workspace, corpus, tokenizer, StopAfter(4), processes=processes)
    assert stopped.run.state == "interrupted"
    assert workspace.artifacts.list("shards") == []
    resumed = resume(workspace, stopped.run.id)
    logs = str([event for event in resumed.run.events if event.kind == "log"])
    assert "documents of train that are on disk" in logs
    straight = tokenized(workspace, corpus, tokenizer)
    assert resumed.outputs["shards"].manifest.hash == straight.outputs["shards"].manifest.hash


def test_a_run_that_lacked_only_the_publishing_publishes_without_encoding_again(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus, tokenizer = corpus_of(workspace, TEXTS), saved(workspace, bytes_only())

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(tokenize, "_link", full)
        with pytest.raises(BadInput, match="is full"):
            tokenized(workspace, corpus, tokenizer)
    monkeypatch.setattr(tokenize, "_encode", lambda *_: pytest.fail("encoded again"))
    run = workspace.runs.get(workspace.runs.list()[0].id)
    (run.checkpoints / "shards" / "train-documents.partial").write_text("left over by a kill before it was removed")
    shards = resume(workspace, run.id).outputs["shards"]
    assert Shards(shards.folder).split("train").document_count == 400
    assert set(shards.manifest.files) == {
        "shards.json",
        *(f"{split}-{rest}" for split in TEXTS for rest in ("00000.bin", "documents.npy")),
    }


def test_without_hard_links_the_files_are_copied(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", refused)
    outcome = tokenized(workspace, corpus_of(workspace, TEXTS), saved(workspace, bytes_only()))
    assert Shards(outcome.outputs["shards"].folder).split("train").document_count == 400


KILLED = """
import sys
from glassbox.stages import tokenize
from glassbox.stages.execution import execute, resume
from glassbox.workspace import Workspace

tokenize.PIECE_CHARACTERS = 1000
tokenize.SECONDS_BETWEEN_COMMITS = 0

if __name__ == "__main__":
    workspace = Workspace(sys.argv[1])
    if len(sys.argv) > 2:
        resume(workspace, sys.argv[2])
    else:
        names = {"corpus": "tales", "tokenizer": "letters"}
        inputs = {kind: workspace.artifacts.get(kind, name) for kind, name in names.items()}
        execute(tokenize.STAGE, tokenize.Settings(processes=2), workspace, inputs)
"""


@pytest.mark.slow
def test_killed_and_resumed_it_makes_the_same_shards_and_leaves_no_process(
    workspace: Workspace, tmp_path: Path
) -> None:
    texts = {"train": [f"tale {number} " * 20 for number in range(30_000)], "test": ["The end."]}
    corpus, tokenizer = corpus_of(workspace, texts), saved(workspace, bytes_only())
    straight = tokenized(workspace, corpus, tokenizer)
    script = tmp_path / "killed.py"
    script.write_text(KILLED)
    rng = random.Random(0)
    arguments: list[str] = []
    kills = 0
    while kills < 3:
        process = subprocess.Popen([sys.executable, str(script), str(workspace.folder), *arguments])
        newest = workspace.runs.list()[0]
        while process.poll() is None and not list(newest.folder.rglob("progress.json")):
            time.sleep(0.05)
            newest = workspace.runs.list()[0]
        time.sleep(rng.uniform(0, 0.4))
        children = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        if process.poll() is not None:
            break
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert psutil.wait_procs(children, timeout=20)[1] == []
        arguments = [newest.id]
        kills += 1
    assert kills > 0
    if arguments and workspace.runs.get(arguments[0]).state != "finished":
        resume(workspace, arguments[0])
    newest = workspace.artifacts.get("shards", "tales")
    assert newest.reference == "tales:2"
    assert newest.manifest.hash == straight.outputs["shards"].manifest.hash


def test_an_encoding_process_that_is_killed_ends_the_run_with_advice(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokenize, "_start_worker", _dies)
    with pytest.raises(BadInput, match="ended from outside, perhaps for want of memory"):
        tokenized(workspace, corpus_of(workspace, TEXTS), saved(workspace, bytes_only()), processes=2)


def _dies(_: Path) -> None:
    os.kill(os.getpid(), signal.SIGKILL)
