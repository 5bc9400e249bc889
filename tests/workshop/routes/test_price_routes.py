"""The price table over HTTP."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient
from people import People

from glassbox.workspace.prices import PRICES_FILE, Prices

pytestmark = pytest.mark.one_database

PRICE = {"currency": "EUR", "input": "0.10", "output": "0.4", "date": "2026-01-31", "source": "a bill"}
MACHINE = {"currency": "EUR", "hour": "1.25", "flops": 1e12, "date": "2026-01-31", "source": "a bill"}


def test_the_table_is_empty_until_an_owner_fills_it(people: People):
    assert people.client("member").get("/api/prices").json() == {"tokens": {}, "machines": {}}
    table = {"tokens": {'a "model"\u007f': PRICE}, "machines": {"desk": MACHINE}}
    assert people.client("member").put("/api/prices", json=table).status_code == 403
    assert people.client("educator").put("/api/prices", json=table).status_code == 403


def test_what_an_owner_enters_is_what_everyone_and_the_command_line_read(client: TestClient, people: People):
    table = {"tokens": {'some "model"': PRICE}, "machines": {"desk": MACHINE}}
    assert client.put("/api/prices", json=table).status_code == 200
    told = people.client("member").get("/api/prices").json()
    assert told["tokens"]['some "model"'] == PRICE
    prices = Prices.load(people.workshop.workspace.folder)
    assert str(prices.of_tokens('some "model"').input) == "0.10"
    assert prices.of_machine("desk").flops == 1e12


def test_a_price_that_can_be_none_is_refused_and_the_table_stays(client: TestClient):
    for price in [
        {**PRICE, "input": "-1"},
        {**PRICE, "input": "NaN"},
        {**PRICE, "input": "1e999999"},
        {**PRICE, "date": "yesterday"},
        {**PRICE, "source": ""},
        {**PRICE, "colour": "red"},
        {},
    ]:
        client.put("/api/prices", json={"tokens": {"a": PRICE}})
        assert client.put("/api/prices", json={"tokens": {"b": price}}).status_code == 422
        assert client.put("/api/prices", json={"tokens": {"line\nbreak": PRICE}}).status_code == 422
        assert list(client.get("/api/prices").json()["tokens"]) == ["a"]


def test_a_table_broken_by_hand_is_told_without_its_place(client: TestClient, people: People):
    file = people.workshop.workspace.folder / PRICES_FILE
    file.write_text("not toml")
    answer = client.get("/api/prices")
    assert (answer.status_code, str(file.parent) in answer.text) == (422, False)
