"""A router that says no at once to an address that none of its routes begins like.

FastAPI asks one router after the other, each of them builds its routes when it is first asked, and tries all of them.
With dozens of routers, finding the right one would take longer than some answers.
"""

from __future__ import annotations

import functools
from typing import cast

from fastapi import APIRouter
from starlette.routing import Match, Route, WebSocketRoute
from starlette.types import Scope


class Router(APIRouter):
    """The routes of one file of `routes/`, all declared before the first request comes."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Whether one of the routes is meant."""
        path: str = scope["path"].removeprefix(scope.get("root_path", ""))
        if path in self._plain or path.startswith(self._beginnings):
            return super().matches(scope)
        return Match.NONE, {}

    @functools.cached_property
    def _plain(self) -> frozenset[str]:
        """The routes without a parameter."""
        return frozenset(path for path in self._paths() if "{" not in path)

    @functools.cached_property
    def _beginnings(self) -> tuple[str, ...]:
        """What stands before the first parameter of the others."""
        return tuple({path.partition("{")[0] for path in self._paths() if "{" in path})

    def _paths(self) -> list[str]:
        return [route.path for route in cast("list[Route | WebSocketRoute]", self.routes)]
