"""A workshop that answers real connections, because what matters here happens on them."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import uvicorn
from fastapi import FastAPI
from people import People
from waiting import PATIENCE, until

from glassbox.workshop.app import create_app
from glassbox.workshop.gateway.child import Child
from glassbox.workshop.gateway.target import Patience
from glassbox.workshop.settings import WorkshopSettings
from glassbox.workshop.state import Workshop
from glassbox.workshop.visible import Visible
from glassbox.workspace import Artifact

QUICK = Patience(start=60, look=0.2, looks=4, answer=1, pause=0.05, longest=0.2, starts=3, drain=2, end=2)


class LiveWorkshop:
    """Its address, its people, and clients for them."""

    def __init__(self, app: FastAPI, port: int) -> None:
        self.people = People(app)
        self.workshop: Workshop = app.state.workshop
        self.gateway = self.workshop.gateway
        self.address = f"http://127.0.0.1:{port}"

    def openai(self, person: str = "member", **limits: Any) -> openai.OpenAI:
        """The official client with a new key of that person."""
        return openai.OpenAI(base_url=f"{self.address}/v1", api_key=self.key(person, **limits), max_retries=0)

    def key(self, person: str = "member", **limits: Any) -> str:
        user = self.people.user(person)
        return self.workshop.keys.make(user.id, "a key", scope="models", **limits)[0]

    def web(self, person: str = "member") -> httpx.Client:
        """Plain requests with a key of that person that opens everything that they may do."""
        headers = {"Authorization": f"Bearer {self.people.key(person)}"}
        return httpx.Client(base_url=self.address, headers=headers, timeout=PATIENCE)

    def model(self, name: str) -> Artifact:
        """A model of everybody's; of the stand-ins, which behave as its name says."""
        with self.workshop.workspace.artifacts.draft("model", name) as draft:
            (draft.folder / "spec.json").write_text("{}")
        owner = Visible(self.workshop.workspace, self.workshop.database, self.people.actor("owner"))
        owner.share("artifact", draft.artifact.id)
        return draft.artifact

    def deploy(self, model: str = "good", person: str = "owner", *, shared: bool = True, **settings: Any) -> str:
        """Deploy a model of that name under its own name, for everyone, and wait until it answers."""
        if not any(entry.name == model for entry in self.workshop.workspace.artifacts.list("model")):
            self.model(model)
        name = settings.pop("name", model)
        with self.web(person) as web:
            answer = web.post("/api/deployments", json={"model": model, "name": name, **settings})
            assert answer.status_code == 201, answer.text
            if shared:
                assert web.put(f"/api/deployments/{name}/share").status_code == 204
            until(lambda: web.get(f"/api/deployments/{name}").json()["state"] in ("ready", "failed"), "it was started")
        return name

    def facts(self, name: str) -> dict[str, Any]:
        with self.web("owner") as web:
            return web.get(f"/api/deployments/{name}").json()

    def child(self, name: str) -> Child:
        """The model's process, as soon as it answers."""
        deployment = next(one for one in self.gateway.deployments.all() if one.name == name)
        return self.gateway.keeper(deployment).ready().result(PATIENCE)

    def pid(self, name: str) -> int:
        """Of the model's process."""
        child = self.child(name)
        assert child.look(PATIENCE)
        assert child.health is not None
        return child.health.pid


@contextlib.contextmanager
def live_workshop(settings: WorkshopSettings) -> Iterator[LiveWorkshop]:
    """A workshop that answers in a thread of this process, with little patience."""
    app = create_app(settings)
    app.state.workshop.gateway.patience = QUICK
    config = uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        until(lambda: server.started, "the workshop answered")
        try:
            yield LiveWorkshop(app, listening.getsockname()[1])
        finally:
            server.should_exit = True
            thread.join(PATIENCE)
            assert not thread.is_alive(), "the workshop did not end"
