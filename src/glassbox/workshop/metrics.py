"""What `GET /metrics` tells, in Prometheus' text format: counts and times since this process began."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import func, select

from glassbox.workshop.database import Database
from glassbox.workshop.database.tables import JobRow

if TYPE_CHECKING:
    from glassbox.workshop.gateway.keeper import Condition
    from glassbox.workshop.gateway.usage import Entry

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300)


class Metrics:
    """Counted by whoever answers; what is watched is asked at each scrape."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "glassbox_http_requests", "Requests answered.", ("method", "route", "status"), registry=self._registry
        )
        self._seconds = Histogram(
            "glassbox_http_request_seconds", "Seconds from a request's head to the end of its answer.",
            ("method", "route"), buckets=_SECONDS, registry=self._registry,
        )  # fmt: skip
        self._model_requests = Counter(
            "glassbox_model_requests", "Requests to served models.", ("model", "endpoint", "status"),
            registry=self._registry,
        )  # fmt: skip
        self._model_seconds = Histogram(
            "glassbox_model_request_seconds", "Seconds from a request to the end of the model's answer.", ("model",),
            buckets=_SECONDS, registry=self._registry,
        )  # fmt: skip
        self._first_token = Histogram(
            "glassbox_model_time_to_first_token_seconds", "Seconds from a request to the first part of a stream.",
            ("model",), buckets=_SECONDS, registry=self._registry,
        )  # fmt: skip
        self._tokens = Counter(
            "glassbox_model_tokens", "Tokens that models read (prompt) and wrote (completion).", ("model", "kind"),
            registry=self._registry,
        )  # fmt: skip

    def http_request(self, method: str, route: str, status: str, seconds: float) -> None:
        """route: the template, such as /api/runs/{run}, so that ids make no series of their own."""
        self._requests.labels(method, route, status).inc()
        self._seconds.labels(method, route).observe(seconds)

    def model_request(self, entry: Entry) -> None:
        self._model_requests.labels(entry.model, entry.endpoint, str(entry.status)).inc()
        self._model_seconds.labels(entry.model).observe(entry.seconds)
        self._tokens.labels(entry.model, "prompt").inc(entry.prompt_tokens)
        self._tokens.labels(entry.model, "completion").inc(entry.completion_tokens)
        if entry.first_token_seconds is not None:
            self._first_token.labels(entry.model).observe(entry.first_token_seconds)

    def watch_models(self, look: Callable[[], Iterable[tuple[str, Condition]]]) -> None:
        """look: the deployments' names, and how they are."""
        self._registry.register(_Models(look))

    def watch_jobs(self, database: Database) -> None:
        """Where the queue is."""
        self._registry.register(_Jobs(database))

    def text(self) -> bytes:
        return generate_latest(self._registry)


class _Models(Collector):
    def __init__(self, look: Callable[[], Iterable[tuple[str, Condition]]]) -> None:
        self._look = look

    def describe(self) -> Iterable[Metric]:
        return []  # nothing is asked before the first scrape

    def collect(self) -> Iterable[Metric]:
        state = GaugeMetricFamily("glassbox_model_state", "1 for the state that it is in.", labels=("model", "state"))
        starts = CounterMetricFamily("glassbox_model_starts", "Processes that were started.", labels=("model",))
        flying = GaugeMetricFamily("glassbox_model_requests_in_flight", "Being answered.", labels=("model",))
        waiting = GaugeMetricFamily("glassbox_model_requests_waiting", "Prompts without a row.", labels=("model",))
        for name, condition in self._look():
            state.add_metric((name, condition.state), 1)
            starts.add_metric((name,), condition.starts)
            flying.add_metric((name,), condition.in_flight)
            if condition.health is not None:
                waiting.add_metric((name,), condition.health.waiting)
        return [state, starts, flying, waiting]


class _Jobs(Collector):
    def __init__(self, database: Database) -> None:
        self._database = database

    def describe(self) -> Iterable[Metric]:
        return []

    def collect(self) -> Iterable[Metric]:
        jobs = GaugeMetricFamily(
            "glassbox_jobs", "Runs that the workshop was asked to do, by state.", labels=("state",)
        )
        with self._database.reading() as session:
            for state, count in session.execute(select(JobRow.state, func.count()).group_by(JobRow.state)):
                jobs.add_metric((state,), count)
        return [jobs]
