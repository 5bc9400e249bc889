"""For each request of the table in docs/security.md: one that should succeed, about something that the member owns.

A route whose path parameters are known below, and that takes no body, needs nothing here. Whatever is made is made anew
for each request: one may delete what the next would look for.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from people import People
from shelf import Shelf
from without_processes import serve_without_processes

from glassbox.data.corpus import CorpusWriter
from glassbox.data.documents import Document
from glassbox.evaluation.engines.machine import this_machine
from glassbox.spec import preset
from glassbox.workshop.gateway.deployments import Setup
from glassbox.workshop.own_specs import OwnSpecs
from glassbox.workshop.routes.traces import VIEWS
from glassbox.workshop.visible import Visible
from glassbox.workspace import Artifact, Run

PASSWORD = "blue horses dance slowly"

_SMALL = {"resources": {"memory": 10**6}}


@dataclass
class Example:
    """What is sent. `parameters`: of the path, where they aren't those of `PARAMETERS`."""

    json: Any = None
    content: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)
    query: dict[str, str | list[str]] = field(default_factory=dict)
    parameters: dict[str, str] = field(default_factory=dict)


def seen_by(people: People, name: str) -> Visible:
    """The workspace as that person sees it."""
    return Visible(people.workshop.workspace, people.workshop.database, people.actor(name))


def run_of(people: People, name: str = "member") -> Run:
    """A new run of a person."""
    run = people.workshop.workspace.runs.create("evaluate", name="example", settings={}, inputs={})
    seen_by(people, name).claim("run", run.id)
    return run


def artifact_of(people: People, name: str = "member") -> Artifact:
    """A new corpus of a person, made by a run of theirs."""
    run = run_of(people, name)
    with people.workshop.workspace.artifacts.draft("corpus", "example", run=run.id) as draft:
        (draft.folder / "documents.jsonl").write_text('{"text": "a"}\n')
    return draft.artifact


def _key(people: People) -> str:
    return people.workshop.keys.make(people.user("member").id, "example")[1].id


def _session(people: People) -> str:
    people.workshop.sessions.open(people.user("member").id, "another browser")
    return people.workshop.sessions.of(people.user("member").id)[0].id


def _link(people: People, kind: str, subject: str) -> tuple[str, str]:
    secret, link = people.workshop.links.make(kind, subject, people.user("member").id, lasts=None)
    return secret, link.id


def _withdraw_link(people: People) -> Example:
    run = run_of(people)
    return Example(parameters={"object_id": run.id, "link_id": _link(people, "run", run.id)[1]})


def _follow_invitation(people: People) -> Example:
    token = people.workshop.sessions.one_time_token(people.user("member").id, "password")
    return Example(json={"token": token, "password": PASSWORD})


def _log_in(people: People) -> Example:
    people.give_password("member", PASSWORD)
    return Example(json={"name": "member", "password": PASSWORD})


def _change_password(people: People) -> Example:
    for name in ("member", "other member", "educator", "owner"):
        people.give_password(name, PASSWORD)
    return Example(json={"old": PASSWORD, "new": f"{PASSWORD} indeed"})


def _a_new_name(people: People) -> str:
    return f"person-{len(people.workshop.users.list())}"


def _model(people: People) -> str:
    return Shelf(people).model().id


def _tokenizer(people: People) -> str:
    return Shelf(people).characters().id


def _spec(people: People) -> str:
    spec = OwnSpecs(seen_by(people, "member")).save("example", preset("gpt2-small"), replace=True)
    return spec.id


def _bench(people: People) -> str:
    bench = {"batch": 1, "length": 16, "threads": 1, "engines": {}}
    content = json.dumps({"machine": this_machine(), "step": {}, "bench": bench}).encode()
    return Shelf(people).publish("report", "engines", {"report.json": content}, stage="compare-engines").id


def _choice(people: People) -> dict[str, str]:
    return {"own": _spec(people)}


def _tensor(people: People) -> dict[str, str]:
    return {"artifact": _model(people), "name": "blocks.0.attention.query"}


def _corpus(people: People) -> str:
    """A corpus of the member whose documents can be read."""
    made = people.workshop.workspace.artifacts.draft("corpus", "example", run=run_of(people).id)
    with made as draft, CorpusWriter(draft.folder) as writer:
        writer.append(Document("a text", "example.txt"))
    return draft.artifact.id


