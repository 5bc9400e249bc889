"""Every answer is counted and timed, by its route."""

from __future__ import annotations

from starlette.types import ASGIApp, Scope

from glassbox.serving.timed_answers import TimedAnswers
from glassbox.workshop.metrics import Metrics

_METHODS = {"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"}


class Measuring(TimedAnswers):
    """metrics: where it is counted."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        super().__init__(app)
        self._metrics = metrics

    def answered(self, scope: Scope, status: str, seconds: float) -> None:
        route: str = getattr(scope.get("route"), "path", "unknown")
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self._metrics.http_request(method, route, status, seconds)
