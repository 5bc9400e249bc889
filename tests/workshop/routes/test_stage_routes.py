"""Every stage over HTTP, generated from its settings."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from people import People
from pydantic import TypeAdapter

from glassbox.stages.registry import load_stage, stages
from glassbox.workshop.jobs.preparing import StartRequest
from glassbox.workshop.routes.stage_operations import request_model
from glassbox.workshop.state import Workshop

NAMES = [stage.name for stage in stages()]


@pytest.fixture
def resting(app: FastAPI) -> Workshop:
    """The workshop, with nobody who works off its queue."""
    workshop: Workshop = app.state.workshop
    workshop.scheduler.stop()
    return workshop


def publish(workshop: Workshop, kind: Any, name: str, parents: tuple[Any, ...] = ()) -> Any:
    with workshop.workspace.artifacts.draft(kind, name, parents=parents) as draft:
        (draft.folder / "text").write_text("text")
    return draft.artifact


def test_all_stages_are_listed_in_the_order_of_the_data(client: TestClient):
    listed = client.get("/api/stages").json()["stages"]
    assert [stage["name"] for stage in listed] == NAMES
    assert NAMES[:2] == ["collect", "split"]
    assert all(stage["summary"] for stage in listed)


@pytest.mark.parametrize("name", NAMES)
def test_a_stage_describes_its_settings_for_a_form(client: TestClient, name: str):
    told = client.get(f"/api/stages/{name}").json()
    stage = load_stage(name)
    assert list(told["settings"]["properties"]) == list(stage.settings.model_fields)
    assert all(field.get("description") for field in told["settings"]["properties"].values())
    assert set(told["takes"]) == set(stage.takes)
    assert told["description"].startswith(told["summary"])
    assert set(told["may_differ"]) <= set(stage.settings.model_fields)


def test_a_stage_that_does_not_exist_is_not_there(client: TestClient):
    assert client.get("/api/stages/prtrain").status_code == 404
    assert client.get("/api/stages/prtrain").json()["remedy"] == "Did you mean pretrain?"
    assert client.post("/api/stages/prtrain/runs", json={}).status_code == 404


@pytest.mark.parametrize("name", NAMES)
def test_a_stage_has_operations_of_its_own_for_generated_clients(client: TestClient, name: str):
    document = client.get("/openapi.json").json()
    start = document["paths"][f"/api/stages/{name}/runs"]["post"]
    assert start["operationId"] == f"start_{name.replace('-', '_')}"
    reference = start["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
    schema = document["components"]["schemas"][reference]
    assert schema["additionalProperties"] is False
    settings = schema["properties"]["settings"]
    settings = document["components"]["schemas"][(settings.get("$ref") or settings["allOf"][0]["$ref"]).split("/")[-1]]
    assert list(settings["properties"]) == list(load_stage(name).settings.model_fields)
    assert settings["additionalProperties"] is False
    assert f"/api/stages/{name}/validate" in document["paths"]
    assert "/api/stages/{stage}/runs" not in document["paths"]


def test_every_reference_in_the_description_leads_somewhere(client: TestClient):
    document = client.get("/openapi.json").json()
    identities = [one["operationId"] for item in document["paths"].values() for one in item.values()]
    assert len(identities) == len(set(identities))

    def references(part: Any) -> set[str]:
        if isinstance(part, list):
            return set().union(*map(references, part))
        if isinstance(part, dict):
            own = {part["$ref"]} if isinstance(part.get("$ref"), str) else set()
            return own.union(*map(references, part.values()))
        return set()

    known = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert references(document["paths"]) | references(document["components"]) <= known


@pytest.mark.parametrize("name", NAMES)
def test_what_is_described_is_what_is_taken(name: str):
    """A request that fits the stage's own type fits the one type that all stages share."""
    example = {"name": "plays", "priority": 3, "inputs": {}}
    typed = request_model(load_stage(name))
    fields = typed.model_fields
    assert set(fields) == set(StartRequest.model_fields)
    TypeAdapter(StartRequest).validate_python(example)


