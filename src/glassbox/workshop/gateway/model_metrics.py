"""What `GET /metrics` tells of served models: their requests since this process began, and how they are."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from glassbox.workshop.gateway.keeper import Condition
from glassbox.workshop.gateway.usage import Entry
from glassbox.workshop.metrics import SECONDS


class ModelMetrics:
    """look: the deployments' names, and how they are; asked at each scrape."""

    def __init__(self, registry: CollectorRegistry, look: Callable[[], Iterable[tuple[str, Condition]]]) -> None:
        self._requests = Counter(
            "glassbox_model_requests", "Requests to served models.", ("model", "endpoint", "status"),
            registry=registry,
        )  # fmt: skip
        self._seconds = Histogram(
            "glassbox_model_request_seconds", "Seconds from a request to the end of the model's answer.", ("model",),
            buckets=SECONDS, registry=registry,
        )  # fmt: skip
        self._first_token = Histogram(
            "glassbox_model_time_to_first_token_seconds", "Seconds from a request to the first part of a stream.",
            ("model",), buckets=SECONDS, registry=registry,
        )  # fmt: skip
        self._tokens = Counter(
            "glassbox_model_tokens", "Tokens that models read (prompt) and wrote (completion).", ("model", "kind"),
            registry=registry,
        )  # fmt: skip
        registry.register(_Conditions(look))

    def request(self, entry: Entry) -> None:
        """It has ended."""
        self._requests.labels(entry.model, entry.endpoint, str(entry.status)).inc()
        self._seconds.labels(entry.model).observe(entry.seconds)
        self._tokens.labels(entry.model, "prompt").inc(entry.prompt_tokens)
        self._tokens.labels(entry.model, "completion").inc(entry.completion_tokens)
        if entry.first_token_seconds is not None:
            self._first_token.labels(entry.model).observe(entry.first_token_seconds)


class _Conditions(Collector):
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
