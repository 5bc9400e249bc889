"""How tokenizers fit text, what their tokens cost, and pictures of them."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest
from asking_tokenizers import ask
from fastapi.testclient import TestClient
from people import People
from shelf import TEXT, Shelf

from glassbox.tokenizers import load
from glassbox.tokenizers.statistics import GROUPS, measure
from glassbox.workspace import Artifact
from glassbox.workspace.prices import PRICES_FILE, Prices, TokenPrice

pytestmark = pytest.mark.one_database

DOCUMENTS = [(TEXT, "a/one.txt"), ("the list", "a/two.txt"), ("日本語", "b/three.txt")]


def test_statistics_of_a_corpus_are_those_of_the_library(client: TestClient, shelf: Shelf, tokenizer: Artifact):
    corpus = shelf.corpus(DOCUMENTS)
    told = ask(client, tokenizer, "statistics", corpus=corpus.id)
    found = measure(load(tokenizer.folder), DOCUMENTS, group=GROUPS["folder"])
    assert told["all"]["tokens"] == found.total.tokens
    assert told["all"]["coverage"] == 1.0
    assert {one["source"]: one["documents"] for one in told["by_source"]} == {"a": 2, "b": 1}
    assert (told["whole"], told["unused_count"]) == (True, len(found.unused))
    assert sum(one["count"] for one in told["document_lengths"]) == 3


def test_of_a_large_corpus_the_beginning_is_measured_and_said_so(client: TestClient, shelf: Shelf, tokenizer: Artifact):
    corpus = shelf.corpus([(TEXT, f"{number}.txt") for number in range(100)])
    told = ask(client, tokenizer, "statistics", corpus=corpus.id, megabytes=0.001)
    assert not told["whole"]
    assert 1_000 <= told["all"]["bytes"] < 1_000 + len(TEXT.encode())
    assert ask(client, tokenizer, "statistics", corpus=corpus.id, by="source")["sources"] == 100


def test_a_text_is_measured_and_what_the_vocabulary_lacks_is_counted(client: TestClient, shelf: Shelf):
    told = ask(client, shelf.characters(), "statistics", text="abcabcxx")
    assert (told["all"]["unknown"], told["all"]["coverage"]) == (2, 0.75)


def test_one_thing_is_measured(client: TestClient, tokenizer: Artifact):
    for body in [{}, {"text": "a", "corpus": "b"}, {"text": ""}, {"text": "a", "megabytes": 1e9}]:
        assert client.post(f"/api/tokenizers/{tokenizer.id}/statistics", json=body).status_code == 422


def test_what_is_no_corpus_and_what_is_somebody_elses_is_refused(people: People, shelf: Shelf, tokenizer: Artifact):
    client, address = people.client("member"), f"/api/tokenizers/{tokenizer.id}/statistics"
    assert client.post(address, json={"corpus": shelf.corpus(DOCUMENTS, "another").id}).status_code == 404
    assert client.post(address, json={"corpus": tokenizer.id}).status_code == 422
    corpus = shelf.corpus(DOCUMENTS)
    assert client.post(address, json={"corpus": corpus.id, "split": "test"}).status_code == 422


def test_tokens_cost_what_the_table_says_to_the_last_digit(client: TestClient, shelf: Shelf, tokenizer: Artifact):
    assert ask(client, tokenizer, "cost", tokens=5)["costs"] == []
    price = TokenPrice(
        input=Decimal("0.1"), output=Decimal("0.4"), currency="EUR", date=date(2026, 1, 31), source="a bill"
    )
    Prices(shelf.workspace.folder / PRICES_FILE, {"some model": price}).save()
    told = ask(client, tokenizer, "cost", tokens=3, output_tokens=1, repeats=7)
    assert [(one["name"], one["input"], one["output"], one["total"]) for one in told["costs"]] == [
        ("some model", "0.0000021", "0.0000028", "0.0000049")
    ]
    by_text = ask(client, tokenizer, "cost", text=TEXT, prices=["some model"])
    assert by_text["input_tokens"] == len(load(tokenizer.folder).encode(TEXT))
    unknown = client.post(f"/api/tokenizers/{tokenizer.id}/cost", json={"tokens": 1, "prices": ["another"]})
    assert (unknown.status_code, "some model" in unknown.json()["detail"]) == (422, True)
    assert client.post(f"/api/tokenizers/{tokenizer.id}/cost", json={}).status_code == 422


def test_tokens_are_drawn_and_nothing_of_a_text_is_markup_in_the_picture(client: TestClient, tokenizer: Artifact):
    address = f"/api/tokenizers/{tokenizer.id}/picture"
    drawn = client.post(address, json={"text": "<script>alert(1)</script> & more", "theme": "light"})
    assert drawn.headers["content-type"] == "image/svg+xml"
    assert drawn.text.startswith("<svg")
    assert "<script" not in drawn.text
    painted = client.post(address, json={"text": "the list", "form": "png"})
    assert painted.status_code == 422 or painted.content.startswith(b"\x89PNG")  # a machine without a font says so
    assert client.post(address, json={"text": "x" * 4001}).status_code == 422
