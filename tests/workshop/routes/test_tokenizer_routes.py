"""Tokenizers over HTTP, beside the same tokenizers asked directly."""

from __future__ import annotations

from typing import Any

import pytest
from asking_tokenizers import ask
from fastapi.testclient import TestClient
from people import People
from shelf import TEXT, Shelf

from glassbox.tokenizers import load
from glassbox.workspace import Artifact

pytestmark = pytest.mark.one_database


def test_those_that_one_may_use_are_listed_with_what_was_recorded(people: People, shelf: Shelf, tokenizer: Artifact):
    hidden = shelf.tokenizer("another")
    shelf.publish("corpus")
    told = people.client("member").get("/api/tokenizers").json()["tokenizers"]
    assert [(one["id"], one["facts"]) for one in told] == [(tokenizer.id, {"vocabulary_size": 280})]
    first = people.client("owner").get("/api/tokenizers", params={"limit": 1}).json()
    second = people.client("owner").get("/api/tokenizers", params={"cursor": first["next"]}).json()
    assert [one["tokenizers"][0]["id"] for one in (first, second)] == [hidden.id, tokenizer.id]


def test_one_tells_its_kind_and_its_special_tokens(client: TestClient, shelf: Shelf, tokenizer: Artifact):
    told = client.get(f"/api/tokenizers/{tokenizer.id}").json()
    own = load(tokenizer.folder)
    assert (told["kind"], told["vocabulary_size"], told["end_of_text"]) == ("bytepair", 280, own.end_of_text)
    assert told["special_tokens"] == [{"spelling": "<|endoftext|>", "id": own.end_of_text}]
    assert client.get(f"/api/tokenizers/{shelf.characters().id}").json()["kind"] == "characters"


def test_encoding_and_decoding_give_the_text_back(client: TestClient, tokenizer: Artifact):
    texts = [TEXT, "", "naïve 🦊\n", "<|endoftext|>"]
    told = ask(client, tokenizer, "encode", texts=texts)
    own = load(tokenizer.folder)
    assert told["ids"] == [own.encode(text) for text in texts]
    assert told["tokens"] == sum(map(len, told["ids"]))
    for text, ids in zip(texts, told["ids"], strict=True):
        back = ask(client, tokenizer, "decode", ids=ids)
        assert (back["text"], back["whole"], bytes.fromhex(back["bytes"])) == (text, True, text.encode())


def test_special_tokens_are_never_made_from_text_unless_that_is_allowed(client: TestClient, tokenizer: Artifact):
    text = "a<|endoftext|>b"
    special = load(tokenizer.folder).end_of_text
    assert special not in ask(client, tokenizer, "encode", texts=[text])["ids"][0]
    assert ask(client, tokenizer, "encode", texts=[text], allow_special=True)["ids"][0].count(special) == 1
    assert not any(one["special"] for one in ask(client, tokenizer, "inspect", text=text)["tokens"])
    assert any(one["special"] for one in ask(client, tokenizer, "inspect", text=text, allow_special=True)["tokens"])


def test_part_of_a_character_decodes_to_a_mark_and_says_so(client: TestClient, tokenizer: Artifact):
    fox = ask(client, tokenizer, "encode", texts=["🐙"])["ids"][0]
    told = ask(client, tokenizer, "decode", ids=fox[:1])
    assert (told["whole"], told["text"]) == (False, "\ufffd")
    unknown = client.post(f"/api/tokenizers/{tokenizer.id}/decode", json={"ids": [999_999]})
    assert (unknown.status_code, "999999" in unknown.json()["detail"]) == (422, True)


def test_every_token_of_a_text_has_its_place(client: TestClient, tokenizer: Artifact):
    told = ask(client, tokenizer, "inspect", text=TEXT)
    data = TEXT.encode()
    assert b"".join(bytes.fromhex(one["bytes"]) for one in told["tokens"]) == data
    assert all(data[one["start"] : one["end"]].hex() == one["bytes"] for one in told["tokens"])
    assert (told["pieces"], told["characters"], told["bytes"]) == ([], len(TEXT), len(data))


def test_merges_applied_one_after_another_end_as_the_tokens(client: TestClient, tokenizer: Artifact):
    told = ask(client, tokenizer, "inspect", text=TEXT, merges=True)
    assert any(piece["merges"] for piece in told["pieces"])
    for piece in told["pieces"]:
        parts = piece["parts"]
        for merge in piece["merges"]:
            place = merge["place"]
            assert place in merge["candidates"]
            parts = [*parts[:place], parts[place] + parts[place + 1], *parts[place + 2 :]]
        assert parts == piece["tokens"]
        assert "".join(parts) == piece["bytes"]


def test_a_models_own_tokenizer_is_used_by_the_models_id(client: TestClient, shelf: Shelf, tokenizer: Artifact):
    files = {f"tokenizer/{path.name}": path.read_bytes() for path in tokenizer.folder.glob("*.json")}
    model = shelf.publish("model", files=files)
    assert ask(client, model, "encode", texts=["the list"]) == ask(client, tokenizer, "encode", texts=["the list"])
    assert client.get(f"/api/tokenizers/{shelf.publish().id}").status_code == 422
    assert client.get(f"/api/tokenizers/{shelf.publish('model').id}").status_code == 422


