"""A listing that is kept from one answer to the next says the same as one that is made anew."""

from __future__ import annotations

import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glassbox.errors import BadInput
from glassbox.workspace import Workspace, run_index

DEEDS = ("create", "begin", "finish", "fail", "cancel", "delete", "remove by hand", "damage")


@settings(max_examples=25, deadline=None)
@given(deeds=st.lists(st.tuples(st.sampled_from(DEEDS), st.integers(0, 3)), max_size=12))
def test_whatever_is_done_to_runs_the_next_listing_says_so(tmp_path_factory, deeds: list[tuple[str, int]]):
    workspace = Workspace(tmp_path_factory.mktemp("workspace"))
    attempts = {}
    for deed, place in deeds:
        runs = sorted(entry.name for entry in workspace.runs.folder.glob("*"))
        chosen = runs[place % len(runs)] if runs else None
        if deed == "create":
            workspace.runs.create("pretrain", name="plays", settings={}, inputs={})
        elif chosen is not None:
            do(workspace, deed, chosen, attempts)
        assert workspace.runs.list() == Workspace(workspace.folder).runs.list(), deed


def do(workspace: Workspace, deed: str, run_id: str, attempts: dict) -> None:
    """Do it to that run, if it can be done."""
    folder = workspace.runs.folder / run_id
    try:
        if deed == "begin":
            attempts[run_id] = workspace.runs.begin(workspace.runs.get(run_id))
        elif deed == "finish" and run_id in attempts:
            attempts.pop(run_id).end("finished", result={})
        elif deed == "fail" and run_id in attempts:
            attempts.pop(run_id).end("failed")
        elif deed == "cancel":
            workspace.runs.cancel(run_id)
        elif deed == "delete":
            workspace.runs.delete(run_id)
        elif deed == "remove by hand" and run_id not in attempts:
            shutil.rmtree(folder)
        elif deed == "damage" and workspace.runs.get(run_id).state not in ("finished", "cancelled"):
            (folder / "state.json").write_text("{")
    except BadInput:
        pass  # it can't be done in this state


def test_runs_that_are_over_for_good_are_not_looked_at_again(workspace, monkeypatch):
    for _ in range(5):
        workspace.runs.begin(workspace.runs.create("pretrain", name="over", settings={}, inputs={})).end("finished")
    waiting = workspace.runs.create("pretrain", name="waits", settings={}, inputs={})
    before = workspace.runs.list()
    looked_at: list[str] = []

    def note(folder: str) -> str:
        looked_at.append(Path(folder).name)
        return stamp(folder)

    stamp = run_index._stamp
    monkeypatch.setattr(run_index, "_stamp", note)
    assert workspace.runs.list() == before
    assert looked_at == [waiting.id]


def test_a_run_put_in_the_place_of_one_that_was_over_is_read(workspace):
    run = workspace.runs.create("pretrain", name="plays", settings={}, inputs={})
    workspace.runs.begin(run).end("finished")
    assert [entry.state for entry in workspace.runs.list()] == ["finished"]
    shutil.move(run.folder, workspace.folder / "aside")
    shutil.copytree(workspace.folder / "aside", run.folder)
    (run.folder / "state.json").write_text('{"state":"queued"}')
    assert [entry.state for entry in workspace.runs.list()] == ["queued"]


@pytest.mark.parametrize("name", ["", ".", "..", "../runs", "a/b", "x" * 300, "UPPER", "\0"])
def test_only_a_whole_id_names_a_folder(workspace, name):
    workspace.runs.create("pretrain", name="plays", settings={}, inputs={})
    assert workspace.runs.folder_with(name) is None


def test_of_many_who_ask_when_runs_have_changed_one_reads_them(workspace, monkeypatch):
    for _ in range(5):
        workspace.runs.create("pretrain", name="plays", settings={}, inputs={})
    together, reads, synchronise = Barrier(4), [], run_index.RunIndex._synchronise

    def slowly(index: run_index.RunIndex) -> None:
        reads.append(index)
        time.sleep(0.2)  # so that the others come meanwhile
        synchronise(index)

    def ask(_: int) -> list:
        together.wait()
        return workspace.runs.list()

    monkeypatch.setattr(run_index.RunIndex, "_synchronise", slowly)
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(ask, range(4)))
    assert len(reads) == 1
    assert all(len(answer) == 5 and answer == answers[0] for answer in answers)
