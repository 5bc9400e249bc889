"""The stage split: from documents to train, validation and test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from glassbox.data.corpus import CorpusWriter, read_documents, split_names
from glassbox.data.documents import Document
from glassbox.errors import BadInput
from glassbox.stages import split
from glassbox.stages.execution import Outcome, execute
from glassbox.stages.stopping import StopRequest
from glassbox.workspace import Artifact, Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


def corpus_of(workspace: Workspace, texts: list[str]) -> Artifact:
    draft = workspace.artifacts.draft("corpus", "tales")
    with draft, CorpusWriter(draft.folder) as writer:
        for text in texts:
            writer.append(Document(text, "book"))
    return draft.artifact


def split_up(workspace: Workspace, corpus: Artifact, stop: StopRequest | None = None, **settings: Any) -> Outcome:
    return execute(split.STAGE, split.Settings(**settings), workspace, {"corpus": corpus}, stop=stop)


def logged(outcome: Outcome) -> str:
    return str([event for event in outcome.run.events if event.kind == "log"])


def test_many_documents_are_shared_out_whole(workspace: Workspace) -> None:
    corpus = corpus_of(workspace, [f"tale {number}" for number in range(1000)] + ["Tale 7!"])
    outcome = split_up(workspace, corpus)
    made = outcome.outputs["corpus"]
    assert made.reference == "tales:2"
    assert split_names(made.folder) == ["train", "validation", "test"]
    assert outcome.result["by"] == "documents"
    assert outcome.result["exact_duplicates"] == 1
    assert made.manifest.facts == {"by": "documents", "splits": outcome.result["splits"]}
    splits: Any = outcome.result["splits"]
    assert sum(size["documents"] for size in splits.values()) == 1001
    assert "Splitting by documents; documents in the corpus: 1,001." in logged(outcome)


def test_one_long_text_is_cut_and_the_choice_is_said_aloud(workspace: Workspace) -> None:
    text = "".join(f"line {number}\n" for number in range(1000))
    outcome = split_up(workspace, corpus_of(workspace, [text]), validation_share=0.1, test_share=0)
    parts = [
        document.text
        for name in ("train", "validation")
        for document in read_documents(outcome.outputs["corpus"].folder, name)
    ]
    assert outcome.result["by"] == "position"
    assert "".join(parts) == text
    assert parts[0].endswith("\n")
    assert "Splitting by position; documents in the corpus: 1." in logged(outcome)


def test_duplicates_that_may_stand_in_two_splits_are_said_aloud(workspace: Workspace) -> None:
    outcome = split_up(workspace, corpus_of(workspace, ["the same\n"] * 40), by="position")
    assert outcome.result["exact_duplicates"] == 39
    assert "39 documents repeat earlier ones and may stand in two splits" in logged(outcome)


def test_the_order_can_be_chosen_and_the_seed_matters(workspace: Workspace) -> None:
    corpus = corpus_of(workspace, [f"tale {number}" for number in range(60)])
    found = [
        [document.text for document in read_documents(outcome.outputs["corpus"].folder, "validation")]
        for seed in (1, 2)
        if (outcome := split_up(workspace, corpus, by="documents", seed=seed, validation_share=0.4))
    ]
    assert found[0] != found[1]


def test_what_is_split_already_is_refused(workspace: Workspace) -> None:
    made = split_up(workspace, corpus_of(workspace, ["a\n" * 100])).outputs["corpus"]
    with pytest.raises(BadInput, match="tales:2 is split already"):
        split_up(workspace, made)


def test_shares_that_leave_nothing_are_refused_and_a_stop_leaves_nothing_behind(workspace: Workspace) -> None:
    corpus = corpus_of(workspace, [f"tale {number}" for number in range(1000)])
    with pytest.raises(BadInput, match="leave nothing for train"):
        split_up(workspace, corpus, validation_share=0.6, test_share=0.6)
    stop = StopRequest()
    stop.make()
    assert split_up(workspace, corpus, stop=stop).run.state == "interrupted"
    assert len(workspace.artifacts.list()) == 1
