"""The API's description, whoever asks for it first."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from fastapi import FastAPI

from glassbox.workshop.routes import documentation

pytestmark = pytest.mark.one_database
ASKERS = 4


def test_it_is_made_once_however_many_ask_first_at_the_same_moment(app: FastAPI, monkeypatch: pytest.MonkeyPatch):
    together, made, make = Barrier(ASKERS), [], documentation.with_operations_of_stages

    def noted(document: dict[str, Any]) -> dict[str, Any]:
        made.append(make(document))
        return made[-1]

    def ask(_: int) -> dict[str, Any]:
        together.wait()
        return app.openapi()

    monkeypatch.setattr(documentation, "with_operations_of_stages", noted)
    with ThreadPoolExecutor(ASKERS) as threads:
        answers = list(threads.map(ask, range(ASKERS)))
    assert len(made) == 1
    assert all(answer is app.openapi() and "security" in answer for answer in answers)
