"""How many tokens an answer cost, read from it as it goes by, without taking it apart.

A process tells its usage with every part of a stream (`stream_options.continuous_usage_stats`, as vLLM calls it), so
that an answer that is cut off is counted to the token too. Whoever didn't ask for that gets the stream as if the
process hadn't told. JSON escapes the quotes in texts, so `"usage":` with bare quotes never stands in one.
"""

from __future__ import annotations

import json
import re

from pydantic import BaseModel, ConfigDict

_USAGE = re.compile(rb',\s*"usage":\s*(null|\{[^{}]*(?:\{[^{}]*\}[^{}]*)*\})')
_NO_CHOICES = re.compile(rb'"choices":\s*\[\]')
_EVENT_END = b"\n\n"


class Cost(BaseModel):
    """Tokens of one request so far."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    prompt_tokens: int = 0
    completion_tokens: int = 0


def cost_of(body: bytes) -> Cost:
    """What a whole answer says of itself; nothing if it says nothing, as errors do."""
    found = _USAGE.findall(body)
    return _cost(found[-1]) if found else Cost()


class StreamMeter:
    """Lets the events of a stream through, whole ones only. wants_usage: did the client ask for it at the end?"""

    def __init__(self, *, wants_usage: bool) -> None:
        self.cost = Cost()
        self.failed = False
        self._wants_usage = wants_usage
        self._rest = b""

    def passed(self, part: bytes) -> bytes:
        """What may go on to the client of what has come."""
        whole, end, self._rest = (self._rest + part).rpartition(_EVENT_END)
        if not end:
            return b""
        return b"".join(map(self._event, whole.split(_EVENT_END)))

    def _event(self, event: bytes) -> bytes:
        if event.startswith(b'data: {"error"'):
            self.failed = True
        found = _USAGE.search(event)
        if found is None:
            return event + _EVENT_END
        if found[1] != b"null":
            self.cost = _cost(found[1])
            if _NO_CHOICES.search(event):  # the last one, which tells nothing else
                return event + _EVENT_END if self._wants_usage else b""
        instead = b',"usage":null' if self._wants_usage else b""
        return event[: found.start()] + instead + event[found.end() :] + _EVENT_END


def _cost(usage: bytes) -> Cost:
    return Cost() if usage == b"null" else Cost.model_validate(json.loads(usage))
