"""One person of each role, and a browser for each."""

from __future__ import annotations

import functools

from fastapi import FastAPI
from fastapi.testclient import TestClient

from glassbox.workshop.access.guards import SESSION_COOKIE
from glassbox.workshop.accounts.actor import Actor, Role, Scope
from glassbox.workshop.accounts.passwords import hash_password
from glassbox.workshop.accounts.users import User
from glassbox.workshop.database.tables import UserRow
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
            chosen: Role = role or (name if name in ("owner", "educator") else "member")
            self._users[name] = self.workshop.users.add(name.replace(" ", "-"), chosen, None)
        return self._users[name]

    def client(self, name: str | None, role: Role | None = None) -> TestClient:
        """A browser in which that person is logged in; None is nobody."""
        client = TestClient(self.app, base_url=ADDRESS, raise_server_exceptions=False)
        if name is not None:
            client.cookies.set(SESSION_COOKIE, self.workshop.sessions.open(self.user(name, role).id, "a browser"))
        return client

    def actor(self, name: str) -> Actor:
        """That person, as they are known once they are logged in."""
        user = self.user(name)
        return Actor(user.id, user.name, user.role)

    def key(self, name: str, scope: Scope = "workshop") -> str:
        """A new key of that person."""
        return self.workshop.keys.make(self.user(name).id, "a key", scope=scope)[0]

    def give_password(self, name: str, password: str) -> None:
        """From now on that person can log in with it; what was open of theirs stays open."""
        user = self.user(name)
        with self.workshop.database.writing() as session:
            row = session.get(UserRow, user.id)
            assert row is not None
            row.password_hash = _hashed(password)


@functools.cache
def _hashed(password: str) -> str:
    """The same hash for the same password: a hash takes long, and tests need many."""
    return hash_password(password)
