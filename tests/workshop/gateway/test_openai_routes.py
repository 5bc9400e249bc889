"""OpenAI's API in front of the served models, asked with the official client."""

from __future__ import annotations

import os
import signal
import threading
from typing import Any

import httpx
import openai
import pytest
from live_workshop import LiveWorkshop
from openai.types.chat import ChatCompletionMessageParam
from waiting import PATIENCE, until

from glassbox.workshop.gateway.quotas import Limits


def said(text: str) -> list[ChatCompletionMessageParam]:
    return [{"role": "user", "content": text}]


HELLO = said("hello")


def test_models_are_those_that_one_may_ask(live: LiveWorkshop):
    live.deploy("good")
    models = live.openai().models.list().data
    assert [(one.id, one.object, one.owned_by) for one in models] == [("good", "model", "glassbox")]
    assert models[0].model_extra is not None
    assert until(lambda: (live.openai().models.retrieve("good").model_extra or {}).get("context"), "it told") == 64


def test_a_model_that_is_not_shared_is_there_for_its_owner_alone(live_on_each: LiveWorkshop):
    live = live_on_each
    live.deploy("good", person="member", shared=False)
    assert [one.id for one in live.openai("member").models.list()] == ["good"]
    assert list(live.openai("another").models.list()) == []
    with pytest.raises(openai.NotFoundError) as refused:
        live.openai("another").chat.completions.create(model="good", messages=HELLO)
    assert refused.value.code == "model_not_found"
    with pytest.raises(openai.NotFoundError) as unknown:
        live.openai("another").chat.completions.create(model="never-was", messages=HELLO)
    assert str(refused.value).replace("good", "NAME") == str(unknown.value).replace("never-was", "NAME")


def test_a_chat_is_answered(live: LiveWorkshop):
    live.deploy("good")
    answer = live.openai().chat.completions.create(model="good", messages=HELLO)
    assert answer.choices[0].message.content == "She sells sea shells"
    assert answer.usage is not None
    assert answer.usage.total_tokens == 9


def test_a_stream_is_what_the_process_sends_and_no_more(live: LiveWorkshop):
    live.deploy("good")
    parts = list(live.openai().chat.completions.create(model="good", messages=HELLO, stream=True))
    assert [part.choices[0].delta.content for part in parts] == ["She", " sells", " sea", " shells"]
    assert all("usage" not in part.model_fields_set for part in parts)


def test_a_stream_tells_usage_at_its_end_where_that_is_asked_for(live: LiveWorkshop):
    live.deploy("good")
    *parts, last = live.openai().chat.completions.create(
        model="good", messages=HELLO, stream=True, stream_options={"include_usage": True}
    )
    assert len(parts) == 4
    assert all(part.usage is None for part in parts)
    assert not last.choices
    assert last.usage is not None
    assert (last.usage.prompt_tokens, last.usage.completion_tokens) == (5, 4)


def test_the_parts_of_a_stream_come_as_they_are_written(live: LiveWorkshop):
    live.deploy("good")
    stream = live.openai().chat.completions.create(model="good", messages=said("without end"), stream=True)
    first = next(iter(stream))
    assert first.choices[0].delta.content == "She"
    stream.close()


def test_a_client_that_goes_away_takes_its_request_with_it(live: LiveWorkshop):
    live.deploy("good")
    stream = live.openai().chat.completions.create(model="good", messages=said("without end"), stream=True)
    next(iter(stream))
    assert live.facts("good")["load"]["in_flight"] == 1
    stream.close()
    until(lambda: live.child("good").ask("/given-up", PATIENCE) == b'["a stream"]', "the process heard of it")
    assert live.facts("good")["load"]["in_flight"] == 0
    with live.web("member") as web:
        [noted] = until(lambda: web.get("/api/usage/requests").json(), "it was written down")
    assert noted["status"] == 499
    assert noted["prompt_tokens"] == 5
    assert noted["completion_tokens"] > 0


def test_what_the_process_refuses_is_refused_in_its_words(live: LiveWorkshop):
    live.deploy("good")
    with pytest.raises(openai.BadRequestError, match="refused") as refused:
        live.openai().chat.completions.create(model="good", messages=said("refuse this"))
    assert refused.value.param == "messages"


@pytest.mark.parametrize(
    ("wrong", "param", "code"),
    [
        ({"temperature": 1000}, "temperature", "invalid_value"),
        ({"extra_body": {"tempratur": 1}}, "tempratur", "unknown_parameter"),
        ({"messages": []}, "messages", "invalid_value"),
        ({"extra_body": {"logit_bias": {"1": 2}}}, "logit_bias", "unsupported_parameter"),
    ],
)
def test_a_wrong_field_is_refused_before_a_process_is_asked(
    live: LiveWorkshop, wrong: dict[str, Any], param: str, code: str
):
    with pytest.raises(openai.BadRequestError) as refused:
        live.openai().chat.completions.create(**({"model": "none", "messages": HELLO} | wrong))
    assert (refused.value.param, refused.value.code) == (param, code)


