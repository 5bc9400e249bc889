"""Descriptions over HTTP: presets, checks, counts, comparisons."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from fastapi.testclient import TestClient
from people import People
from shelf import TINY, Shelf

from glassbox.spec import count_flops, count_memory, count_parameters, preset, presets, weight_shapes
from glassbox.workspace.prices import PRICES_FILE, MachinePrice, Prices

pytestmark = pytest.mark.one_database

GPT2 = {"preset": "gpt2-small"}


def ask(client: TestClient, what: str, body: dict[str, Any], **query: Any) -> Any:
    answer = client.post(f"/api/specs/{what}", json=body, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_presets_are_listed_with_their_published_counts(client: TestClient):
    told = {one["name"]: one["parameters"] for one in client.get("/api/presets").json()}
    assert list(told) == list(presets())
    assert (told["gpt2-small"], told["llama2-7b"]) == (124_439_808, 6_738_415_616)


def test_a_preset_comes_with_a_description_that_can_be_sent_back(client: TestClient):
    told = client.get("/api/presets/gpt2-small").json()
    assert ask(client, "count", {"model": {"fields": told["description"]}})["parameters"]["total"] == 124_439_808
    unknown = client.get("/api/presets/gpt2-smal")
    assert (unknown.status_code, "gpt2-small" in unknown.json()["remedy"]) == (404, True)


def test_the_schema_says_of_each_field_what_it_means(client: TestClient):
    told = client.get("/api/specs/schema").json()
    assert set(told["properties"]) == set(preset("gpt2-small").model_dump())
    assert all("description" in field for field in told["properties"].values())


def test_counts_are_the_librarys(client: TestClient):
    told = ask(client, "count", {"model": GPT2, "conditions": {"batch": 4, "context": 512, "optimizer": "muon"}})
    spec = preset("gpt2-small")
    assert told["parameters"] == vars(count_parameters(spec))
    assert told["flops"] == vars(count_flops(spec, 512))
    assert told["memory"] == vars(count_memory(spec, batch=4, context=512, optimizer="muon"))
    assert (told["seconds"], told["cost"]) == (None, None)


def test_changes_follow_through(client: TestClient):
    changed = ask(client, "count", {"model": {**GPT2, "changes": {"layers": 6}}})
    assert changed["parameters"]["total"] == count_parameters(preset("gpt2-small").replace(layers=6)).total


def test_time_and_cost_need_a_pace_and_a_price(client: TestClient, shelf: Shelf):
    told = ask(client, "count", {"model": GPT2, "conditions": {"flops": 1e12, "tokens": 1e9}})
    assert told["seconds"] == pytest.approx(told["training_flops"] / 1e12)
    assert told["cost"] is None
    common: dict[str, Any] = {"currency": "EUR", "date": date(2026, 1, 31), "source": "a bill"}
    machines = {
        "desk": MachinePrice(hour=Decimal("0.5"), flops=2e11, **common),
        "lamp": MachinePrice(hour=Decimal("0.1"), **common),
    }
    Prices(shelf.workspace.folder / PRICES_FILE, {}, machines).save()
    priced = ask(client, "count", {"model": GPT2, "conditions": {"machine": "desk", "tokens": 1e9}})
    assert priced["cost"] == pytest.approx(priced["training_flops"] / 2e11 / 3600 * 0.5)
    assert priced["currency"] == "EUR"
    paceless = client.post("/api/specs/count", json={"model": GPT2, "conditions": {"machine": "lamp"}})
    assert (paceless.status_code, "FLOP/s" in paceless.json()["detail"]) == (422, True)


def test_models_are_laid_side_by_side_under_the_same_conditions(client: TestClient, shelf: Shelf):
    body = {"models": {"A": GPT2, "B": {**GPT2, "changes": {"layers": 6}}, "C": {"artifact": shelf.model().id}}}
    told = ask(client, "compare", body)
    assert told["differences"]["layers"] == {"A": 12, "B": 6, "C": TINY.layers}
    assert told["models"]["C"]["parameters"]["total"] == count_parameters(TINY).total
    assert client.post("/api/specs/compare", json={"models": {}}).status_code == 422
    assert client.post("/api/specs/compare", json={"models": dict.fromkeys("ABCDEFGHIJKLM", GPT2)}).status_code == 422


def test_a_context_that_a_model_does_not_read_is_told(client: TestClient):
    answer = client.post("/api/specs/count", json={"model": GPT2, "conditions": {"context": 5000}})
    assert (answer.status_code, "1024" in answer.json()["detail"]) == (422, True)


def test_every_fault_is_told_with_its_field_and_what_to_change(client: TestClient):
    told = ask(client, "validate", {**GPT2, "changes": {"layers": 0, "width": "wide", "colour": "red"}})
    assert {one["field"] for one in told["faults"]} == {"layers", "width", "colour"}
    assert (told["valid"], told["description"]) == (False, None)
    heads = ask(client, "validate", {**GPT2, "changes": {"heads": 7}})
    assert "set width to 763 or 770" in heads["faults"][0]["message"]
    whole = ask(
        client, "validate", {"fields": {"vocabulary_size": 16, "context": 8, "width": 8, "layers": 1, "heads": 2}}
    )
    assert whole["valid"]
    assert whole["description"]["hidden_width"] == 32


def test_nothing_that_comes_in_makes_a_fault(client: TestClient):
    for content in [
        b'{"preset": "gpt2-small", "changes": {"rotary_base": NaN}}',
        b'{"preset": "gpt2-small", "changes": {"logit_scale": Infinity}}',
        b'{"preset": "gpt2-small", "changes": {"width": 1' + b"0" * 4000 + b"}}",
        b'{"preset": "gpt2-small", "changes": {"width": 1' + b"0" * 5000 + b"}}",
        b'{"preset": "gpt2-small", "changes": {"kind": "\\ud800"}}',
        b'{"preset": "gpt2-small", "changes": {"\\ud800": 1}}',
        b'{"fields": {"width": {"a": ' + b"[" * 3000 + b"]" * 3000 + b"}}}",
        b'{"fields": []}',
        b'{"preset": "gpt2-small", "own": "x"}',
        b"{}",
        b'{"preset": "no such"}',
        b'{"artifact": "\\u0000"}',
        b"\xff\xfe",
    ]:
        for what in ("validate", "weights"):
            answer = client.post(f"/api/specs/{what}", content=content, headers={"Content-Type": "application/json"})
            assert answer.status_code in (200, 400, 404, 422), answer.text
            assert answer.status_code != 200 or not answer.json()["valid"]


def test_ten_thousand_layers_are_counted_and_more_are_refused(client: TestClient):
    model = {**GPT2, "changes": {"layers": 10_000}}
    assert ask(client, "count", {"model": model})["parameters"]["total"] > 7e10
    page = ask(client, "weights", model, offset=90_000, limit=3)
    assert (len(page["weights"]), page["total"]) == (3, len(weight_shapes(preset("gpt2-small").replace(layers=10_000))))
    assert not ask(client, "validate", {**GPT2, "changes": {"layers": 10_001}})["valid"]
    largest = {"vocabulary_size": 10**9, "context": 10**9, "width": 10**9, "layers": 10_000, "heads": 1}
    assert (
        ask(client, "count", {"model": {"fields": largest}, "conditions": {"batch": 10**6}})["memory"]["training"] > 0
    )


def test_the_table_of_weights_is_the_specs(client: TestClient):
    told = ask(client, "weights", GPT2, limit=2000)
    assert {one["name"]: tuple(one["shape"]) for one in told["weights"]} == weight_shapes(preset("gpt2-small"))
    assert {one["part"] for one in told["weights"]} >= {"embedding", "attention", "feedforward", "norms"}


def test_the_parameters_are_drawn(client: TestClient):
    answer = client.post("/api/specs/picture", json={"models": {"<b>GPT</b>": GPT2}})
    assert answer.headers["content-type"] == "image/svg+xml"
    assert "<b>" not in answer.text


def test_the_description_of_somebody_elses_model_is_not_there(people: People, shelf: Shelf):
    hidden = {"artifact": shelf.model("another").id}
    client = people.client("member")
    assert client.post("/api/specs/count", json={"model": hidden}).status_code == 404
    assert client.post("/api/specs/compare", json={"models": {"A": GPT2, "B": hidden}}).status_code == 404
    assert client.post("/api/specs/validate", json=hidden).status_code == 404
    assert client.post("/api/specs/count", json={"model": {"artifact": shelf.publish().id}}).status_code == 422
