"""Usage, limits and metrics over HTTP."""

from __future__ import annotations

from typing import Any

import pytest
from live_workshop import LiveWorkshop
from prometheus_client.parser import text_string_to_metric_families
from waiting import until


def chat(live: LiveWorkshop, person: str, **settings: Any) -> None:
    client = live.openai(person)
    client.chat.completions.create(
        model="good", messages=[{"role": "user", "content": "hello"}], extra_body=settings or None
    )


def rows(live: LiveWorkshop, person: str) -> list[dict[str, Any]]:
    with live.web(person) as web:
        return web.get("/api/usage").json()["rows"]


def test_usage_is_ones_own_and_an_owners_everyones(live_on_each: LiveWorkshop):
    live = live_on_each
    live.deploy("good")
    chat(live, "member")
    chat(live, "educator")
    until(lambda: len(rows(live, "owner")) == 2, "it was written down")
    [own] = rows(live, "member")
    assert own["person"] == live.people.user("member").id
    assert (own["model"], own["requests"], own["prompt_tokens"], own["completion_tokens"]) == ("good", 1, 5, 4)
    assert own["key"] is not None
    assert own["cost"] is None
    assert len(rows(live, "educator")) == 1


def test_what_has_a_price_has_a_cost(live: LiveWorkshop):
    live.deploy("good")
    (live.workshop.workspace.folder / "prices.toml").write_text(
        '[tokens.good]\ncurrency = "EUR"\ninput = 2.00\noutput = 10.00\ndate = 2026-01-31\nsource = "a letter"\n'
    )
    chat(live, "member")
    [row] = until(lambda: rows(live, "member"), "it was written down")
    assert row["cost"] == {"currency": "EUR", "amount": "0.00005"}
    with live.web("member") as web:
        assert web.get("/api/usage").json()["totals"]["costs"] == [{"currency": "EUR", "amount": "0.00005"}]
        (live.workshop.workspace.folder / "prices.toml").write_text("nonsense")
        report = web.get("/api/usage").json()
    assert report["rows"][0]["cost"] is None
    assert "can't be read" in report["note"]


def test_a_report_is_of_the_days_that_are_asked_for(live: LiveWorkshop):
    live.deploy("good")
    chat(live, "member")
    until(lambda: rows(live, "member"), "it was written down")
    with live.web("member") as web:
        assert web.get("/api/usage", params={"first": "2020-01-01", "last": "2020-12-31"}).json()["rows"] == []
        for wrong in (
            {"first": "2020-01-02", "last": "2020-01-01"},
            {"first": "2018-01-01", "last": "2020-01-01"},
            {"first": "yesterday"},
        ):
            assert web.get("/api/usage", params=wrong).status_code == 422
        for edge in ({"last": "1970-01-01"}, {"first": "0001-01-01", "last": "0001-01-01"}, {"last": "9999-12-31"}):
            assert web.get("/api/usage", params=edge).status_code == 200


def test_failures_are_counted_and_cost_nothing(live: LiveWorkshop):
    live.deploy("good")
    with pytest.raises(Exception, match="refused"):
        live.openai("member").chat.completions.create(
            model="good", messages=[{"role": "user", "content": "refuse this"}]
        )
    [row] = until(lambda: rows(live, "member"), "it was written down")
    assert (row["requests"], row["failures"], row["prompt_tokens"]) == (1, 1, 0)


def test_single_requests_are_listed_without_what_was_said(live: LiveWorkshop):
    live.deploy("good")
    client = live.openai("member")
    raw = client.chat.completions.with_raw_response.create(
        model="good", messages=[{"role": "user", "content": "my secret"}]
    )
    with live.web("member") as web:
        [one] = until(lambda: web.get("/api/usage/requests").json(), "it was written down")
        assert one["id"] == raw.headers["x-request-id"]
        assert one["endpoint"] == "chat/completions"
        assert one["status"] == 200
        assert "secret" not in str(one)
        assert web.get("/api/usage/requests", params={"before": one["number"]}).json() == []
    with live.web("another") as web:
        assert web.get("/api/usage/requests").json() == []


def test_an_owner_sets_limits_for_everyone_and_for_one(live: LiveWorkshop):
    live.deploy("good")
    member = live.people.user("member").id
    with live.web("owner") as web, live.web("member") as own:
        assert own.get("/api/limits").json()["own"] is None
        assert web.put("/api/limits/everyone", json={"requests_per_minute": 1}).status_code == 200
        assert own.get("/api/limits").json()["limits"] == {"requests_per_minute": 1, "tokens_per_day": None}
        chat(live, "member")
        with pytest.raises(Exception, match="times a minute"):
            chat(live, "member")
        told = web.put(f"/api/limits/{member}", json={"requests_per_minute": 100, "tokens_per_day": 1000}).json()
        assert told["own"] == told["limits"] == {"requests_per_minute": 100, "tokens_per_day": 1000}
        chat(live, "member")
        assert web.delete(f"/api/limits/{member}").status_code == 204
        assert web.get(f"/api/limits/{member}").json()["own"] is None
        assert web.get("/api/limits/nobody").status_code == 404
        assert web.put("/api/limits/everyone", json={"requests_per_minute": -1}).status_code == 422
        assert web.put("/api/limits/everyone", json={"tokens_per_day": False}).status_code == 422
        assert own.put("/api/limits/everyone", json={}).status_code == 403
        assert own.get(f"/api/limits/{member}").status_code == 403


def samples(live: LiveWorkshop) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    with live.web("owner") as web:
        answer = web.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return {
        (one.name, frozenset(one.labels.items())): one.value
        for family in text_string_to_metric_families(answer.text)
        for one in family.samples
    }


def test_metrics_are_what_prometheus_reads(live: LiveWorkshop):
    live.deploy("good")
    chat(live, "member")
    list(
        live.openai().chat.completions.create(
            model="good", messages=[{"role": "user", "content": "hello"}], stream=True
        )
    )

    def value(name: str, **labels: str) -> float | None:
        return samples(live).get((name, frozenset(labels.items())))

    done = until(
        lambda: value("glassbox_model_requests_total", model="good", endpoint="chat/completions", status="200"),
        "both were counted",
    )
    assert done == 2
    assert value("glassbox_model_tokens_total", model="good", kind="prompt") == 10
    assert value("glassbox_model_tokens_total", model="good", kind="completion") == 8
    assert value("glassbox_model_time_to_first_token_seconds_count", model="good") == 1
    assert value("glassbox_model_state", model="good", state="ready") == 1
    assert value("glassbox_model_starts_total", model="good") == 1
    assert (value("glassbox_http_requests_total", method="POST", route="/v1/chat/completions", status="200") or 0) == 2
    assert any(route == ("route", "/api/deployments/{deployment}") for _, labels in samples(live) for route in labels)


def test_metrics_are_for_owners(live: LiveWorkshop):
    with live.web("member") as web:
        assert web.get("/metrics").status_code == 403
