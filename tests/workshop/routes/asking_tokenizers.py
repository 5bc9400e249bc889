"""Asks the workshop what a tokenizer does."""

from __future__ import annotations

from typing import Any

from fastapi.testclient import TestClient

from glassbox.workspace import Artifact


def ask(client: TestClient, artifact: Artifact, what: str, **body: Any) -> Any:
    """The answer to a question that has one."""
    answer = client.post(f"/api/tokenizers/{artifact.id}/{what}", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()
