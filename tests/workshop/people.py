"""One person of each role, and a browser for each."""

from __future__ import annotations

from fastapi import FastAPI
from fastapi.testclient import TestClient

from glassbox.workshop.access.actor import Role
from glassbox.workshop.access.guards import SESSION_COOKIE
from glassbox.workshop.accounts.users import User
from glassbox.workshop.state import Workshop

ADDRESS = "http://127.0.0.1:8000"
SOCKET_ADDRESS = "ws://127.0.0.1:8000"


class People:
    """One person of each role, and a browser for each: `people.client("member")`."""

    def __init__(self, app: FastAPI) -> None:
        self.app = app
        self.workshop: Workshop = app.state.workshop
        self._users: dict[str, User] = {}

    def user(self, name: str, role: Role | None = None) -> User:
        """The person of that name, made when first asked for; unless a role is given, their name says it."""
        if name not in self._users:
            chosen: Role = role or (name if name in ("owner", "educator") else "member")  # pyright: ignore[reportAssignmentType]  (one of the roles)
            self._users[name] = self.workshop.users.add(name, chosen, None)
        return self._users[name]

    def client(self, name: str | None, role: Role | None = None) -> TestClient:
        """A browser in which that person is logged in; None is nobody."""
        client = TestClient(self.app, base_url=ADDRESS, raise_server_exceptions=False)
        if name is not None:
            client.cookies.set(SESSION_COOKIE, self.workshop.sessions.open(self.user(name, role).id, "a browser"))
        return client
