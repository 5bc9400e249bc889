"""The health page."""

from __future__ import annotations

from people import People


def test_anyone_may_ask_whether_the_workshop_is_well(people: People):
    answer = people.client(None).get("/health")
    assert answer.status_code == 200
    assert answer.json()["status"] == "well"
