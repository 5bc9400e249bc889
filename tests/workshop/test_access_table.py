"""Every route, asked by nobody, people of each role, and keys, answers as the table in docs/security.md says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from access_examples import EXAMPLES, PARAMETERS, Example
from databases import DATABASES, NewDatabase
from fastapi import FastAPI
from fastapi.routing import APIRoute, APIWebSocketRoute, RouteContext, iter_route_contexts
from fastapi.testclient import TestClient
from people import ADDRESS, People
from starlette.websockets import WebSocketDisconnect

from glassbox.workshop.access.doors import SAFE_METHODS
from glassbox.workshop.access.guards import access_of, guard
from glassbox.workshop.app import create_app
from glassbox.workshop.settings import WorkshopSettings

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "security.md"
ACTORS = ("nobody", "member", "other member", "educator", "owner")
_CLOSED = {4401: 401, 4403: 403, 4404: 404}  # how a WebSocket is closed


@dataclass(frozen=True)
class Line:
    """A line of the table."""

    request: str
    answers: dict[str, str]
    keys: str
    noted: str


def _lines() -> list[Line]:
    rows = [row for row in DOCUMENT.read_text().splitlines() if re.match(r"\| `[A-Z]+ /", row)]
    cells = [[cell.strip().strip("`") for cell in row.strip("|").split("|")] for row in rows]
    return [Line(row[0], dict(zip(ACTORS, row[1:6], strict=True)), row[6], row[7]) for row in cells]


LINES = _lines()


def routes_of(app: FastAPI) -> dict[str, RouteContext]:
    """Every route by the request that it answers: `GET /api/me`; a WebSocket is `WS`."""
    found: dict[str, RouteContext] = {}
    for route in iter_route_contexts(app.routes):
        for method in sorted(route.methods or {"WS"}):
            found[f"{method} {route.path}"] = route
    return found


@pytest.fixture
def app_at_rest(own_workspace: Path, new_database: NewDatabase) -> Iterator[FastAPI]:
    """To be looked at, not asked."""
    made = create_app(WorkshopSettings(workspace=own_workspace, database_url=new_database(own_workspace)))
    yield made
    made.state.workshop.stop()


@pytest.fixture(scope="module", params=DATABASES)
def people(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, new_database: NewDatabase
) -> Iterator[People]:
    """The people of one workshop for all lines: what is asked about is made anew each time. Runs wait in it."""
    folder = tmp_path_factory.mktemp("workspace")
    made = create_app(WorkshopSettings(workspace=folder, database_url=new_database(folder, request.param), threads=2))
    with TestClient(made, base_url=ADDRESS):
        made.state.workshop.scheduler.stop()
        yield People(made)


@pytest.fixture(autouse=True)
def few_at_a_time(people: People) -> Iterator[None]:
    """There may be so many models and keys, and not as many as all lines together need."""
    yield
    workshop = people.workshop
    for deployment in workshop.gateway.deployments.all():
        workshop.gateway.delete(deployment)
    for user in workshop.users.list():
        workshop.keys.revoke_all(user.id)


def test_the_table_has_a_line_for_every_route_and_no_other(app_at_rest: FastAPI):
    listed = [line.request for line in LINES]
    assert sorted(listed) == sorted(routes_of(app_at_rest))


def test_every_route_stands_behind_the_guard_and_nothing_is_mounted_beside_it(app_at_rest: FastAPI):
    for request, route in routes_of(app_at_rest).items():
        assert isinstance(route.original_route, APIRoute | APIWebSocketRoute), request
        assert guard in [dependency.dependency for dependency in route.dependencies], request


def test_every_route_says_whom_it_allows(app_at_rest: FastAPI):
    silent = [request for request, route in routes_of(app_at_rest).items() if access_of(route.endpoint) is None]
    assert silent == []


def test_the_table_says_which_keys_open_a_route_and_whether_it_is_noted(app_at_rest: FastAPI):
    routes = routes_of(app_at_rest)
    for line in LINES:
        access = access_of(routes[line.request].endpoint)
        assert access is not None
        keys = "—" if access.role == "everyone" else "none" if access.by_session else access.scope
        changes = line.request.partition(" ")[0] not in {*SAFE_METHODS, "WS"}
        noted = "yes" if changes and access.is_noted else "—"
        assert (line.request, line.keys, line.noted) == (line.request, keys, noted)


@pytest.mark.parametrize("line", LINES, ids=lambda line: line.request)
def test_each_person_is_answered_as_the_table_says(line: Line, people: People):
    answers = {actor: _ask(people, line.request, actor) for actor in ACTORS}
    assert answers == line.answers


@pytest.mark.parametrize("line", [line for line in LINES if line.keys != "—"], ids=lambda line: line.request)
def test_a_key_opens_no_more_than_the_table_says(line: Line, people: People):
    person = "owner" if line.answers["member"] == "403" else "member"
    answers = {scope: _ask(people, line.request, person, key=people.key(person, scope)) for scope in _SCOPES}
    opened = {"none": (), "workshop": ("workshop",), "models": _SCOPES}[line.keys]
    assert answers == {scope: "yes" if scope in opened else "403" for scope in _SCOPES}


_SCOPES = ("workshop", "models")


def _ask(people: People, request: str, actor: str, *, key: str | None = None) -> str:
    """`yes`, or the status of the refusal. Whatever else goes wrong is a wrong example, and fails."""
    method, _, template = request.partition(" ")
    example = EXAMPLES.get(request, lambda _: Example())(people)
    names = re.findall(r"{(\w+)", template)
    values = {
        name: example.parameters[name] if name in example.parameters else PARAMETERS[name](people) for name in names
    }
    path = re.sub(r"{(\w+)[^}]*}", lambda found: values[found[1]], template)
    client = people.client(None if actor == "nobody" or key is not None else actor)
    if key is not None:
        client.headers["Authorization"] = f"Bearer {key}"
    if method == "WS":
        return _connect(client, path)
    answer = client.request(
        method,
        path,
        params=example.query,
        json=example.json,
        content=example.content,
        headers=example.headers,
        follow_redirects=False,
    )
    if answer.status_code in (401, 403, 404):
        return str(answer.status_code)
    assert answer.status_code < 400, f"{request} as {actor}: {answer.status_code} {answer.text[:500]}"
    return "yes"


def _connect(client: TestClient, path: str) -> str:
    try:
        with client.websocket_connect(path.replace("http", "ws"), headers={"host": ADDRESS.partition("//")[2]}):
            return "yes"
    except WebSocketDisconnect as closed:
        return str(_CLOSED[closed.code])
