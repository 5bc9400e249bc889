"""What is refused, and how: the errors of OpenAI's API, and nobody's fault as a traceback."""

from __future__ import annotations

import json
from typing import Any

import httpx
import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from served_child import Child

HELLO: Any = [{"role": "user", "content": "hi"}]


@pytest.mark.parametrize(
    ("wrong", "param", "code"),
    [
        ({"temperature": -1}, "temperature", "invalid_value"),
        ({"temperature": "hot"}, "temperature", "invalid_value"),
        ({"top_p": 0}, "top_p", "invalid_value"),
        ({"top_p": 1e-12}, None, None),
        ({"n": 17}, "n", "invalid_value"),
        ({"n": 0}, "n", "invalid_value"),
        ({"max_tokens": 0}, "max_tokens", "invalid_value"),
        ({"presence_penalty": 3}, "presence_penalty", "invalid_value"),
        ({"top_logprobs": 2}, "top_logprobs", "invalid_value"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs", "invalid_value"),
        ({"stop": ""}, "stop", "invalid_value"),
        ({"messages": []}, "messages", "invalid_value"),
        ({"messages": [{"role": "wizard", "content": "hi"}]}, "messages.0.role", "invalid_value"),
        ({"messages": [{"role": "user"}]}, "messages.0.content", "missing_required_parameter"),
        ({"logit_bias": {"50": 1}}, "logit_bias", "unsupported_parameter"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools", "unsupported_parameter"),
        ({"response_format": {"type": "json_object"}}, "response_format", "unsupported_parameter"),
        ({"store": True}, "store", "unsupported_parameter"),
        ({"reasoning_effort": "low"}, "reasoning_effort", "unsupported_parameter"),
        ({"extra_body": {"temprature": 1}}, "temprature", "unknown_parameter"),
        ({"extra_body": {"seed": 2**70}}, "seed", "invalid_value"),
    ],
)
def test_a_wrong_field_is_named(client: openai.OpenAI, wrong: dict[str, Any], param: str | None, code: str | None):
    with pytest.raises(openai.BadRequestError) as raised:
        client.chat.completions.create(**{"model": "shells", "messages": HELLO} | wrong)
    assert (raised.value.param, raised.value.code, raised.value.type) == (param, code, "invalid_request_error")


def test_fields_that_change_nothing_are_taken(client: openai.OpenAI):
    nothing: Any = {
        "logit_bias": {}, "tools": [], "tool_choice": "auto", "store": False, "user": "me", "metadata": {"a": "b"},
        "service_tier": "auto", "modalities": ["text"], "response_format": {"type": "text"}, "n": 1,
        "parallel_tool_calls": True, "prompt_cache_key": "key",
    }  # fmt: skip
    answer = client.chat.completions.create(model="shells", messages=HELLO, max_tokens=1, **nothing)
    assert answer.choices


@pytest.mark.parametrize("stream", [False, True])
def test_a_prompt_that_leaves_no_room_is_too_long(client: openai.OpenAI, stream: bool):
    long: Any = [{"role": "user", "content": "sea shells " * 20_000}]
    with pytest.raises(openai.BadRequestError, match=r"context of 512") as raised:
        client.chat.completions.create(model="shells", messages=long, stream=stream)
    assert raised.value.code == "context_length_exceeded"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "isn't JSON"),
        (b"{", "isn't JSON"),
        (b"\xff\xfe", "isn't JSON"),
        (b"\x00" * 100, "isn't JSON"),
        (b"[" * 100_000, "isn't JSON"),
        (b'{"model": "shells", "messages": [{"role": "user", "content": "\\ud800"}]}', "isn't JSON"),
        (b'{"model": "shells", "messages": NaN}', "messages"),
        (b"[]", "The body"),
        (b"null", "The body"),
        (b'"' + b"a" * 3_000_000 + b'"', "The body"),
    ],
)
def test_whatever_comes_as_a_body_is_told_in_a_sentence(web: httpx.Client, body: bytes, said: str):
    answer = web.post("/v1/chat/completions", content=body)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert said in error["message"]
    assert len(error["message"]) < 1500


@settings(max_examples=40)
@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(max_size=5), lambda inner: st.lists(
    inner, max_size=3) | st.dictionaries(st.sampled_from(["model", "messages", "role", "content", "n", "stop", "type"]),
    inner, max_size=4), max_leaves=8))  # fmt: skip
def test_no_body_makes_the_server_fail(web: httpx.Client, body: Any):
    for path in ("/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/trace/attention"):
        answer = web.post(path, content=json.dumps(body))
        assert answer.status_code in (400, 404), (path, body)
        assert answer.json()["error"]["message"]


def test_a_body_beyond_all_bounds_is_too_large(web: httpx.Client):
    answer = web.post("/v1/completions", content=b" " * (5 << 20))
    assert answer.status_code == 413
    assert answer.json()["error"]["code"] == "request_too_large"

    def pieces() -> Any:
        for _ in range(5):
            yield b" " * (1 << 20)

    assert web.post("/v1/completions", content=pieces()).status_code == 413


def test_an_address_that_there_isn_t_is_told_as_an_error_too(web: httpx.Client):
    for method, path, status in (("GET", "/v1/nothing", 404), ("GET", "/v1/completions", 405), ("POST", "/health", 405),
                                 ("POST", "/trace/nothing", 404), ("GET", "/", 404)):  # fmt: skip
        answer = web.request(method, path)
        assert answer.status_code == status
        assert answer.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "shells.example.com"},
        {"Host": "127.0.0.1.example.com:80"},
        {"Host": "localhost:80@example.com"},
        {"Host": ""},
        {"Origin": "https://example.com"},
        {"Origin": "null"},
        {"Origin": "http://localhost:1"},
    ],
)
def test_web_pages_of_others_are_refused(web: httpx.Client, headers: dict[str, str]):
    answer = web.get("/v1/models", headers=headers)
    assert answer.status_code == 403
    assert "access-control-allow-origin" not in answer.headers


def test_this_machine_may_ask_by_each_of_its_names(server: Child, web: httpx.Client):
    for name in ("localhost", "127.0.0.1", "[::1]", "LOCALHOST"):
        host = f"{name}:{server.port}"
        answer = web.get("/health", headers={"Host": host, "Origin": f"http://{host.lower()}"})
        assert answer.status_code == 200, name


def test_a_preflight_of_another_origin_gets_nothing(web: httpx.Client):
    answer = web.options(
        "/v1/completions",
        headers={"Origin": "https://example.com", "Access-Control-Request-Method": "POST"},
    )
    assert answer.status_code == 403
