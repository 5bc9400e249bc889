"""What `GET /metrics` tells, in Prometheus' text format: counts and times since this process began."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import func, select

from glassbox.workshop.database import Database
from glassbox.workshop.database.tables import JobRow

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300)
"""Bounds of histograms: what takes two milliseconds, and what a model answers for minutes."""


class Metrics:
    """Counted by whoever answers; what is watched is asked at each scrape. registry: for who counts something else."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "glassbox_http_requests", "Requests answered.", ("method", "route", "status"), registry=self.registry
        )
        self._seconds = Histogram(
            "glassbox_http_request_seconds", "Seconds from a request's head to the end of its answer.",
            ("method", "route"), buckets=SECONDS, registry=self.registry,
        )  # fmt: skip

    def http_request(self, method: str, route: str, status: str, seconds: float) -> None:
        """route: the template, such as /api/runs/{run}, so that ids make no series of their own."""
        self._requests.labels(method, route, status).inc()
        self._seconds.labels(method, route).observe(seconds)

    def watch_jobs(self, database: Database) -> None:
        """Where the queue is."""
        self.registry.register(_Jobs(database))

    def text(self) -> bytes:
        return generate_latest(self.registry)


class _Jobs(Collector):
    def __init__(self, database: Database) -> None:
        self._database = database

    def describe(self) -> Iterable[Metric]:
        return []  # nothing is asked before the first scrape

    def collect(self) -> Iterable[Metric]:
        jobs = GaugeMetricFamily(
            "glassbox_jobs", "Runs that the workshop was asked to do, by state.", labels=("state",)
        )
        with self._database.reading() as session:
            for state, count in session.execute(select(JobRow.state, func.count()).group_by(JobRow.state)):
                jobs.add_metric((state,), count)
        return [jobs]
