"""Our router answers as FastAPI's own does; it only asks fewer routes."""

from __future__ import annotations

import pytest
from fastapi import APIRouter, FastAPI, WebSocket
from fastapi.testclient import TestClient

from glassbox.workshop.router import Router

PATHS = ["/", "/things", "/things/", "/things/a", "/things/a/b", "/thingsx", "/thing", "/deep/x/y", "/deep", "//"]


def app_with(kind: type[APIRouter]) -> FastAPI:
    app = FastAPI(redirect_slashes=False)
    others, things = kind(), kind(prefix="/things")
    others.get("/")(lambda: "first page")
    things.get("")(lambda: "all")
    things.get("/{name}")(lambda name: name)
    things.delete("/{name}")(lambda name: f"{name} is gone")
    others.get("/deep/{path:path}")(lambda path: path)

    @things.websocket("/{name}/watch")
    async def watch(socket: WebSocket, name: str) -> None:
        await socket.accept()
        await socket.send_text(name)

    for router in (others, things):
        app.include_router(router)
    return app


@pytest.mark.parametrize("root_path", ["", "/behind"])
@pytest.mark.parametrize("method", ["GET", "DELETE", "POST"])
@pytest.mark.parametrize("path", PATHS)
def test_every_address_is_answered_as_by_fastapi(path: str, method: str, root_path: str):
    answers = [
        TestClient(app_with(kind), root_path=root_path).request(method, root_path + path)
        for kind in (Router, APIRouter)
    ]
    ours, theirs = ((answer.status_code, answer.text, answer.headers.get("allow")) for answer in answers)
    assert ours == theirs


def test_websockets_find_their_way_too():
    with TestClient(app_with(Router)).websocket_connect("/things/a/watch") as socket:
        assert socket.receive_text() == "a"


def test_an_address_that_ends_in_a_line_feed_is_another_one():
    assert TestClient(app_with(Router)).get("/things%0A").status_code == 404


def test_routes_that_cannot_be_meant_are_not_tried(monkeypatch):
    client = TestClient(app_with(Router))
    assert client.get("/things/a").json() == "a"
    monkeypatch.setattr(APIRouter, "matches", lambda *_: pytest.fail("they were tried"))
    assert client.get("/nothing").status_code == 404
