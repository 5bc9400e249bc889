"""How each request ended, and how long that took: what the served model and the workshop both count. No torch here."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod

from starlette.types import ASGIApp, Message, Receive, Scope, Send

GONE = "gone"
"""In the place of a status: the client went before an answer began."""


class TimedAnswers(ABC):
    """An ASGI application in front of another, which it times."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    @abstractmethod
    def answered(self, scope: Scope, status: str, seconds: float) -> None:
        """A request is over. scope: with what routing wrote there. seconds: from its head to its answer's end."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.perf_counter(), GONE

        async def seen(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = str(message["status"])
            await send(message)

        try:
            await self._app(scope, receive, seen)
        except Exception:
            status = "500"
            raise
        finally:
            self.answered(scope, status, time.perf_counter() - began)
