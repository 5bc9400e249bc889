"""No answer says where anything lies on the server: runs of stages that read and write, seen through all addresses."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from fastapi.routing import iter_route_contexts
from fastapi.testclient import TestClient
from people import People
from uploading import brought

from glassbox.errors import BadInput
from glassbox.stages.execution import execute
from glassbox.stages.registry import load_stage
from glassbox.workshop.uploads.places import ClientPlaces
from glassbox.workshop.visible import Visible
from glassbox.workspace import Artifact, Run
from glassbox.workspace.faults import full_disk
from glassbox.workspace.run import Problem

pytestmark = pytest.mark.one_database

TEXT = "".join(f'{{"text": "the tale of number {number}, and of what came after"}}\n' for number in range(200)).encode()
SMALL = {"steps": 2, "batch_size": 2, "model": {"width": 8, "layers": 1, "heads": 1, "context": 8}, "device": "cpu",
         "threads": 1, "precision": "fp32", "sample_tokens": 2}  # fmt: skip


class Stages:
    """Run here, with the settings that somebody would send."""

    def __init__(self, people: People) -> None:
        workshop = people.workshop
        self.seen = Visible(workshop.workspace, workshop.database, people.actor("member"))
        self._places = ClientPlaces(self.seen, workshop.uploads)
        self.runs: list[Run] = []
        self.made: dict[str, Artifact] = {}

    def run(self, name: str, **settings: Any) -> None:
        stage = load_stage(name)
        chosen = stage.settings.model_validate(settings, context=self._places)
        given = {slot: self.made[slot] for slot in stage.takes if slot in self.made}
        done = execute(stage, chosen, self.seen.workspace, given)
        self.seen.claim("run", done.run.id)
        self.runs.append(done.run)
        self.made |= done.outputs

    def fail(self, name: str, problem: BadInput) -> None:
        """A run of that stage, ended by this."""
        runs = self.seen.workspace.runs
        run = runs.create(name, name="tales", settings={}, inputs={})
        runs.begin(run).end("failed", problem=Problem(problem=problem.problem, remedy=problem.remedy))
        self.seen.claim("run", run.id)
        self.runs.append(run)


@pytest.fixture
def worked(people: People) -> Stages:
    stages = Stages(people)
    stages.run("collect", source="files", path=f"upload:{brought(people.client('member'), TEXT)}", text_field="text")
    stages.run("split", validation_share=0.2)
    stages.run("train-tokenizer", vocabulary_size=300)
    stages.run("tokenize")
    stages.run("pretrain", **SMALL)
    stages.run("evaluate", split="validation", baselines=False)
    stages.run("export-model", to="download:tales")
    stages.fail("collect", full_disk(people.workshop.workspace.folder))
    return stages


def addresses(people: People, stages: Stages) -> Iterator[str]:
    """Every address under which something can be seen whose name is that of a run, an artifact or a stage here."""
    artifacts = stages.made.values()
    known: Mapping[str, list[str]] = {
        "run_id": [run.id for run in stages.runs],
        "artifact_id": [artifact.id for artifact in artifacts],
        "corpus_id": [artifact.id for artifact in artifacts if artifact.kind == "corpus"],
        "tokenizer_id": [artifact.id for artifact in artifacts if artifact.kind == "tokenizer"],
        "stage": [run.record.stage for run in stages.runs],
    }
    for route in iter_route_contexts(people.app.routes):
        path = route.path or ""
        names = re.findall(r"{(\w+)[^}]*}", path)
        if "GET" not in (route.methods or ()):
            continue
        if not names:
            yield path
        elif len(names) == 1 and names[0] in known:
            yield from (path.replace(f"{{{names[0]}}}", value) for value in known[names[0]])
    for artifact in artifacts:
        yield from (f"/api/artifacts/{artifact.id}/files/{path}" for path in artifact.manifest.files)
        yield f"/api/artifacts/named/{artifact.kind}/{artifact.reference}"
    first, *others = (run.id for run in stages.runs)
    yield from (f"/api/comparison/runs?run={first}&run={other}" for other in others)


@pytest.mark.slow
def test_no_answer_says_where_anything_lies(people: People, worked: Stages) -> None:
    client: TestClient = people.client("owner")
    folder = str(people.workshop.workspace.folder).encode()
    told, seen = [], 0
    for address in addresses(people, worked):
        answer = client.get(address)
        seen += answer.status_code == 200
        if folder in answer.content:
            told.append((address, answer.content[max(0, answer.content.find(folder) - 60) :][:200]))
    assert told == []
    assert seen > 60, "most addresses were not to be seen"