def test_a_body_that_is_no_json_or_too_large_is_refused_in_the_same_shape(live: LiveWorkshop):
    headers = {"Authorization": f"Bearer {live.key()}", "Content-Type": "application/json"}
    for content, status, code in (
        (b"{", 400, "invalid_json"),
        (b"\xff\xfe", 400, "invalid_json"),
        (b'"' + b"a" * (5 << 20) + b'"', 413, "request_too_large"),
    ):
        answer = httpx.post(f"{live.address}/v1/completions", content=content, headers=headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


def test_a_wrong_key_and_none_are_refused(live: LiveWorkshop):
    with pytest.raises(openai.AuthenticationError) as refused:
        openai.OpenAI(base_url=f"{live.address}/v1", api_key="glassbox-wrong", max_retries=0).models.list()
    assert refused.value.code == "invalid_api_key"
    assert httpx.get(f"{live.address}/v1/models").status_code == 401


def test_an_error_carries_the_id_of_its_request(live: LiveWorkshop):
    with pytest.raises(openai.NotFoundError) as refused:
        live.openai().chat.completions.create(model="none", messages=HELLO)
    assert refused.value.request_id


def test_what_openai_has_and_this_has_not_is_refused_in_its_shape(live: LiveWorkshop):
    with pytest.raises(openai.NotFoundError) as refused:
        live.openai().images.generate(prompt="a shell", model="good")
    assert refused.value.code == "unknown_url"
    answer = httpx.get(f"{live.address}/v1/chat/completions")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "unknown_url")


def test_a_stopped_model_is_not_served(live: LiveWorkshop):
    live.deploy("good")
    with live.web("owner") as web:
        web.post("/api/deployments/good/stop")
    with pytest.raises(openai.InternalServerError) as refused:
        live.openai().chat.completions.create(model="good", messages=HELLO)
    assert (refused.value.status_code, refused.value.code) == (503, "model_not_served")
    assert list(live.openai().models.list()) == []


def test_a_model_that_failed_says_why(live: LiveWorkshop):
    live.deploy("refuses")
    with pytest.raises(openai.InternalServerError, match="There is no model called refuses") as refused:
        live.openai().chat.completions.create(model="refuses", messages=HELLO)
    assert (refused.value.status_code, refused.value.code) == (503, "model_not_served")


def test_a_request_waits_for_a_process_that_starts(live: LiveWorkshop):
    live.deploy("good")
    os.kill(live.pid("good"), signal.SIGKILL)
    answer = live.openai().chat.completions.create(model="good", messages=HELLO)
    assert answer.choices[0].message.content == "She sells sea shells"


def test_a_process_that_dies_before_it_answers_is_a_clear_error_and_started_again(live: LiveWorkshop):
    live.deploy("good")
    with pytest.raises(openai.InternalServerError) as refused:
        live.openai().chat.completions.create(model="good", messages=said("die at once"))
    assert (refused.value.status_code, refused.value.code) == (502, "model_crashed")
    assert live.openai().chat.completions.create(model="good", messages=HELLO).choices
    assert live.facts("good")["starts"] == 2


def test_a_process_that_dies_in_mid_stream_ends_the_stream_with_an_error(live: LiveWorkshop):
    live.deploy("good")
    stream = live.openai().chat.completions.create(model="good", messages=said("die in between"), stream=True)
    heard: list[str | None] = []
    with pytest.raises(openai.APIError, match="process ended while it answered"):
        heard.extend(part.choices[0].delta.content for part in stream)
    with httpx.stream(
        "POST",
        f"{live.address}/v1/chat/completions",
        json={"model": "good", "messages": [{"role": "user", "content": "die in between"}], "stream": True},
        headers={"Authorization": f"Bearer {live.key()}"},
        timeout=PATIENCE,
    ) as answer:
        text = answer.read().decode()
    assert answer.status_code == 200
    *events, last, nothing = text.split("\n\n")
    assert len(events) == 2
    assert last.startswith('data: {"error":{"message":"The model\'s process ended')
    assert nothing == ""
    assert "[DONE]" not in text


def test_a_process_that_hangs_is_killed_and_its_requests_end(live: LiveWorkshop):
    live.deploy("good")
    with pytest.raises(openai.InternalServerError) as refused:
        live.openai().chat.completions.create(model="good", messages=said("stand still"))
    assert (refused.value.status_code, refused.value.code) == (502, "model_crashed")
    assert live.openai().chat.completions.create(model="good", messages=HELLO).choices


def test_sixteen_at_once_are_answered(live: LiveWorkshop):
    live.deploy("good")
    client = live.openai()
    heard: list[str] = []

    def chat() -> None:
        stream = client.chat.completions.create(model="good", messages=HELLO, stream=True)
        heard.append("".join(part.choices[0].delta.content or "" for part in stream))

    threads = [threading.Thread(target=chat) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert heard == ["She sells sea shells"] * 16


def test_a_key_may_ask_so_often_in_a_minute(live: LiveWorkshop):
    live.deploy("good")
    client = live.openai(requests_per_minute=2)
    first = client.chat.completions.with_raw_response.create(model="good", messages=HELLO)
    assert first.headers["x-ratelimit-limit-requests"] == "2"
    assert first.headers["x-ratelimit-remaining-requests"] == "1"
    client.chat.completions.create(model="good", messages=HELLO)
    with pytest.raises(openai.RateLimitError, match="This key may ask 2 times a minute") as refused:
        client.chat.completions.create(model="good", messages=HELLO)
    assert 50 < int(refused.value.response.headers["retry-after"]) <= 60
    assert refused.value.code == "rate_limit_exceeded"
    assert live.openai().chat.completions.create(model="good", messages=HELLO).choices


def test_a_person_may_use_so_many_tokens_a_day_whatever_key_they_use(live: LiveWorkshop):
    live.deploy("good")
    live.gateway.quotas.set_limits(live.people.user("member").id, Limits(tokens_per_day=10))
    for _ in range(2):  # 9 tokens are below 10: the second may begin, and leads past it
        live.openai().chat.completions.create(model="good", messages=HELLO)
    with pytest.raises(openai.RateLimitError, match="You may use 10 tokens a day") as refused:
        live.openai().chat.completions.create(model="good", messages=HELLO)
    assert refused.value.code == "insufficient_quota"
    assert live.openai("educator").chat.completions.create(model="good", messages=HELLO).choices