def test_a_request_is_checked_without_starting_anything(client: TestClient, resting: Workshop):
    corpus = publish(resting, "corpus", "plays")
    told = client.post("/api/stages/split/validate", json={}).json()
    assert told["errors"] == []
    assert told["inputs"] == {"corpus": corpus.reference}
    assert told["choices"] == [f"corpus: {corpus.reference}, the newest corpus"]
    assert told["name"] == "plays"
    assert told["takes"] == {"threads": 1, "memory": 2**30, "gpus": 0}
    assert resting.workspace.runs.list() == []


def test_everything_that_is_wrong_is_said_at_once(client: TestClient, resting: Workshop):
    body = {"settings": {"steps": 0, "nonsense": 1, "model": {"width": -1}}, "name": "No Name"}
    errors = client.post("/api/stages/pretrain/validate", json=body).json()["errors"]
    assert {error["field"] for error in errors} == {
        "settings.steps", "settings.nonsense", "settings.model.width", "inputs", "name",
    }  # fmt: skip
    answer = client.post("/api/stages/pretrain/runs", json=body)
    assert answer.status_code == 422
    assert set(answer.json()["fields"]) == {error["field"] for error in errors}


def test_a_setting_that_is_no_number_is_not_read_as_one(client: TestClient, resting: Workshop):
    body = {"settings": {"steps": True, "batch_size": "8", "model": {"width": False}}}
    errors = client.post("/api/stages/pretrain/validate", json=body).json()["errors"]
    fields = {error["field"] for error in errors}
    assert fields >= {"settings.steps", "settings.batch_size", "settings.model.width"}


def test_a_stage_that_lacks_an_input_says_who_makes_it(client: TestClient, resting: Workshop):
    answer = client.post("/api/stages/split/runs", json={})
    assert answer.status_code == 422
    assert "there is no corpus" in answer.json()["detail"]
    assert answer.json()["remedy"].startswith("Make one first: glassbox collect")


def test_an_input_that_nobody_named_is_not_taken_from_what_is_hidden(people: People, resting: Workshop):
    """The model is shared with everyone, and what it learned from isn't."""
    shards = publish(resting, "shards", "secret")
    model = publish(resting, "model", "shared", parents=(shards,))
    owner, member = people.client("owner"), people.client("member")
    owner.put(f"/api/sharing/artifact/{model.id}/everyone")
    body = {"inputs": {"model": "shared"}}
    assert owner.post("/api/stages/evaluate/validate", json=body).json()["inputs"]["shards"] == "secret:1"
    told = member.post("/api/stages/evaluate/validate", json=body).json()
    assert [error["field"] for error in told["errors"]] == ["inputs"]
    assert "there is no shards" in told["errors"][0]["problem"]


def test_no_path_of_the_server_can_be_named(client: TestClient, resting: Workshop, own_workspace):
    for settings in ({"path": "/etc/passwd"}, {"path": "upload:../../etc"}, {"path": ["/etc"]}):
        answer = client.post("/api/stages/collect/runs", json={"settings": {"source": "files", **settings}})
        assert answer.status_code == 422, settings
    assert resting.workspace.runs.list() == []


def test_needs_are_predicted_from_the_models_description(client: TestClient, resting: Workshop):
    tokenizer = publish(resting, "tokenizer", "plays")
    publish(resting, "shards", "plays", parents=(tokenizer,))
    small, large = (
        client.post(
            "/api/stages/pretrain/validate",
            json={"settings": {"preset": "gpt2-small", "batch_size": 1, "threads": threads, "model": model}},
        ).json()["takes"]
        for threads, model in ((1, {"layers": 1}), (0, {}))
    )
    assert (small["threads"], large["threads"]) == (1, 2)
    assert 600_000_000 < small["memory"] < large["memory"]


def test_the_work_of_one_process_is_not_shared(client: TestClient, resting: Workshop):
    publish(resting, "corpus", "plays")
    for wrong, said in (
        ({"processes": 2, "launcher": "torchrun"}, "The stage split is the work of one process, not of 2."),
        ({"launcher": "nonsense"}, "launcher"),
    ):
        answer = client.post("/api/stages/split/runs", json=wrong)
        assert answer.status_code == 422
        assert said in answer.json()["detail"]