def _download(people: People) -> Example:
    """A run of the member's that wrote something to be fetched."""
    place = people.workshop.workspace.folder / "downloads" / "example" / "model"
    place.mkdir(parents=True, exist_ok=True)
    run = people.workshop.workspace.runs.create("export-model", name="example", settings={"to": str(place)}, inputs={})
    seen_by(people, "member").claim("run", run.id)
    return Example(parameters={"run_id": run.id})


def _waiting(people: People) -> str:
    """A run of the member's that waits for its turn."""
    answer = people.client("member").post("/api/stages/train-digits/runs", json=_SMALL)
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


def _given_up(people: People) -> str:
    """A run of the member's that was cancelled."""
    run = _waiting(people)
    people.workshop.executor.cancel(run)
    return run


def _of_run(run: Callable[[People], str], json: Any = None) -> Callable[[People], Example]:
    return lambda people: Example(json=json, parameters={"run_id": run(people)})


def _upload(people: People, received: bytes = b"a text") -> str:
    """An upload of the member that will have six bytes."""
    uploads = people.workshop.uploads
    upload = uploads.begin(people.user("member").id, label="example.txt", length=6)
    with uploads.receive(upload.id, 0) as receiving:
        receiving.write(received)
        receiving.keep()
    return upload.id


def _go_on_with_upload(people: People) -> Example:
    headers = {"Content-Type": "application/offset+octet-stream", "Upload-Offset": "2"}
    return Example(parameters={"upload_id": _upload(people, b"a ")}, content=b"text", headers=headers)


def _served(people: People) -> str:
    """The public name of a model that the member serves."""
    serve_without_processes(people.workshop.gateway)
    deployments = people.workshop.gateway.deployments
    name = f"served-{len(deployments.all())}"
    setup = Setup("glassbox", rows=1, threads=None, memory=None, unload_after=None)
    deployments.add(people.user("member").id, name, Shelf(people).model(), setup)
    return name


def _deploy(people: People) -> Example:
    serve_without_processes(people.workshop.gateway)
    model = Shelf(people).model()
    return Example(json={"model": model.reference, "name": f"served-{len(people.workshop.gateway.deployments.all())}"})


def _ask_model(**asked: Any) -> Callable[[People], Example]:
    return lambda people: Example(json={"model": _served(people), **asked})


PARAMETERS: dict[str, Callable[[People], str]] = {
    "run_id": lambda people: run_of(people).id,
    "key_id": _key,
    "session_id": _session,
    "person_id": lambda people: people.user("member").id,
    "kind": lambda _: "run",
    "object_id": lambda people: run_of(people).id,
    "artifact_id": lambda people: artifact_of(people).id,
    "tokenizer_id": _tokenizer,
    "spec_id": _spec,
    "report_id": _bench,
    "earlier_id": _bench,
    "upload_id": _upload,
    "corpus_id": _corpus,
    "deployment": _served,
    "model": _served,
    "address": lambda _: "images/generations",
    "secret": lambda people: _link(people, "run", run_of(people).id)[0],
}
"""What stands for a path parameter: something of the member's."""

