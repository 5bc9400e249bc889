"""The whole way: a workshop, a real model's process, and the official client."""

from __future__ import annotations

import base64
import math
import struct
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest
from databases import NewDatabase
from live_workshop import LiveWorkshop, live_workshop
from openai.types.chat import ChatCompletionMessageParam
from tiny_model import make_tiny_model
from waiting import until

from glassbox.serving.trace_views import VIEWS as VIEWS_OF_THE_PROCESS
from glassbox.workshop.routes.traces import VIEWS
from glassbox.workshop.settings import WorkshopSettings
from glassbox.workspace import Workspace

MESSAGES: list[ChatCompletionMessageParam] = [{"role": "user", "content": "She sells"}]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, new_database: NewDatabase) -> Iterator[LiveWorkshop]:
    """A workshop that serves a tiny model to everyone as `shells`."""
    folder: Path = tmp_path_factory.mktemp("workshop")
    make_tiny_model(Workspace(folder))
    settings = WorkshopSettings(workspace=folder, database_url=new_database(folder), threads=2)
    with live_workshop(settings) as live:
        assert live.facts(live.deploy("shells", threads=1))["state"] == "ready", live.facts("shells")
        yield live


@pytest.fixture(scope="module")
def client(served: LiveWorkshop) -> openai.OpenAI:
    return served.openai()


def test_its_card_tells_what_it_is(client: openai.OpenAI):
    card = client.models.retrieve("shells").model_dump()
    assert card["kind"] == "decoder"
    assert card["context"] == 512
    assert card["chat_template"] == "plain"
    assert card["abilities"] == ["chat", "completions", "embeddings", "trace"]


def test_a_stream_says_what_the_whole_answer_says(client: openai.OpenAI):
    whole = client.chat.completions.create(model="shells", messages=MESSAGES, seed=1, max_tokens=40)
    stream = client.chat.completions.create(model="shells", messages=MESSAGES, seed=1, max_tokens=40, stream=True)
    parts = list(stream)
    assert "".join(part.choices[0].delta.content or "" for part in parts) == whole.choices[0].message.content
    assert parts[-1].choices[0].finish_reason == whole.choices[0].finish_reason
    assert all("usage" not in part.model_fields_set for part in parts)


def test_completions_tell_log_probabilities(client: openai.OpenAI):
    answer = client.completions.create(model="shells", prompt="She", max_tokens=5, logprobs=2, temperature=0)
    logprobs = answer.choices[0].logprobs
    assert logprobs is not None
    assert logprobs.token_logprobs is not None
    assert len(logprobs.token_logprobs) == 5
    assert all(one is not None and one <= 0 for one in logprobs.token_logprobs)


def test_chats_tell_log_probabilities(client: openai.OpenAI):
    answer = client.chat.completions.create(
        model="shells", messages=MESSAGES, max_tokens=4, logprobs=True, top_logprobs=3
    )
    told = answer.choices[0].logprobs
    assert told is not None
    assert told.content is not None
    assert all(len(one.top_logprobs) == 3 for one in told.content)


def test_embeddings_come_as_numbers_and_as_bytes(client: openai.OpenAI):
    numbers = client.embeddings.create(model="shells", input=["She", "sells"], encoding_format="float").data
    coded = client.embeddings.create(model="shells", input=["She", "sells"], encoding_format="base64").data
    for number, code in zip(numbers, coded, strict=True):
        assert math.hypot(*number.embedding) == pytest.approx(1, abs=1e-5)
        raw = base64.b64decode(str(code.embedding))
        assert struct.unpack(f"<{len(raw) // 4}f", raw) == pytest.approx(number.embedding, abs=1e-6)


def test_a_prompt_that_is_too_long_is_refused_by_the_model(client: openai.OpenAI):
    with pytest.raises(openai.BadRequestError) as refused:
        client.completions.create(model="shells", prompt="She sells " * 2000)
    assert refused.value.code == "context_length_exceeded"


def test_an_answer_that_is_given_up_is_counted_to_the_token(served: LiveWorkshop):
    stream = served.openai("quitter").completions.create(
        model="shells", prompt="She", max_tokens=500, stream=True, seed=2, temperature=5
    )
    next(iter(stream))
    stream.close()
    with served.web("quitter") as web:

        def noted() -> list[dict[str, int]]:
            served.gateway.usage.write()
            return web.get("/api/usage/requests").json()

        [one] = until(noted, "it was written down")
    assert one["prompt_tokens"] > 0
    assert 0 < one["completion_tokens"] <= 500


def test_a_served_model_can_be_looked_into(served: LiveWorkshop):
    with served.web("member") as web:
        listed = web.get("/api/deployments/shells/trace").json()
        assert {view["name"] for view in listed["views"]} >= {"attention", "lens", "values"}
        for view in listed["views"]:
            extra = {
                "patching": {"corrupted": "She tells", "answer": 100, "foil": 101},
                "values": {"names": ["blocks.0.attention.weights"]},
            }
            body = {"input": "She sells"} | extra.get(view["name"], {})
            answer = web.post(f"/api/deployments/shells/trace/{view['name']}", json=body)
            assert answer.status_code == 200, (view["name"], answer.text)
            assert "".join(token["text"] for token in answer.json()["tokens"]).endswith("She sells")
        weights = web.post("/api/deployments/shells/trace/attention", json={"input": "She", "layer": 1}).json()
        assert all(sum(row) == pytest.approx(1, abs=1e-3) for head in weights["weights"][0] for row in head)


@pytest.mark.parametrize(
    ("view", "body", "status"),
    [
        ("attention", {"input": "She", "layer": 9}, 422),
        ("attention", {"input": "She", "colour": "red"}, 422),
        ("values", {"input": "She"}, 422),
        ("nothing", {"input": "She"}, 404),
    ],
)
def test_what_cannot_be_looked_at_is_a_problem_with_a_remedy(
    served: LiveWorkshop, view: str, body: dict[str, object], status: int
):
    with served.web("member") as web:
        answer = web.post(f"/api/deployments/shells/trace/{view}", json=body)
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["remedy"]


def test_every_view_of_the_process_has_a_route():
    theirs = {name: view.asks for name, view in VIEWS_OF_THE_PROCESS.items()}
    assert theirs == {name: asks for name, (asks, _) in VIEWS.items()}
