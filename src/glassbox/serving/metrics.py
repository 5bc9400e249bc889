"""What `GET /metrics` tells, in Prometheus' text format."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.routing import Route
from starlette.types import ASGIApp, Scope

from glassbox.serving.requests import Load
from glassbox.serving.timed_answers import TimedAnswers

disable_created_metrics()  # when each count began, which nobody asks for, and which doubles the text

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
FIRST_TOKEN = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60)
PER_TOKEN = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1)
WHOLE = (0.005, 0.02, 0.1, 0.5, 1, 2, 5, 10, 30, 60, 120, 300)


class Metrics:
    """Counts and times since the process began.

    load: asked at each scrape; None where no model writes.
    """

    def __init__(self, load: Callable[[], Load] | None) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "glassbox_requests", "Requests answered.", ("endpoint", "status"), registry=self._registry
        )
        self.seconds = Histogram(
            "glassbox_request_seconds", "Seconds from a request's head to the end of its answer.", ("endpoint",),
            buckets=WHOLE, registry=self._registry,
        )  # fmt: skip
        self.first_token = Histogram(
            "glassbox_time_to_first_token_seconds", "Seconds from a prompt's arrival to the first token.",
            buckets=FIRST_TOKEN, registry=self._registry,
        )  # fmt: skip
        self.per_token = Histogram(
            "glassbox_time_per_output_token_seconds", "Mean seconds between an answer's tokens.",
            buckets=PER_TOKEN, registry=self._registry,
        )  # fmt: skip
        if load is not None:
            self._registry.register(_LoadCollector(load))

    def text(self) -> bytes:
        return generate_latest(self._registry)


class Counted(TimedAnswers):
    """Counts requests by their route and status, and times them."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        super().__init__(app)
        self._metrics = metrics

    def answered(self, scope: Scope, status: str, seconds: float) -> None:
        route = scope.get("route")
        endpoint = route.path if isinstance(route, Route) else "unknown"
        self._metrics.requests.labels(endpoint, status).inc()
        self._metrics.seconds.labels(endpoint).observe(seconds)


class _LoadCollector(Collector):
    def __init__(self, load: Callable[[], Load]) -> None:
        self._load = load

    def collect(self) -> Iterable[Metric]:
        load = self._load()
        yield GaugeMetricFamily("glassbox_rows", "Answers that can be written side by side.", load.rows)
        yield GaugeMetricFamily("glassbox_rows_busy", "Answers that are being written.", load.busy)
        yield GaugeMetricFamily("glassbox_requests_waiting", "Prompts that have no row yet.", load.waiting)
        yield CounterMetricFamily("glassbox_prompt_tokens", "Tokens of prompts that were read.", load.read)
        yield CounterMetricFamily(
            "glassbox_reused_prompt_tokens", "Tokens of prompts that an earlier request had read.", load.reused
        )
        yield CounterMetricFamily("glassbox_generated_tokens", "Tokens of answers.", load.written)
        yield CounterMetricFamily("glassbox_steps", "Steps in which they were written.", load.steps)
        answers = CounterMetricFamily("glassbox_answers", "Answers, by how they ended.", labels=("end",))
        for end, count in (("finished", load.finished), ("cancelled", load.cancelled), ("failed", load.failed)):
            answers.add_metric((end,), count)
        yield answers