EXAMPLES: dict[str, Callable[[People], Example]] = {
    "GET /open": lambda people: Example(
        query={"token": people.workshop.sessions.one_time_token(people.user("member").id)}
    ),
    "GET /static/{name}": lambda _: Example(parameters={"name": "pages.css"}),
    "GET /docs/{name}": lambda _: Example(parameters={"name": "start.js"}),
    "GET /invitation": lambda people: Example(
        query={"token": people.workshop.sessions.one_time_token(people.user("member").id, "password")}
    ),
    "GET /api/artifacts/named/{kind}/{reference}": lambda people: Example(
        parameters={"kind": "corpus", "reference": artifact_of(people).reference}
    ),
    "PUT /api/artifacts/{artifact_id}/note": lambda _: Example(json={"text": "good"}),
    "GET /api/artifacts/{artifact_id}/files/{path:path}": lambda _: Example(parameters={"path": "documents.jsonl"}),
    "GET /api/artifacts/{artifact_id}/card": lambda people: Example(parameters={"artifact_id": _model(people)}),
    "GET /api/tensors": lambda people: Example(query={"artifact": _model(people)}),
    "GET /api/tensors/statistics": lambda people: Example(query=_tensor(people)),
    "POST /api/tensors/difference": lambda people: Example(
        json={"first": {"artifact": _model(people)}, "second": {"artifact": _model(people)}}
    ),
    "POST /api/tokenizers/{tokenizer_id}/encode": lambda _: Example(json={"texts": ["abc"]}),
    "POST /api/tokenizers/{tokenizer_id}/decode": lambda _: Example(json={"ids": [1]}),
    "POST /api/tokenizers/{tokenizer_id}/inspect": lambda _: Example(json={"text": "abc"}),
    "POST /api/tokenizers/{tokenizer_id}/statistics": lambda _: Example(json={"text": "abc"}),
    "POST /api/tokenizers/{tokenizer_id}/cost": lambda _: Example(json={"tokens": 1}),
    "POST /api/tokenizers/{tokenizer_id}/picture": lambda _: Example(json={"text": "abc"}),
    "POST /api/tokenizers/compare": lambda people: Example(json={"tokenizers": [_tokenizer(people)], "text": "abc"}),
    "GET /api/presets/{name}": lambda _: Example(parameters={"name": "gpt2-small"}),
    "POST /api/specs/validate": lambda people: Example(json=_choice(people)),
    "POST /api/specs/count": lambda people: Example(json={"model": _choice(people)}),
    "POST /api/specs/compare": lambda people: Example(json={"models": {"a": _choice(people)}}),
    "POST /api/specs/weights": lambda people: Example(json=_choice(people)),
    "POST /api/specs/picture": lambda people: Example(json={"models": {"a": _choice(people)}}),
    "POST /api/own-specs": lambda people: Example(
        json={"name": "mine", "model": {"preset": "gpt2-small"}, "replace": True}
    ),
    "GET /api/engines/code/{component}": lambda _: Example(parameters={"component": "attention"}),
    "POST /api/deployments": _deploy,
    "POST /api/deployments/{deployment}/versions": lambda people: Example(
        json={"model": Shelf(people).model().reference}
    ),
    "POST /api/deployments/{deployment}/rollback": lambda _: Example(json={"version": 1}),
    **{f"POST /api/deployments/{{deployment}}/trace/{view}": lambda _: Example(json={"input": "a"}) for view in VIEWS},
    "POST /api/deployments/{deployment}/trace/patching": lambda _: Example(json={"input": "a", "corrupted": "b"}),
    "POST /v1/chat/completions": _ask_model(messages=[{"role": "user", "content": "hello"}]),
    "POST /v1/completions": _ask_model(prompt="hello"),
    "POST /v1/embeddings": _ask_model(input="hello"),
    "PUT /api/limits/{person_id}": lambda _: Example(json={}),
    "PUT /api/prices": lambda _: Example(json={}),
    "GET /api/stages/{stage}": lambda _: Example(parameters={"stage": "train-digits"}),
    "POST /api/stages/{stage}/validate": lambda _: Example(json=_SMALL, parameters={"stage": "train-digits"}),
    "POST /api/stages/{stage}/runs": lambda _: Example(json=_SMALL, parameters={"stage": "train-digits"}),
    "POST /api/runs/{run_id}/pause": _of_run(_waiting),
    "POST /api/runs/{run_id}/resume": _of_run(_waiting, json={}),
    "PUT /api/runs/{run_id}/priority": _of_run(_waiting, json={"priority": 1}),
    "POST /api/runs/{run_id}/retry": _of_run(_given_up),
    "POST /api/runs/{run_id}/fork": _of_run(_given_up, json={"resources": _SMALL["resources"]}),
    "GET /api/comparison/runs": lambda people: Example(query={"run": [run_of(people).id, run_of(people).id]}),
    "POST /api/login": _log_in,
    "POST /api/invitation": _follow_invitation,
    "PATCH /api/me": lambda _: Example(json={"persona": "learner"}),
    "PUT /api/me/password": _change_password,
    "POST /api/keys": lambda _: Example(json={"name": "notebook"}),
    "POST /api/uploads": lambda _: Example(headers={"Upload-Length": "6"}),
    "PATCH /api/uploads/{upload_id}": _go_on_with_upload,
    "GET /api/runs/{run_id}/download": _download,
    "POST /api/people": lambda people: Example(json={"name": _a_new_name(people)}),
    "PATCH /api/people/{person_id}": lambda _: Example(json={"role": "member"}),
    "POST /api/sharing/{kind}/{object_id}/links": lambda _: Example(json={"days": 1}),
    "DELETE /api/sharing/{kind}/{object_id}/links/{link_id}": _withdraw_link,
}
"""What else a request needs. Whoever adds a route that needs something adds a line here, and one in the table."""
