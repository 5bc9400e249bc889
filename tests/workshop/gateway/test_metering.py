"""What an answer cost is read as it goes by, and nothing else of it changes."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from glassbox.workshop.gateway.metering import Cost, StreamMeter, cost_of

TEXTS = st.lists(
    st.text() | st.sampled_from(['","usage":{"prompt_tokens":9}', ',"usage":null', "\n\ndata: [DONE]\n\n"])
)


def event(body: object) -> bytes:
    return b"data: " + json.dumps(body, separators=(",", ":")).encode() + b"\n\n"


def part(text: str, **usage: object) -> bytes:
    return event({"id": "1", "choices": [{"index": 0, "delta": {"content": text}}], "made": True, **usage})


def stream(texts: list[str]) -> bytes:
    """As a process sends it."""
    parts = [
        part(text, usage={"prompt_tokens": 3, "completion_tokens": written, "details": {"cached": 0}})
        for written, text in enumerate(texts, 1)
    ]
    last = {"id": "1", "choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": len(texts)}}
    return b"".join([*parts, event(last), b"data: [DONE]\n\n"])


@given(texts=TEXTS, cuts=st.lists(st.integers(1, 40)), wants_usage=st.booleans())
def test_however_a_stream_is_cut_it_is_metered_and_told_as_it_was_asked_for(
    texts: list[str], cuts: list[int], wants_usage: bool
):
    meter, heard, rest = StreamMeter(wants_usage=wants_usage), b"", stream(texts)
    for cut in cuts:
        heard += meter.passed(rest[:cut])
        rest = rest[cut:]
    heard += meter.passed(rest)
    assert meter.cost == Cost(prompt_tokens=3, completion_tokens=len(texts))
    usage = {"usage": None} if wants_usage else {}
    end = {"id": "1", "choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": len(texts)}}
    assert heard == b"".join(part(text, **usage) for text in texts) + (event(end) if wants_usage else b"") + (
        b"data: [DONE]\n\n"
    )


@given(texts=TEXTS, at=st.integers(0, 5000))
def test_of_a_stream_that_breaks_off_only_whole_events_go_on(texts: list[str], at: int):
    meter = StreamMeter(wants_usage=False)
    heard = meter.passed(stream(texts)[:at])
    assert heard == b"" or heard.endswith(b"\n\n")
    for one in heard.split(b"\n\n")[:-1]:
        assert one == b"data: [DONE]" or json.loads(one.removeprefix(b"data: "))
    assert meter.cost.completion_tokens <= len(texts)


@given(text=st.text() | st.just('"usage":{"prompt_tokens":7}'))
def test_a_whole_answer_tells_its_cost_at_its_end(text: str):
    body = {"choices": [{"text": text}], "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}}
    assert cost_of(json.dumps(body).encode()) == Cost(prompt_tokens=5, completion_tokens=2)
    assert cost_of(json.dumps({"choices": [{"text": text}]}).encode()) == Cost()


def test_what_only_reads_writes_nothing():
    assert cost_of(b'{"data": [], "usage": {"prompt_tokens": 5, "total_tokens": 5}}') == Cost(prompt_tokens=5)


def test_an_event_that_tells_of_a_failure_is_one():
    meter = StreamMeter(wants_usage=False)
    meter.passed(event({"error": {"message": "it failed"}}))
    assert meter.failed
