"""Models of other kinds than the usual: imported ones that were taught to chat, encoders, and what can't be served."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from glassbox.engines.tensors import Transformer, save_model
from glassbox.errors import BadInput
from glassbox.generation import Decoder, Decoding
from glassbox.generation.text import spelled
from glassbox.hub import Import
from glassbox.hub.tokenizer_files import keep_tokenizer, read_chat_template, read_tokenizer
from glassbox.insight import Reader
from glassbox.serving.app import create_app
from glassbox.serving.embeddings import groups, rows_of, vectors_of
from glassbox.serving.guard import is_loopback
from glassbox.serving.served_model import ServedModel, find
from glassbox.serving.service import Service
from glassbox.spec import ModelSpec
from glassbox.tokenizers.characters import CharacterTokenizer
from glassbox.workspace import Workspace

sys.path.append(str(Path(__file__).parents[1] / "hub"))
import published_models

FRESH = ("bcda", "cdab", "dabc", "acbd", "badc", "cadb")  # prompts of which no beginning was read before


def served(folder: Path) -> ServedModel:
    return ServedModel(find(f"{folder}/", None))


def asking(model: ServedModel) -> TestClient:
    """An application in this process, without a socket."""
    service = Service(model, rows=2, waiting=4, threads=1, process_id=1)
    return TestClient(create_app(service, key=None, local=True), base_url="http://localhost")


def imported(folder: Path, **generation: Any) -> Path:
    """A tiny Llama with a chat template, saved by `transformers` and brought in."""
    theirs, ours = folder / "theirs", folder / "ours"
    published_models.saved("llama 2", theirs)
    published_models.save_tokenizer(theirs)
    (theirs / "generation_config.json").write_text(json.dumps(generation))
    ours.mkdir()
    model = Import(theirs)
    model.write(ours)
    tokenizer = read_tokenizer(model.folder, model.spec.vocabulary_size)
    assert tokenizer is not None
    keep_tokenizer(tokenizer, read_chat_template(model.folder), ours / "tokenizer")
    return ours


def of_characters(folder: Path, **changes: Any) -> Path:
    """A model of letters, with random weights."""
    tokenizer = CharacterTokenizer("abcd ", special_tokens=("[CLS]", "[SEP]", "[MASK]"))
    spec = ModelSpec(vocabulary_size=tokenizer.vocabulary_size, context=12, width=8, layers=1, heads=2)
    save_model(Transformer(spec.replace(**changes), 0), folder)
    (folder / "tokenizer").mkdir()
    tokenizer.save(folder / "tokenizer")
    return folder


def test_a_model_that_was_taught_to_chat_is_asked_in_its_own_template(tmp_path: Path):
    folder = imported(tmp_path, eos_token_id=[0, 9])
    model = served(folder)
    assert model.card.chat_template == "own"
    assert model.id == "ours"
    assert model.end_tokens == (0, 9)
    theirs = published_models.transformers.AutoTokenizer.from_pretrained(tmp_path / "theirs")
    messages = [{"role": "user", "content": "She sells"}, {"role": "assistant", "content": "sea shells"}]
    prompt = theirs.apply_chat_template(messages, tokenize=True, return_dict=False)
    assert model.chat.prompt(messages) == prompt
    with asking(model) as client:
        answer = client.post(
            "/v1/chat/completions", json={"model": "ours", "messages": messages, "max_tokens": 12, "seed": 3}
        ).json()
    settings = Decoding(max_tokens=12, seed=3, end_tokens=(0, 9))
    ids: list[int] = []
    for chosen in Decoder(model.reader.model).tokens([prompt], settings):
        ids += chosen.ids
        if ids[-1] in (0, 9):
            break
    assert answer["usage"] == {
        "prompt_tokens": len(prompt), "completion_tokens": len(ids), "total_tokens": len(prompt) + len(ids)
    }  # fmt: skip
    assert answer["choices"][0]["message"]["content"] == b"".join(
        spelled(model.tokenizer, id) for id in ids if id not in (0, 9)
    ).decode(errors="replace")
    assert max(ids) >= model.tokenizer.vocabulary_size, "ids that stand for no text are among them"


def test_log_probabilities_leave_out_the_end_token(tmp_path: Path):
    model = served(imported(tmp_path, eos_token_id=list(range(60))))
    with asking(model) as client:
        asked = {"model": "ours", "messages": [{"role": "user", "content": "She"}], "seed": 1, "logprobs": True}
        choice = client.post("/v1/chat/completions", json=asked).json()["choices"][0]
        assert choice["finish_reason"] == "stop"
        assert "".join(entry["token"] for entry in choice["logprobs"]["content"]) == choice["message"]["content"]
        asked = {"model": "ours", "prompt": "She", "seed": 1, "logprobs": 0, "max_tokens": 40}
        choice = client.post("/v1/completions", json=asked).json()["choices"][0]
        assert "".join(choice["logprobs"]["tokens"]) == choice["text"]


def test_an_encoder_gives_vectors_and_is_looked_into_and_writes_nothing(tmp_path: Path):
    model = served(of_characters(tmp_path, kind="encoder"))
    assert model.card.abilities == ["embeddings", "trace"]
    assert model.card.chat_template is None
    with asking(model) as client:
        answer = client.post("/v1/embeddings", json={"model": model.id, "input": "abc"})
        states = model.reader.model.hidden(model.reader.tokens("abc"))[0, 1:-1]  # between [CLS] and [SEP]
        mean = states.detach().mean(0)
        assert answer.json()["data"][0]["embedding"] == pytest.approx((mean / mean.norm()).tolist(), abs=1e-5)
        for path, asked in (
            ("chat/completions", {"messages": [{"role": "user", "content": "a"}]}),
            ("completions", {}),
        ):
            refused = client.post(f"/v1/{path}", json={"model": model.id} | asked)
            assert refused.status_code == 400
            assert "reads and doesn't write" in refused.json()["error"]["message"]
        seen = client.post("/trace/predictions", json={"input": "abc"}).json()
        assert len(seen["loss"]) == len(seen["tokens"]) == 5
        assert client.get("/health").json()["rows"] == 0
        assert "glassbox_rows" not in client.get("/metrics").text


def test_an_encoder_without_a_mask_predicts_nothing(tmp_path: Path):
    folder = of_characters(tmp_path, kind="encoder")
    CharacterTokenizer("abcd ").save(folder / "tokenizer")
    with asking(served(folder)) as client:
        refused = client.post("/trace/predictions", json={"input": "abc"})
        assert refused.status_code == 400
        assert "masked" in refused.json()["error"]["message"]


def test_a_character_that_the_tokenizer_lacks_is_refused_by_the_field_that_holds_it(tmp_path: Path):
    with asking(served(of_characters(tmp_path))) as client:
        name = client.get("/v1/models").json()["data"][0]["id"]
        refused = client.post("/v1/completions", json={"model": name, "prompt": "xyz"})
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, "prompt")
        messages = [{"role": "user", "content": "abc"}]
        refused = client.post("/v1/chat/completions", json={"model": name, "messages": messages})
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, "messages")


def test_an_encoder_decoder_is_not_served(tmp_path: Path):
    folder = of_characters(tmp_path, kind="encoder-decoder", encoder_layers=1)
    with pytest.raises(BadInput, match="encoder-decoder"):
        served(folder)


def test_a_fault_of_ours_is_told_without_its_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    model = served(of_characters(tmp_path))

    def fail(*_: object) -> None:
        raise RuntimeError("a secret detail")

    monkeypatch.setattr("glassbox.serving.embeddings.vectors_of", fail)
    service = Service(model, rows=2, waiting=4, threads=1, process_id=1)
    client = TestClient(
        create_app(service, key=None, local=True), base_url="http://localhost", raise_server_exceptions=False
    )
    with client:
        answer = client.post("/v1/embeddings", json={"model": model.id, "input": "abc"})
        assert answer.status_code == 500
        assert answer.json()["error"]["type"] == "server_error"
        assert "secret" not in answer.text
        assert 'status="500"' in client.get("/metrics").text


@pytest.mark.parametrize("stream", [False, True])
def test_a_model_that_fails_while_it_writes_says_so(stream: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    model = served(of_characters(tmp_path))

    def fail(*_: object, **__: object) -> None:
        raise MemoryError

    with asking(model) as client:
        monkeypatch.setattr(type(model.reader.model), "hidden", fail)
        asked = {"model": model.id, "prompt": "abc", "stream": stream}
        answer = client.post("/v1/completions", json=asked)
        assert answer.status_code == 500
        assert answer.json()["error"]["code"] == "generation_failed"


def test_a_model_is_found_by_its_name_in_a_workspace(tmp_path: Path, own_workspace: Path):
    workspace = Workspace(own_workspace)
    for _ in range(2):
        with workspace.artifacts.draft("model", "letters") as draft:
            of_characters(draft.folder)
    found = find("letters:1", None)
    assert found.id == "letters"
    assert found.folder == workspace.artifacts.folder_of("model", "letters:1")
    model = ServedModel(find("letters", None))
    model.check_name("letters")
    model.check_name("letters:2")
    assert model.fingerprint == ServedModel(find("letters:2", None)).fingerprint
    assert find("letters", None, "another").id == "another"


def test_vectors_of_many_texts_are_those_of_each_alone(tmp_path: Path):
    reader = Reader.load(of_characters(tmp_path))
    texts = ["a", "ab", "ba", "abcd abcd", "a", "dcba abcd"]
    rows = rows_of(reader, texts)
    read: list[int] = []
    for places in groups(rows, 8):
        together = vectors_of(reader.model, [rows[place] for place in places])
        for place, vector in zip(places, together, strict=True):
            assert torch.from_numpy(vector) == pytest.approx(vectors_of(reader.model, [rows[place]])[0], abs=1e-6)
        read += places
    assert sorted(read) == list(range(len(texts)))
    assert [len(row.ids) for row in rows] == [reader.tokens(text).shape[1] for text in texts]


@pytest.mark.parametrize(
    ("host", "local"),
    [("localhost", True), ("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("0.0.0.0", False),
     ("::", False), ("192.168.0.1", False), ("localhost.example.com", False), ("", False)],
)  # fmt: skip
def test_only_addresses_of_this_machine_need_no_key(host: str, local: bool):
    assert is_loopback(host) == local


def test_websockets_are_closed_before_they_open(tmp_path: Path):
    with asking(served(of_characters(tmp_path))) as client:
        socket = client.websocket_connect("/v1/models")
        with pytest.raises(WebSocketDisconnect):
            socket.__enter__()


def test_a_model_that_fails_again_and_again_is_given_up_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    model = served(of_characters(tmp_path))

    def fail(*_: object, **__: object) -> None:
        raise MemoryError

    with asking(model) as client:
        asked = {"model": model.id, "prompt": "abc"}
        assert client.post("/v1/completions", json=asked).status_code == 200
        assert client.get("/health").json()["status"] == "ready"
        monkeypatch.setattr(type(model.reader.model), "hidden", fail)
        statuses = [client.post("/v1/completions", json=asked | {"prompt": text}).status_code for text in FRESH]
        assert statuses == sorted(statuses)
        assert set(statuses) == {500, 503}
        health = client.get("/health")
        assert (health.status_code, health.json()["status"]) == (503, "failing")


def test_more_readers_than_may_wait_are_told_to_come_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("glassbox.serving.service.WAITING_READERS", 0)
    model = served(of_characters(tmp_path))
    with asking(model) as client:
        answer = client.post("/v1/embeddings", json={"model": model.id, "input": "abc"})
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