def test_the_vocabulary_is_read_page_by_page(client: TestClient, tokenizer: Artifact):
    own = load(tokenizer.folder)
    told = client.get(f"/api/tokenizers/{tokenizer.id}/vocabulary", params={"first": 250, "limit": 100}).json()
    assert [one["id"] for one in told["entries"]] == list(range(250, 280))
    assert all(bytes.fromhex(one["bytes"]) == own.token_bytes(one["id"]) for one in told["entries"])
    assert told["entries"][-1]["special"]
    beyond = client.get(f"/api/tokenizers/{tokenizer.id}/vocabulary", params={"first": 10**9}).json()
    assert beyond == {"entries": [], "total": 280}


def test_several_are_compared_on_the_same_text(client: TestClient, shelf: Shelf, tokenizer: Artifact):
    small, letters = shelf.tokenizer(vocabulary_size=260), shelf.characters()
    body = {"tokenizers": [tokenizer.id, small.id, letters.id], "text": "the list that lists"}
    answer = client.post("/api/tokenizers/compare", json=body)
    told = answer.json()
    counts = [None if one["tokens"] is None else len(one["tokens"]) for one in told["tokenizers"]]
    assert counts == [len(load(one.folder).encode(body["text"])) for one in (tokenizer, small)] + [None]
    assert "isn't among the 3" in told["tokenizers"][2]["problem"]
    assert told["tokenizers"][0]["shared"][small.id] >= 256
    assert told["common_boundaries"][0] == 0
    twice = client.post("/api/tokenizers/compare", json={**body, "tokenizers": [small.id, small.id]})
    assert twice.status_code == 422


def test_nobody_uses_the_tokenizer_of_somebody_else(people: People, shelf: Shelf, tokenizer: Artifact):
    client = people.client("another")
    own = shelf.tokenizer("another")
    people.client("member").get(f"/api/tokenizers/{tokenizer.id}")  # held in the cache from now on
    assert client.get(f"/api/tokenizers/{tokenizer.id}").status_code == 404
    for what, body in (("encode", {"texts": ["a"]}), ("decode", {"ids": [1]}), ("inspect", {"text": "a"})):
        assert client.post(f"/api/tokenizers/{tokenizer.id}/{what}", json=body).status_code == 404
    both = {"tokenizers": [own.id, tokenizer.id], "text": "a"}
    assert client.post("/api/tokenizers/compare", json=both).status_code == 404


@pytest.mark.parametrize(
    ("what", "body", "status"),
    [
        ("encode", {"texts": ["x" * 1_000_001]}, 422),
        ("encode", {"texts": ["x" * 600_000, "x" * 600_000]}, 413),
        ("encode", {"texts": []}, 422),
        ("encode", {"texts": ["a"], "model": "b"}, 422),
        ("encode", {"texts": "a"}, 422),
        ("decode", {"ids": [-1]}, 422),
        ("decode", {"ids": [2**40]}, 422),
        ("decode", {"ids": [1.5]}, 422),
        ("inspect", {"text": "x" * 20_001}, 422),
        ("inspect", {"text": "x" * 501, "merges": True}, 413),
    ],
)
def test_too_much_and_nonsense_is_refused(
    client: TestClient, tokenizer: Artifact, what: str, body: dict[str, Any], status: int
):
    answer = client.post(f"/api/tokenizers/{tokenizer.id}/{what}", json=body)
    assert (answer.status_code, "remedy" in answer.json()) == (status, True)
    assert len(answer.text) < 2000


def test_text_that_is_no_unicode_is_told(client: TestClient, tokenizer: Artifact):
    headers = {"Content-Type": "application/json"}
    for content in [b'{"texts": ["\\ud800"]}', b'{"texts": ["\xff"]}', b"[" * 100_000, b'{"\\ud800": 1}']:
        answer = client.post(f"/api/tokenizers/{tokenizer.id}/encode", content=content, headers=headers)
        assert answer.status_code in (400, 422)
        assert answer.headers["content-type"] == "application/problem+json"


def test_a_longest_text_of_one_long_word_is_answered(client: TestClient, tokenizer: Artifact):
    assert len(ask(client, tokenizer, "inspect", text="é" * 500, merges=True)["pieces"]) == 1
    assert ask(client, tokenizer, "inspect", text="é" * 20_000)["bytes"] == 40_000


def test_one_that_is_damaged_or_deleted_in_this_moment_hides_no_other(
    client: TestClient, shelf: Shelf, tokenizer: Artifact, monkeypatch: pytest.MonkeyPatch
):
    gone = shelf.tokenizer()
    entries = shelf.workspace.artifacts.list("tokenizer")
    shelf.workspace.delete_artifact("tokenizer", gone.reference)
    monkeypatch.setattr("glassbox.workshop.visible.Visible.artifacts", lambda *_: entries)
    assert [one["id"] for one in client.get("/api/tokenizers").json()["tokenizers"]] == [tokenizer.id]
