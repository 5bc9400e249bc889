"""A foreign Host, another site's page and a NUL come no further than the door."""

from __future__ import annotations

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from people import People
from starlette.websockets import WebSocketDisconnect

from glassbox.workshop.app import create_app
from glassbox.workshop.settings import WorkshopSettings

pytestmark = pytest.mark.one_database


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1:8000", "localhost:8000", "LOCALHOST", "localhost.", "[::1]:8000", "192.168.1.20", "127.0.0.1:80"],
)
def test_the_machines_own_names_and_any_address_are_answered(people: People, host: str):
    assert people.client(None).get("/health", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "127.0.0.1.evil.example",
        "localhost.evil.example:8000",
        "evil.example#localhost",
        "localhost@evil.example",
        "",
        "[::1",
        "localhost:notaport",
        "0x7f.1",
        "2130706433",
    ],
)
def test_a_foreign_host_is_answered_nothing_even_about_what_is_open_to_everyone(people: People, host: str):
    answer = people.client("owner").get("/health", headers={"host": host})
    assert answer.status_code == 421
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_name_that_was_given_at_the_start_is_answered_to(settings: WorkshopSettings):
    app = create_app(settings.model_copy(update={"names": ("Class.Example",)}))
    client = TestClient(app)
    assert client.get("/health", headers={"host": "class.example:8000"}).status_code == 200
    app.state.workshop.stop()


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "http://127.0.0.1:9000"},
        {"origin": "http://localhost:8000"},
        {"origin": "https://127.0.0.1:8000.evil.example"},
        {"origin": "null"},
        {"origin": "file://"},
        {"origin": "http://["},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": "http://127.0.0.1:8000", "sec-fetch-site": "cross-site"},
    ],
)
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_what_another_sites_page_sends_changes_nothing(people: People, method: str, headers: dict[str, str]):
    answer = people.client("member").request(method, "/api/session", headers=headers)
    assert answer.status_code == 403
    assert "another site" in answer.json()["detail"]


@pytest.mark.parametrize(
    "headers",
    [{}, {"origin": "http://127.0.0.1:8000"}, {"origin": "http://127.0.0.1:8000", "sec-fetch-site": "same-origin"}],
)
def test_the_workshops_own_pages_and_programs_may_change_things(people: People, headers: dict[str, str]):
    assert people.client("member").delete("/api/session", headers=headers).status_code == 204


def test_a_form_of_another_site_logs_nobody_in(people: People):
    people.give_password("member", "blue horses dance slowly")
    credentials = '{"name": "member", "password": "blue horses dance slowly"}'
    for headers in ({"content-type": "text/plain"}, {"content-type": "text/plain", "origin": "http://evil.example"}):
        answer = people.client(None).post("/api/login", content=credentials, headers=headers)
        assert answer.status_code in (403, 422)
        assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("headers", [{"origin": "http://evil.example"}, {"host": "evil.example"}])
def test_a_websocket_of_another_site_is_refused(people: People, headers: dict[str, str]):
    headers = {"host": "127.0.0.1:8000", **headers}
    with (
        pytest.raises(WebSocketDisconnect) as refused,
        people.client("owner").websocket_connect("/api/runs/any/watch", headers=headers),
    ):
        pass
    assert refused.value.code == 4403


@pytest.mark.parametrize("address", ["/api/runs/%00/events", "/api/people/a%00b", "/api/audit?actor=%00"])
def test_a_nul_in_an_address_comes_no_further(people: People, address: str):
    assert people.client("owner").get(address).status_code == 400


@pytest.mark.parametrize(
    "path",
    [
        "/static/..%2f..%2fapp.py",
        "/static/%2e%2e/rendering.py",
        "/static/%2fetc%2fpasswd",
        "/docs/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "/docs/swagger-ui.css%00",
        "/static/\N{FULLWIDTH FULL STOP}\N{FULLWIDTH FULL STOP}/app.py",
        "/api/runs/%2e%2e/events",
        "/api/runs/..%2f..%2fetc/events",
        "/api/runs/%2fetc%2fpasswd/events",
        "/api/runs/" + "a" * 99 + "/events",
        "/api/runs/Runs/events",
        "/shared/%2e%2e",
    ],
)
def test_no_path_that_a_client_writes_leads_to_a_file(people: People, path: str):
    answer = people.client("owner").get(path)
    assert answer.status_code in (400, 404, 422)
    assert "root:" not in answer.text


def test_a_slash_too_many_leads_nowhere_instead_of_somewhere_else(people: People):
    assert people.client("owner").get("/api/me/", follow_redirects=False).status_code == 404


def test_nothing_is_mounted_that_the_doors_do_not_see(app: FastAPI):
    assert [type(route).__name__ for route in app.routes if hasattr(route, "app")] == []
