from __future__ import annotations

import pytest
from own_loop import run_async
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from glassbox.serving.timed_answers import TimedAnswers


class Told(TimedAnswers):
    def __init__(self, app: ASGIApp) -> None:
        super().__init__(app)
        self.heard: list[tuple[str, str]] = []

    def answered(self, scope: Scope, status: str, seconds: float) -> None:
        assert seconds >= 0
        self.heard.append((scope["type"], status))


def asked(app: ASGIApp, kind: str = "http") -> tuple[Told, list[Message]]:
    timed, sent = Told(app), []

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    try:
        run_async(timed({"type": kind}, receive, send))
    except RuntimeError as error:
        sent.append({"type": str(error)})
    return timed, sent


async def answers(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 201, "headers": []})
    await send({"type": "http.response.body", "body": b"done"})


async def breaks(_scope: Scope, _receive: Receive, _send: Send) -> None:
    raise RuntimeError("broken")


async def hears_nobody(_scope: Scope, receive: Receive, _send: Send) -> None:
    assert (await receive())["type"] == "http.disconnect"


def test_an_answer_is_told_with_its_status_and_goes_through_as_it_is():
    timed, sent = asked(answers)
    assert timed.heard == [("http", "201")]
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]


@pytest.mark.parametrize(("app", "status"), [(breaks, "500"), (hears_nobody, "gone")])
def test_what_ends_without_an_answer_is_told_too(app: ASGIApp, status: str):
    assert asked(app)[0].heard == [("http", status)]


def test_an_error_goes_on_to_who_handles_it():
    assert asked(breaks)[1] == [{"type": "broken"}]


def test_what_is_no_request_is_not_told():
    assert asked(answers, "lifespan")[0].heard == []
