"""Where artifacts come from, as a graph, and the cards of models."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient
from people import People
from shelf import TINY, Shelf

from glassbox.spec import count_parameters
from glassbox.workshop.registry import lineage
from glassbox.workspace import Artifact
from glassbox.workspace.code_version import code_version
from glassbox.workspace.notes import write_note


def graph(client: TestClient, artifact: Artifact) -> dict[str, Any]:
    answer = client.get(f"/api/artifacts/{artifact.id}/lineage")
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_the_graph_goes_back_to_the_text_and_on_to_the_reports(client: TestClient, shelf: Shelf):
    corpus = shelf.publish("corpus")
    tokenizer = shelf.publish("tokenizer", parents=[corpus])
    shards = shelf.publish("shards", parents=[corpus, tokenizer])
    model = shelf.model(parents=[shards, tokenizer])
    report = shelf.publish("report", parents=[model])
    shelf.publish("corpus", "unrelated")
    told = graph(client, model)
    everything = [corpus, tokenizer, shards, model, report]
    assert {one["id"] for one in told["artifacts"]} == {one.id for one in everything}
    assert {one["id"] for one in told["runs"]} == {one.manifest.run for one in everything}
    assert {one["code"] for one in told["runs"]} == {code_version()}
    pairs = {(one["source"], one["target"]) for one in told["edges"]}
    for child in everything:
        assert (child.manifest.run, child.id) in pairs
        assert all((parent.id, child.manifest.run) in pairs for parent in child.manifest.parents)
    assert len(pairs) == 5 + 6
    assert not told["cut"]


def test_the_slots_of_a_run_are_told(client: TestClient, shelf: Shelf, people: People):
    corpus = shelf.publish("corpus")
    workspace = shelf.workspace
    run = workspace.runs.create("train-tokenizer", name="x", settings={}, inputs={"corpus": corpus})
    attempt = workspace.runs.begin(run)
    with workspace.artifacts.draft("tokenizer", "x", parents=[corpus], run=run.id) as draft:
        (draft.folder / "a").write_text("a")
    attempt.published("tokenizer", draft.artifact)
    attempt.end("finished")
    told = graph(client, draft.artifact)
    assert {one["role"] for one in told["edges"] if run.id in one.values()} == {"corpus", "tokenizer"}
    assert {one["state"] for one in told["runs"] if one["id"] == run.id} == {"finished"}


def test_of_other_peoples_artifacts_only_the_name_is_told_and_nothing_behind_it(people: People, shelf: Shelf):
    secret = shelf.publish("corpus", "secret", owner="another")
    shared = shelf.publish("shards", "shared", owner="another", parents=[secret])
    mine = shelf.model(parents=[shared])
    shelf.publish("report", "theirs", parents=[mine], owner="another")
    told = graph(people.client("member"), mine)
    assert [(one["reference"], one["presence"]) for one in told["artifacts"]] == [
        (mine.reference, "here"),
        ("shared:1", "hidden"),
    ]
    assert "secret" not in str(told) and "theirs" not in str(told)
    assert [one["bytes"] is None for one in told["artifacts"]] == [False, True]
    shelf.share(shared, "another")
    again = graph(people.client("member"), mine)
    assert {one["reference"]: one["presence"] for one in again["artifacts"]}["secret:1"] == "hidden"
    hidden_run = next(one for one in again["runs"] if one["id"] == shared.manifest.run)
    assert hidden_run["stage"] is None


def test_what_was_deleted_or_damaged_is_told_so(client: TestClient, shelf: Shelf):
    corpus, tokenizer = shelf.publish("corpus"), shelf.publish("tokenizer")
    model = shelf.model(parents=[corpus, tokenizer])
    shelf.workspace.delete_artifact("corpus", corpus.reference, force=True)
    shelf.workspace.runs.delete(model.manifest.run or "")
    (tokenizer.folder / "manifest.json").write_text("{")
    told = graph(client, model)
    presence = {one["id"]: one["presence"] for one in told["artifacts"]}
    assert presence[corpus.id] == "deleted"
    assert presence[tokenizer.id] == "damaged"
    assert next(one for one in told["runs"] if one["id"] == model.manifest.run)["stage"] is None


def test_a_graph_that_meets_again_and_again_is_walked_once_and_a_huge_one_is_cut(
    client: TestClient, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
):
    level = [shelf.publish("corpus", f"a{number}") for number in range(2)]
    for depth in range(12):  # 2 ** 12 ways up
        level = [shelf.publish("corpus", f"b{depth}-{number}", parents=level) for number in range(2)]
    told = graph(client, level[0])
    assert len(told["artifacts"]) == 2 * 13 - 1
    monkeypatch.setattr(lineage, "LARGEST", 10)
    cut = graph(client, level[0])
    assert cut["cut"]
    assert len(cut["artifacts"]) == 10
    known = {one["id"] for one in cut["artifacts"] + cut["runs"]}
    assert all({one["source"], one["target"]} <= known for one in cut["edges"])


def test_a_card_tells_what_was_recorded_and_nothing_else(client: TestClient, shelf: Shelf):
    corpus = shelf.publish("corpus", facts={"documents": 12, "title": "<b>|x|</b>"})
    model = shelf.model(parents=[corpus])
    shelf.publish("report", "held-out", parents=[model], facts={"bits_per_byte": 1.25}, stage="evaluate")
    write_note(model.folder, "For **Ada**.")
    told = client.get(f"/api/artifacts/{model.id}/card").json()
    assert told["description"]["width"] == TINY.width
    assert told["making"]["stage"] == "pretrain"
    assert told["making"]["code"] == code_version()
    assert told["making"]["settings"]["steps"] == 3
    assert told["sources"] == [
        {"kind": "corpus", "reference": "tales:1", "facts": {"documents": 12, "title": "<b>|x|</b>"}}
    ]
    assert [one["facts"] for one in told["measurements"]] == [{"bits_per_byte": 1.25}]
    text = client.get(f"/api/artifacts/{model.id}/card", params={"form": "markdown"})
    assert text.headers["content-type"].startswith("text/markdown")
    assert text.text == told["markdown"]
    assert f"| parameters | {count_parameters(TINY).total:,} |" in text.text
    assert "For **Ada**." in text.text
    assert "<b>" not in text.text
    assert "| bits\\_per\\_byte | 1.25 |" in text.text


def test_a_card_without_a_run_a_description_or_reports_says_less(client: TestClient, shelf: Shelf):
    adapter = shelf.publish("adapter", files={"a.bin": b"1"})
    shelf.workspace.runs.delete(adapter.manifest.run or "")
    told = client.get(f"/api/artifacts/{adapter.id}/card").json()
    assert (told["description"], told["making"], told["sources"], told["measurements"]) == (None, None, [], [])
    assert client.get(f"/api/artifacts/{shelf.publish().id}/card").status_code == 422


def test_a_card_tells_nothing_that_is_somebody_elses(people: People, shelf: Shelf):
    corpus = shelf.publish("corpus", "secret", owner="another", facts={"documents": 99})
    model = shelf.model(parents=[corpus])
    shelf.publish("report", "their-report", parents=[model], owner="another")
    told = people.client("member").get(f"/api/artifacts/{model.id}/card").json()
    assert told["sources"] == [{"kind": "corpus", "reference": "secret:1", "facts": {}}]
    assert told["measurements"] == []
    assert people.client("another").get(f"/api/artifacts/{model.id}/card").status_code == 404


def test_of_a_path_in_the_settings_only_the_name_is_told(client: TestClient, shelf: Shelf):
    run = shelf.run("member", "pretrain", preset="/home/ada/private/my.json", steps=2)
    with shelf.workspace.artifacts.draft("model", "x", run=run.id) as draft:
        (draft.folder / "a").write_text("a")
    told = client.get(f"/api/artifacts/{draft.artifact.id}/card")
    assert told.json()["making"]["settings"]["preset"] == "my.json"
    assert "private" not in told.text
    strange = shelf.run("member", "no-such-stage", path="/home/ada/private")
    with shelf.workspace.artifacts.draft("model", "y", run=strange.id) as draft:
        (draft.folder / "a").write_text("a")
    assert client.get(f"/api/artifacts/{draft.artifact.id}/card").json()["making"]["settings"] == {}
